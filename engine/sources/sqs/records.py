"""Messages of a queue as records of an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import wire
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
