"""Records of a topic as an event has them, and as a report of those that were given up describes them."""

from __future__ import annotations

import base64
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Any

from ... import wire
from ...aws.times import iso
from ..batches import Encoded
from ..settings import Settings
from ..streams.records import Record

_TYPES, _NO_TYPE = {0: "CREATE_TIME", 1: "LOG_APPEND_TIME"}, "NO_TIMESTAMP_TYPE"
_KINDS, _NO_KIND = {number: name.encode() for number, name in _TYPES.items()}, _NO_TYPE.encode()


def shown(raw: Any) -> dict[str, Any]:
    """As filters see it. raw: aiokafka's ConsumerRecord."""
    found: dict[str, Any] = {
        "topic": raw.topic, "partition": raw.partition, "offset": raw.offset, "timestamp": raw.timestamp,
        "timestampType": _TYPES.get(raw.timestamp_type, _NO_TYPE),
    }  # fmt: skip
    if raw.key is not None:
        found["key"] = base64.b64encode(raw.key).decode()
    if raw.value is not None:
        found["value"] = base64.b64encode(raw.value).decode()
    found["headers"] = _headers(raw)
    return found


def _headers(raw: Any) -> list[dict[str, list[int]]]:
    return [{name: list(value or b"")} for name, value in raw.headers]


def skipped(raw: Any) -> Record:
    """One that is in no event."""
    return Record(str(raw.offset), "", b"", raw.timestamp / 1e3)


class Frame:
    """What an event has around the records of one partition, and what all of its records have."""

    def __init__(self, settings: Settings, servers: Sequence[str], partition: int) -> None:
        self.name = f"{settings.name}-{partition}"
        about: dict[str, Any] = {"eventSource": "aws:kafka" if settings.source else "aws:SelfManagedKafka"}
        if settings.source:
            about["eventSourceArn"] = settings.source
        about["bootstrapServers"] = ",".join(servers)
        self._before = wire.encode(about)[:-1] + b',"records":{' + wire.encode(self.name) + b":["
        each = wire.encode({"topic": settings.name, "partition": partition})[:-1]
        self._each = (
            each.replace(b"%", b"%%") + b',"offset":%d,"timestamp":%d,"timestampType":"%b"%b%b,"headers":%b}'
        )

    @property
    def size(self) -> int:
        return len(self._before) + 4

    def record(self, raw: Any) -> Record:
        """What `shown` says, as JSON. Its group is its key, in base64."""
        key, value, headers = raw.key, raw.value, b"[]"
        group = b""
        if key is not None:
            group = b2a_base64(key, newline=False)
            key = b',"key":"%b"' % group
        if value is not None:
            value = b',"value":"%b"' % b2a_base64(value, newline=False)
        if raw.headers:
            headers = wire.encode(_headers(raw))
        offset, at = raw.offset, raw.timestamp
        kind = _KINDS.get(raw.timestamp_type, _NO_KIND)
        json = self._each % (offset, at, kind, key or b"", value or b"", headers)
        return Record(str(offset), group.decode(), json, at / 1e3)

    def event(self, records: Sequence[Encoded]) -> bytes:
        return self._before + b",".join([each.json for each in records]) + b"]}}"

    def id_of(self, identifier: Any) -> str | None:
        """The offset that an itemIdentifier of this partition names."""
        if not isinstance(identifier, dict) or identifier.get("partition") != self.name:
            return None
        offset = identifier.get("offset")
        return str(offset) if type(offset) is int else None


def batch_info(
    settings: Settings, servers: Sequence[str], name: str, records: Sequence[Record], size: int
) -> dict[str, Any]:
    """KafkaBatchInfo. name: of the partition; size: of the event, in bytes."""
    return {
        "batchSize": len(records),
        **_source(settings, servers),
        "payloadSize": size,
        "recordsInfo": {
            name: {
                "firstRecordOffset": records[0].id,
                "lastRecordOffset": records[-1].id,
                "firstRecordTimestamp": iso(records[0].arrived),
                "lastRecordTimestamp": iso(records[-1].arrived),
            }
        },
    }


def record_info(settings: Settings, servers: Sequence[str], record: Record, size: int) -> dict[str, Any]:
    """KafkaBatchInfo of a message to a topic, which is about one record."""
    return {
        "batchSize": 1,
        **_source(settings, servers),
        "payloadSize": size,
        "recordInfo": {"offset": record.id, "timestamp": iso(record.arrived)},
    }


def _source(settings: Settings, servers: Sequence[str]) -> dict[str, str]:
    found = {"eventSourceArn": settings.source} if settings.source else {}
    return {**found, "bootstrapServers": ",".join(servers)}
