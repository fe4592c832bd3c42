"""Messages of a queue as records of an event."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from ... import wire
from ...services.sqs.messages import Message as Stored
from ...services.sqs.messages import Meta, sequence
from ..batches import Encoded


class Message(Encoded, gc=False):
    """handle: what its reader knows it by; trace: the header of what sent it; sent: when, epoch seconds."""

    handle: Any
    trace: str = ""
    sent: float = 0.0


def record(message: Mapping[str, Any], source: str, region: str) -> dict[str, Any]:
    """message: as ReceiveMessage shows it, with all attributes."""
    own = message.get("MessageAttributes")
    found: dict[str, Any] = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {name: _attribute(value) for name, value in own.items()} if own else {},
    }
    if md5 := message.get("MD5OfMessageAttributes"):
        found["md5OfMessageAttributes"] = md5
    found["md5OfBody"] = message.get("MD5OfBody", "")
    found["eventSource"] = "aws:sqs"
    found["eventSourceARN"] = source
    found["awsRegion"] = region
    return found


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes are base64 in JSON."""
    found: dict[str, Any] = {}
    for name, member in (("stringValue", "StringValue"), ("binaryValue", "BinaryValue")):
        if value.get(member) is not None:
            found[name] = value[member]
    return {**found, "stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}


def encoded(message: Mapping[str, Any], handle: Any, shown: Mapping[str, Any]) -> Message:
    """shown: its record."""
    attributes = message.get("Attributes", {})
    group, trace = attributes.get("MessageGroupId", ""), attributes.get("AWSTraceHeader", "")
    sent = int(attributes.get("SentTimestamp") or 0) / 1e3
    return Message(message["MessageId"], group, wire.encode(shown), handle, trace, sent)


class _Attributes(msgspec.Struct, omit_defaults=True, gc=False):
    SenderId: str
    SentTimestamp: str
    ApproximateReceiveCount: str
    ApproximateFirstReceiveTimestamp: str
    SequenceNumber: str | None = None
    MessageDeduplicationId: str | None = None
    MessageGroupId: str | None = None
    AWSTraceHeader: str | None = None
    DeadLetterQueueSourceArn: str | None = None


class _Record(msgspec.Struct, gc=False):
    messageId: str
    receiptHandle: str
    body: str
    attributes: _Attributes
    messageAttributes: dict[str, Any]
    md5OfMessageAttributes: str | msgspec.UnsetType
    md5OfBody: str
    eventSource: str
    eventSourceARN: str
    awsRegion: str


def of_own(
    stored: Stored, meta: Meta, row: int, attempts: int, handle: Any, text: str, source: str, region: str
) -> Message:
    """A message of this server's queues: its `encoded` `record`, without what ReceiveMessage makes of it in between.
    attempts: of its row; text: its receipt handle."""
    id, sent = (str(uuid.UUID(bytes=meta.id)), meta.sent) if meta.sent else (stored.id, stored.sent)
    fifo = source.endswith(".fifo")
    attributes = _Attributes(
        stored.sender, str(sent), str(meta.receives + attempts), str(meta.first), sequence(row) if fifo else None,
        stored.deduplication, stored.group, stored.trace, meta.source or None,
    )  # fmt: skip
    own, md5 = stored.attributes, stored.attributes_md5
    shown = _Record(
        id, text, stored.body, attributes, {name: _attribute(value) for name, value in own.items()} if own else {},
        (md5 or msgspec.UNSET) if own else msgspec.UNSET, stored.md5, "aws:sqs", source, region,
    )  # fmt: skip
    return Message(id, stored.group or "", wire.encode(shown), handle, stored.trace or "", sent / 1e3)
