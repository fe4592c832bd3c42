"""One Invoke on its connection: the request as it arrives, and the one response that is written for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..aws.faults import Fault
from .budget import FREE, WRITTEN, Hold

if TYPE_CHECKING:
    from ..aws.sigv4 import Claim
    from .protocol import Protocol

_COPIES = 2  # of a body that are in memory at once: as it came, and the engine's
_STEP = 512 * 1024  # that a body of unknown length takes more at a time
_HEAD = b"HTTP/1.1 200 OK\r\ndate: %b\r\n%bcontent-length: %d\r\n\r\n%b"
Header = tuple[bytes, bytes]


def no_room() -> Fault:
    """For a request or a response that there was no room for."""
    message = "The clients of this server make it hold as many bytes as it may (stoker serve --inflight)"
    return Fault("ServiceUnavailableException", message, Type="Service")


class InvokeCycle:
    """One Invoke: what uvicorn's protocol needs to know of a request, and the request itself."""

    __slots__ = (
        "body", "claim", "crowded", "disconnected", "head", "headers", "hold", "keep_alive", "limit", "looked_at",
        "more_body", "protocol", "queued", "response_complete", "too_large", "url",
    )  # fmt: skip
    message_event: ClassVar = asyncio.Event()  # what uvicorn's cycles wait for; an Invoke does not

    def __init__(
        self, protocol: Protocol, url: bytes, headers: list[Header], keep_alive: bool, limit: int
    ) -> None:
        self.protocol = protocol
        self.url = url
        self.headers = headers
        self.keep_alive = keep_alive
        self.limit = limit
        self.body: bytes | bytearray = b""
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.queued = False
        self.looked_at = False
        self.too_large = False
        self.crowded = False  # there was no room for what came
        self.head = 0  # bytes that url and headers count as
        self.hold: Hold | None = None
        self.claim: Claim | None = None

    def feed(self, data: bytes) -> None:
        if self.too_large or len(self.body) + len(data) > self.limit:
            self.too_large = True
            self.body = b""
            return
        if not self.body:
            self.body = data
            return
        if type(self.body) is bytes:
            self.body = bytearray(self.body)
        self.body += data

    @property
    def received(self) -> int:
        return len(self.body)

    def declared(self) -> int | None:
        """The body's length, if the headers have it."""
        return next((int(value) for name, value in self.headers if name == b"content-length"), None)

    def needs(self) -> int:
        """Bytes to be reserved for the body, when it is still to come: 0 while it needs no more than it has."""
        length, size = self.declared(), len(self.body)
        if length is None:
            length = min(self.limit, size + _STEP)
        held = 0 if self.hold is None else self.hold.bytes
        enough = self.head + _COPIES * min(length, size + _STEP // 2) <= held
        return 0 if enough or length <= FREE else self.head + _COPIES * length

    def take(self) -> bool:
        """Holds what has come."""
        size = self.head + _COPIES * len(self.body)
        if size > FREE:
            if self.hold is None:
                self.hold = Hold(self.protocol.budget)
            self.crowded = not self.hold.take(size)
        return not self.crowded

    def admit(self) -> None:
        """The body is still to come: its sender is looked at, then room is made for it."""
        protocol = self.protocol
        protocol.running = self
        if not self.looked_at:
            self.looked_at = True
            if not protocol.endpoint.look(self):
                return
            self.too_large = self.too_large or (self.declared() or 0) > self.limit
        if self.too_large:
            protocol.endpoint.invoke(self)  # which says so
        elif not self.take():
            protocol.endpoint.refuse(self, no_room())
        elif total := self.needs():
            self._reserve(total)
        else:
            protocol.go_on()

    def _reserve(self, total: int) -> None:
        protocol = self.protocol
        hold = self.hold = self.hold or Hold(protocol.budget)
        hold.unwatch()

        def then(room: bool) -> None:
            protocol.waits = False
            if room:
                hold.watch(total, lambda: self.received, protocol.too_slow)
                protocol.go_on()
            else:
                protocol.endpoint.refuse(self, no_room())

        protocol.waits = True
        hold.reserve(total, then)
        if protocol.waits:
            protocol.flow.pause_reading()

    def leave(self) -> None:
        """The connection is over."""
        self.disconnected = True
        if self.hold is not None and (
            self.more_body or self.queued
        ):  # else it is running, and ends with a response
            self.hold.release()

    def respond(self, status: int, headers: Sequence[Header], payload: bytes) -> bool:
        """The one response; dropped when the client has left. False, with nothing done: there is no room for it."""
        if self.response_complete:
            return True
        if self.hold is not None:
            self.hold.release()
        protocol = self.protocol
        transport = protocol.transport
        if self.disconnected or transport.is_closing():
            self.response_complete = True
            return True
        if len(payload) > WRITTEN and not protocol.outgoing.room(len(payload)):
            return False
        self.response_complete = True
        out = [STATUS_LINE[status]]
        for name, value in (*protocol.server_state.default_headers, *headers):
            out += (name, b": ", value, b"\r\n")
        if status != 204:
            out += (b"content-length: ", b"%d" % len(payload), b"\r\n")
        ends = not self.keep_alive or self.more_body
        if ends:
            out.append(b"connection: close\r\n")
        out.append(b"\r\n")
        if len(payload) <= WRITTEN:
            transport.write(b"".join((*out, payload)))
        else:
            transport.write(b"".join(out))
            transport.write(payload)
            protocol.outgoing.wrote(len(payload))
        if ends:
            protocol.finish()
        protocol.on_response_complete()
        return True

    def succeed(self, lines: bytes, payload: bytes) -> bool:
        """The usual response, in one write: 200, with these header lines. False as in respond()."""
        protocol = self.protocol
        transport = protocol.transport
        if (
            self.response_complete
            or not self.keep_alive
            or len(payload) > WRITTEN
            or self.disconnected
            or transport.is_closing()
        ):
            headers = [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n") if line]
            return self.respond(200, headers, payload)  # type: ignore[arg-type]
        self.response_complete = True
        if self.hold is not None:
            self.hold.release()
        date = protocol.server_state.default_headers[0][1]
        transport.write(_HEAD % (date, lines, len(payload), payload))
        protocol.on_response_complete()
        return True
