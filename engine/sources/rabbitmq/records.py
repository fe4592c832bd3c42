"""Messages of a queue as an event has them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ... import wire
from ..batches import Encoded
from ..settings import Settings
from .broker import vhost


class Message(Encoded, gc=False):
    """tag: its delivery's."""

    tag: int = 0


def shown(delivered: Any) -> dict[str, Any]:
    """delivered: aiormq's DeliveredMessage."""
    found = delivered.header.properties
    return {
        "basicProperties": {
            "contentType": found.content_type,
            "contentEncoding": found.content_encoding,
            "headers": _header(found.headers or {}),
            "deliveryMode": found.delivery_mode,
            "priority": found.priority,
            "correlationId": found.correlation_id,
            "replyTo": found.reply_to,
            "expiration": found.expiration,
            "messageId": found.message_id,
            "timestamp": None if found.timestamp is None else date(found.timestamp),
            "type": found.message_type,
            "userId": found.user_id,
            "appId": found.app_id,
            "clusterId": found.cluster_id or None,
            "bodySize": len(delivered.body),
        },
        "redelivered": bool(delivered.redelivered),
        "data": base64.b64encode(delivered.body).decode(),
    }


def _header(value: Any) -> Any:
    """A value of a table: texts are their bytes, as Java's client has them."""
    if isinstance(value, str):
        return {"bytes": list(value.encode())}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": list(bytes(value))}
    if isinstance(value, dict):
        return {str(key): _header(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_header(each) for each in value]
    if isinstance(value, datetime):
        return date(value)
    return float(value) if isinstance(value, Decimal) else value


def date(value: datetime) -> str:
    """As Java's default format has it, in UTC: "Jan 1, 1970, 12:33:41 AM"."""
    value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return f"{value:%b} {value.day}, {value.year}, {value.hour % 12 or 12}:{value:%M:%S} {value:%p}"


class Frame:
    """What an event has around its messages."""

    def __init__(self, settings: Settings) -> None:
        about = {"eventSource": "aws:rmq", "eventSourceArn": settings.source}
        name = wire.encode(f"{settings.name}::{vhost(settings)}")
        self._before = wire.encode(about)[:-1] + b',"rmqMessagesByQueue":{' + name + b":["

    @property
    def size(self) -> int:
        return len(self._before) + 3

    def event(self, messages: Sequence[Message]) -> bytes:
        return self._before + b",".join([each.json for each in messages]) + b"]}}"
