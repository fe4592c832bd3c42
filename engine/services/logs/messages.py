"""What the server and the log's process say to each other, beside the journal. Frames: a length of four bytes, then a
Message or a Reply as MessagePack."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from ...observe.journal import Step, Taken
from .measured import MeasuredPoint
from .reading import FilterRead, TailedEvent

HEAD = struct.Struct("<I")


class OperationRequest(msgspec.Struct, tag=True, array_like=True):
    """An operation of CloudWatch Logs, on one account's groups in one region."""

    number: int
    account: str
    region: str
    target: str
    body: bytes


class ReadRequest(msgspec.Struct, tag=True, array_like=True):
    """What the subscription filters of a group match, behind these sequences, by the filters' ids."""

    number: int
    account: str
    region: str
    group: str
    places: dict[str, int]


class TailRequest(msgspec.Struct, tag=True, array_like=True):
    """What a live tail session has got since it was asked before. last: it ends, and nobody waits for the response."""

    number: int
    account: str
    region: str
    session: str
    last: bool = False


class WatchRequest(msgspec.Struct, tag=True, array_like=True):
    """Say which groups with subscription filters there are, and which have new events from now on."""


class OperationResponse(msgspec.Struct, tag=True, array_like=True):
    number: int
    status: int
    headers: dict[str, str]
    body: bytes


class ReadResponse(msgspec.Struct, tag=True, array_like=True):
    number: int
    filters: list[FilterRead]


class TailResponse(msgspec.Struct, tag=True, array_like=True):
    """events: None where there is no such session. sampled: there were more."""

    number: int
    events: list[TailedEvent] | None
    sampled: bool


class Measured(msgspec.Struct, tag=True, array_like=True):
    """What the events that were written say of metrics."""

    account: str
    region: str
    points: list[MeasuredPoint]


class Grown(msgspec.Struct, tag=True, array_like=True):
    """A group with subscription filters has new events: until it is read, this is not said again."""

    account: str
    region: str
    group: str


Message = Step | OperationRequest | ReadRequest | TailRequest | WatchRequest
Reply = OperationResponse | ReadResponse | TailResponse | Grown | Measured | Taken
decode = msgspec.msgpack.Decoder(Message).decode
decode_reply: Callable[[bytes], Reply] = msgspec.msgpack.Decoder(Reply).decode
encode = msgspec.msgpack.Encoder().encode
