"""What a query's process is given, and what it says of itself: MessagePack, each with its length before it."""

from __future__ import annotations

import struct
from typing import IO, TypeVar

import msgspec

HEAD = struct.Struct("<I")
Message = TypeVar("Message", bound=msgspec.Struct)


class Extent(msgspec.Struct, array_like=True):
    """Whole lines of a segment. sequence: of the first."""

    path: str
    offset: int
    length: int
    sequence: int


class Part(msgspec.Struct, array_like=True):
    """A log group's events of low <= timestamp < high, epoch ms. gone: deleted streams, and up to where."""

    account: str
    group: str
    low: int
    high: int
    gone: dict[str, int]
    extents: list[Extent]


class Job(msgspec.Struct, array_like=True):
    """most: rows; seconds: that it may take; results: the descriptor of the file that gets a row a line, in JSON."""

    query: str
    most: int
    seconds: int
    results: int
    parts: list[Part]


class Progress(msgspec.Struct, array_like=True):
    """size: bytes of the messages that were looked at. ended: the rows are there, or, with failed, none will be."""

    matched: int
    scanned: int
    size: int
    rows: int = 0
    ended: bool = False
    failed: str = ""


def write(file: IO[bytes], message: msgspec.Struct) -> None:
    data = msgspec.msgpack.encode(message)
    file.write(HEAD.pack(len(data)) + data)
    file.flush()


def read(file: IO[bytes], kind: type[Message]) -> Message | None:
    """None: there is no more."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    (length,) = HEAD.unpack(head)
    data = file.read(length)
    return msgspec.msgpack.decode(data, type=kind) if len(data) == length else None
