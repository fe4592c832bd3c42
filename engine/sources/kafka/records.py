"""Records of a topic as an event has them, and as a report of those that were given up describes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ... import wire
from ...aws.times import iso
from ..batches import Encoded
from ..settings import Settings
from ..streams.records import Record

_TYPES = {0: "CREATE_TIME", 1: "LOG_APPEND_TIME"}


def shown(raw: Any) -> dict[str, Any]:
    """raw: aiokafka's ConsumerRecord."""
    found: dict[str, Any] = {
        "topic": raw.topic, "partition": raw.partition, "offset": raw.offset, "timestamp": raw.timestamp,
        "timestampType": _TYPES.get(raw.timestamp_type, "NO_TIMESTAMP_TYPE"),
    }  # fmt: skip
    if raw.key is not None:
        found["key"] = base64.b64encode(raw.key).decode()
    if raw.value is not None:
        found["value"] = base64.b64encode(raw.value).decode()
    found["headers"] = [{name: list(value or b"")} for name, value in raw.headers]
    return found


def record(raw: Any, found: Mapping[str, Any] | None) -> Record:
    """found: as it is shown; None: in no event. Its group is its key, in base64."""
    if found is None:
        return Record(str(raw.offset), "", b"", raw.timestamp / 1e3)
    return Record(str(raw.offset), found.get("key", ""), wire.encode(found), raw.timestamp / 1e3)


class Frame:
    """What an event has around the records of one partition."""

    def __init__(self, settings: Settings, servers: Sequence[str], partition: int) -> None:
        self.name = f"{settings.name}-{partition}"
        about: dict[str, Any] = {"eventSource": "aws:kafka" if settings.source else "aws:SelfManagedKafka"}
        if settings.source:
            about["eventSourceArn"] = settings.source
        about["bootstrapServers"] = ",".join(servers)
        self._before = wire.encode(about)[:-1] + b',"records":{' + wire.encode(self.name) + b":["

    @property
    def size(self) -> int:
        return len(self._before) + 4

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
