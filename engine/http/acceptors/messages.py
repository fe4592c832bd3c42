"""What the first process and an acceptor say to each other, and how: frames of MessagePack on a socket pair."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ...hosting.layout import Layout
from ...observe.journal import Step, Taken
from ..options import Options

_HEAD = struct.Struct("<I")
Steps = list[tuple[str, str, str, dict[str, Any] | None]]  # table, owner, id, record


class _Message(msgspec.Struct, tag=True, array_like=True):
    pass


# To the acceptor.


class Begin(_Message):
    """The first: what it is. Descriptors are inherited. turn: its number, and how many processes there are."""

    options: Options
    url: str
    turn: tuple[int, int]
    listening: int
    passing: int
    journal: int
    quota: int


class Changed(_Message):
    """Records of a partition, and their functions' slots in the quota. number: to be answered by Applied; 0: not."""

    number: int
    partition: str
    steps: Steps
    slots: list[tuple[str, str, int]]


class Go(_Message):
    """What was changed until now is known: accept connections."""


class LaidOut(_Message):
    """layout: or the init's error, its type and text."""

    number: int
    layout: Layout | None
    error: tuple[str, str] = ("", "")


class Watched(_Message):
    """Does somebody want the events of a place's invocations?"""

    partition: str
    watched: bool


class Stop(_Message):
    """End when what runs has ended; the second one: now."""


# To the first process.


class Ready(_Message):
    """It has all its parts."""


class Applied(_Message):
    """No later request finds what was before the change of that number."""

    number: int


class Use(_Message):
    """Packages are used, or not any more."""

    names: list[str]
    over: bool


class LayOut(_Message):
    number: int
    partition: str
    record: dict[str, Any]
    reserved: int | None
    warm: int


class Tapped(_Message):
    """An invocation that begins, while somebody watches."""

    partition: str
    name: str
    event: bytes


ToAcceptor = Begin | Changed | Go | LaidOut | Watched | Stop | Taken
ToFirst = Ready | Applied | Use | LayOut | Tapped | Step


def _path(kind: type, value: Any) -> Any:
    return kind(value) if issubclass(kind, Path) else value


_encode = msgspec.msgpack.Encoder(enc_hook=str).encode  # paths


class Channel(asyncio.Protocol):
    """One end. kinds: what comes; on_message: called with each, in order; on_lost: once, when the other end is gone."""

    def __init__(
        self, kinds: Any, on_message: Callable[[Any], object], on_lost: Callable[[], object]
    ) -> None:
        self._decode = msgspec.msgpack.Decoder(kinds, dec_hook=_path).decode
        self._on_message, self._on_lost = on_message, on_lost
        self._came = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        came, at = self._came, 0
        came += data
        while len(came) - at >= _HEAD.size:
            (size,) = _HEAD.unpack_from(came, at)
            end = at + _HEAD.size + size
            if len(came) < end:
                break
            message = self._decode(bytes(came[at + _HEAD.size : end]))
            at = end
            self._on_message(message)
        del came[:at]

    def send(self, message: ToAcceptor | ToFirst) -> None:
        """Lost, when the other end is gone."""
        if self._transport is not None:
            data = _encode(message)
            self._transport.write(_HEAD.pack(len(data)) + data)

    def close(self) -> None:
        """When all is written."""
        if self._transport is not None:
            self._transport.close()
