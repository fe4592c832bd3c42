"""Frames of WebSockets, by wsproto: bytes in, what they say out, and bytes for what is to be said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError


class Ended(Exception):
    """What comes is behind the connection's end."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a message. text: None, it is binary; whole: it ends the frame; last: and the message."""

    text: str | None
    whole: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Close:
    """The client's end of it, or what it did wrong. reply: what is to be sent, if nothing was."""

    code: int
    reason: str
    reply: bytes


class Frames:
    """A server's side of one connection."""

    def __init__(self) -> None:
        self._connection = Connection(ConnectionType.SERVER)

    def receive(self, data: bytes) -> Iterator[Piece | Close | bytes]:
        """What data says; bytes are to be sent as they are. Raises Ended."""
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, TextMessage):
                    yield Piece(str(event.data), event.frame_finished, event.message_finished)
                elif isinstance(event, BytesMessage):
                    yield Piece(None, event.frame_finished, event.message_finished)
                elif isinstance(event, Ping):
                    yield self._connection.send(event.response())
                elif isinstance(event, CloseConnection):
                    yield Close(int(event.code), event.reason or "", self._closing(event))
        except LocalProtocolError:
            raise Ended from None

    def _closing(self, event: CloseConnection) -> bytes:
        try:
            return self._connection.send(event.response())
        except LocalProtocolError:  # it is the reply to what was sent
            return b""

    def text(self, text: str) -> bytes:
        return self._connection.send(TextMessage(text))

    def close(self, code: int, reason: str) -> bytes:
        return self._connection.send(CloseConnection(code, reason))
