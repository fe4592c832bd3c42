"""One connection of a WebSocket API: its handshake, frames, messages and end.

It has its transport from the moment that an HTTP request asked for the upgrade. What is done with a message, and what
is said of the connection, is its owner's (sockets.py).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, cast

from ... import wire
from .exchange import Exchange
from .responses import Pairs, Reply

if TYPE_CHECKING:
    from .socket_frames import Close, Piece

FRAME_BYTES = 32 * 1024  # AWS's limits
MESSAGE_BYTES = 128 * 1024
IDLE_SECONDS = 600.0
LIFE_SECONDS = 7200.0
AT_ONCE = 8  # messages of one connection that are being worked at; then it is not read
UNREAD_BYTES = 512 * 1024  # that a client may leave of what is sent to it
_PHRASES = {each.value: each.phrase for each in HTTPStatus}
_log = logging.getLogger("stoker.apis")
_EARLY_BYTES = 64 * 1024  # that may come before the handshake is done
_CLOSING_SECONDS = 10.0  # that a client has to confirm the end
GOING_AWAY, NOT_TEXT, TOO_LONG, ABNORMAL = 1001, 1003, 1009, 1006
_REASONS = {1005: "Client-side close frame status not set", ABNORMAL: "Connection closed abnormally"}
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455's
_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"


class NotAccepted(Exception):
    """The handshake failed; the reply says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply[0])
        self.reply = reply


class Busy(Exception):
    """The client does not read what it is sent."""


class Owner(Protocol):
    """What a connection is for."""

    def connect(self, connection: Connection) -> Awaitable[Pairs]:
        """May it be? The headers of the handshake's response. Raises NotAccepted."""

    def opened(self, connection: Connection) -> None: ...

    def message(self, connection: Connection, text: str) -> Awaitable[None]: ...

    def disconnected(self, connection: Connection, code: int, reason: str) -> None: ...


class Connection(asyncio.Protocol):
    """exchange: of the request that asked for it."""

    def __init__(self, owner: Owner, exchange: Exchange, accept: Callable[[], object]) -> None:
        """accept: raises NotAccepted for a request that is not let in."""
        self.exchange = exchange
        self.id = base64.urlsafe_b64encode(secrets.token_bytes(11)).decode()
        self.connected_at = time.time()
        self.last_active = self.connected_at
        self.authorizer: Mapping[str, Any] | None = None
        self.accept = accept
        self._owner = owner
        from .socket_frames import Frames  # it takes 50 ms, which most servers need not

        self._frames = Frames()
        self._transport: asyncio.Transport
        self._early: list[bytes] | None = []  # before the handshake is done
        self._pieces: list[str] = []
        self._message = self._frame = 0  # bytes so far
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._end: tuple[int, str] | None = None
        self._closing = False

    # Its beginning.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derives from nothing
        self._run(self._open())

    async def _open(self) -> None:
        request = self.exchange.request
        try:
            key = request.header("sec-websocket-key")
            if request.method != "GET" or request.header("sec-websocket-version") != "13" or not key:
                raise NotAccepted((400, [("sec-websocket-version", "13")], b'{"message":"Bad Request"}'))
            headers = await self._owner.connect(self)
        except NotAccepted as refusal:
            self._refuse(refusal.reply)
            return
        except Exception:
            _log.exception("a WebSocket's handshake failed")
            self._refuse((500, [], b'{"message":"Internal Server Error"}'))
            return
        if self._transport.is_closing():
            return
        digest = hashlib.sha1(f"{key}{_GUID}".encode("latin-1"), usedforsecurity=False).digest()
        token = base64.b64encode(digest).decode()
        self._transport.write(_SWITCH + _lines([("sec-websocket-accept", token), *headers]))
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(IDLE_SECONDS, self._idle),
            loop.call_later(LIFE_SECONDS, self.close, GOING_AWAY),
        ]
        self._owner.opened(self)
        early, self._early = self._early, None
        for data in early or ():
            self.data_received(data)

    def _refuse(self, reply: Reply) -> None:
        status, headers, body = reply
        line = f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode()
        more = [("content-length", str(len(body))), ("connection", "close")]
        kept = [pair for pair in headers if pair[0] not in ("content-length", "connection")]
        self._transport.write(line + _lines([*kept, *more]) + body)
        self._transport.close()

    # What comes.

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
            if sum(map(len, self._early)) > _EARLY_BYTES:
                self._transport.abort()
            return
        self.last_active = time.time()
        from .socket_frames import Ended

        try:
            for said in self._frames.receive(data):
                self._on(said)
        except Ended:
            self._transport.abort()

    def _on(self, said: Piece | Close | bytes) -> None:
        from .socket_frames import Close

        if isinstance(said, bytes):
            if not self._closing:
                self._transport.write(said)
        elif isinstance(said, Close):
            self._ended(said.code, said.reason or _REASONS.get(said.code, ""))
            if said.reply and not self._closing:
                self._transport.write(said.reply)
            self._transport.close()
        elif not self._closing:
            self._piece(said)

    def _piece(self, piece: Piece) -> None:
        if piece.text is None:
            self.close(NOT_TEXT, "Binary messages are not supported")
            return
        size = len(piece.text.encode())
        self._frame += size
        self._message += size
        if self._frame > FRAME_BYTES or self._message > MESSAGE_BYTES:
            self.close(TOO_LONG, "Message too long")
            return
        self._pieces.append(piece.text)
        if piece.whole:
            self._frame = 0
        if piece.last:
            text, self._pieces, self._message = "".join(self._pieces), [], 0
            self._run(self._owner.message(self, text))
            if len(self._tasks) >= AT_ONCE:
                self._transport.pause_reading()

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if len(self._tasks) < AT_ONCE and not self._transport.is_closing():
            self._transport.resume_reading()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a WebSocket's message failed", exc_info=error)

    # What goes.

    def send(self, text: str) -> None:
        """A message to the client. Raises Busy."""
        if self._closing or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > UNREAD_BYTES:
            raise Busy
        self.last_active = time.time()
        self._transport.write(self._frames.text(text))

    # Its end.

    def close(self, code: int, reason: str = "Going away") -> None:
        """From here."""
        if self._closing or self._transport.is_closing() or self._early is not None:
            return
        self._closing = True
        self._ended(code, reason)
        self._transport.write(self._frames.close(code, reason))
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(_CLOSING_SECONDS, self._transport.abort))

    def _idle(self) -> None:
        left = IDLE_SECONDS - (time.time() - self.last_active)
        if left <= 0:
            self.close(GOING_AWAY)
        else:
            self._timers[0] = asyncio.get_running_loop().call_later(left, self._idle)

    def _ended(self, code: int, reason: str) -> None:
        self._end = self._end or (code, reason)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._early is None:
            self._owner.disconnected(self, *(self._end or (ABNORMAL, _REASONS[ABNORMAL])))
        else:
            for task in self._tasks:  # nobody is there to be let in
                task.cancel()


def _lines(headers: Pairs) -> bytes:
    lines = [
        f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in headers if value.isprintable()
    ]
    return b"".join(lines) + b"\r\n"


def refusal(status: int, message: str) -> NotAccepted:
    return NotAccepted((status, [("content-type", "application/json")], wire.encode({"message": message})))
