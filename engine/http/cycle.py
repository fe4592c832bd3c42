"""One Invoke on its connection: the request as it arrives, and the one response that is written for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from .protocol import Protocol

_PATIENCE = 64 * 1024 * 1024  # bytes of a body too large that are read until its sender is hung up on
_SMALL = 64 * 1024  # up to here head and payload are one write
_HEAD = b"HTTP/1.1 200 OK\r\ndate: %b\r\n%bcontent-length: %d\r\n\r\n%b"
Header = tuple[bytes, bytes]


class InvokeCycle:
    """One Invoke: what uvicorn's protocol needs to know of a request, and the request itself."""

    __slots__ = (
        "body", "disconnected", "dropped", "headers", "keep_alive", "limit", "more_body", "protocol",
        "queued", "response_complete", "url",
    )  # fmt: skip
    message_event = asyncio.Event()  # what uvicorn's cycles wait for; an Invoke does not

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
        self.dropped = 0  # bytes beyond the limit

    def feed(self, data: bytes) -> None:
        if self.dropped or len(self.body) + len(data) > self.limit:
            # It must be read all the same: a client that still writes does not read the refusal.
            self.dropped += len(data)
            self.body = b""
            if self.dropped > _PATIENCE:
                self.protocol.hang_up()
            return
        if not self.body:
            self.body = data
            return
        if type(self.body) is bytes:
            self.body = bytearray(self.body)
        self.body += data

    def respond(self, status: int, headers: Sequence[Header], payload: bytes) -> None:
        """The one response; dropped when the client has left."""
        if self.response_complete:
            return
        self.response_complete = True
        protocol = self.protocol
        transport = protocol.transport
        if self.disconnected or transport.is_closing():
            return
        out = [STATUS_LINE[status]]
        for name, value in (*protocol.server_state.default_headers, *headers):
            out += (name, b": ", value, b"\r\n")
        if status != 204:
            out += (b"content-length: ", b"%d" % len(payload), b"\r\n")
        if not self.keep_alive:
            out.append(b"connection: close\r\n")
        out.append(b"\r\n")
        if len(payload) <= _SMALL:
            transport.write(b"".join((*out, payload)))
        else:
            transport.write(b"".join(out))
            transport.write(payload)
            protocol.watch_writes()
        if not self.keep_alive:
            transport.close()
        protocol.on_response_complete()

    def succeed(self, lines: bytes, payload: bytes) -> None:
        """The usual response, in one write: 200, with these header lines."""
        protocol = self.protocol
        transport = protocol.transport
        if (
            self.response_complete
            or not self.keep_alive
            or len(payload) > _SMALL
            or self.disconnected
            or transport.is_closing()
        ):
            headers = [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n") if line]
            self.respond(200, headers, payload)  # type: ignore[arg-type]
            return
        self.response_complete = True
        date = protocol.server_state.default_headers[0][1]
        transport.write(_HEAD % (date, lines, len(payload), payload))
        protocol.on_response_complete()
