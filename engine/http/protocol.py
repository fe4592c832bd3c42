"""One HTTP connection: uvicorn's own protocol, with a short cut for Invoke.

Everything but Invoke goes uvicorn's way (ASGI, a task for each request). An Invoke is answered by callbacks alone: its
body goes to the engine as it arrived, and its response to the socket as the worker wrote it. Requests of one
connection are answered in order: a request behind another one waits in uvicorn's own pipeline, whichever kind it is.

What uvicorn leaves to a proxy in front, and is done here: a request must be complete in READ_SECONDS, a response must
be taken in WRITE_SECONDS, a body may not grow beyond its limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from .invoke import Endpoint

READ_SECONDS = 60.0
WRITE_SECONDS = 60.0
_ROUTE = b"/2015-03-31/functions/"
_INVOCATIONS = b"/invocations"
_PATIENCE = 64 * 1024 * 1024  # bytes of a body too large that are read until its sender is hung up on
_SMALL = 64 * 1024  # up to here head and payload are one write
_HEAD = b"HTTP/1.1 200 OK\r\ndate: %b\r\n%bcontent-length: %d\r\n\r\n%b"
Header = tuple[bytes, bytes]


class _Nobody:
    """Stands for the event that uvicorn's cycles wait for; an Invoke waits for none."""

    def set(self) -> None:
        return None


class InvokeCycle:
    """One Invoke: what uvicorn's protocol needs to know of a request, and the request itself."""

    __slots__ = (
        "body", "disconnected", "dropped", "headers", "keep_alive", "limit", "more_body", "protocol",
        "queued", "response_complete", "url",
    )  # fmt: skip
    message_event: ClassVar[_Nobody] = _Nobody()

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
            # It must be read all the same: who writes does not hear before he is done.
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
        """The one answer. Nobody may be there any more to hear it."""
        if self.response_complete:
            return
        self.response_complete = True
        protocol = self.protocol
        transport = protocol.transport
        if self.disconnected or transport.is_closing():
            return
        out = [STATUS_LINE[status]]
        for name, value in protocol.server_state.default_headers:
            out += (name, b": ", value, b"\r\n")
        for name, value in headers:
            out += (name, b": ", value, b"\r\n")
        if status != 204:
            out += (b"content-length: ", b"%d" % len(payload), b"\r\n")
        if not self.keep_alive:
            out.append(b"connection: close\r\n")
        out.append(b"\r\n")
        if len(payload) <= _SMALL:
            out.append(payload)
            transport.write(b"".join(out))
        else:
            transport.write(b"".join(out))
            transport.write(payload)
            protocol.watch_writes()
        if not self.keep_alive:
            transport.close()
        protocol.on_response_complete()

    def succeed(self, said: bytes, payload: bytes) -> None:
        """The usual answer, in one piece: 200, with the header lines `said`."""
        protocol = self.protocol
        transport = protocol.transport
        if (
            self.response_complete
            or not self.keep_alive
            or len(payload) > _SMALL
            or self.disconnected
            or transport.is_closing()
        ):
            headers = [tuple(line.split(b": ", 1)) for line in said.split(b"\r\n") if line]
            self.respond(200, headers, payload)  # type: ignore[arg-type]
            return
        self.response_complete = True
        date = protocol.server_state.default_headers[0][1]
        transport.write(_HEAD % (date, said, len(payload), payload))
        protocol.on_response_complete()


class Protocol(HttpToolsProtocol):
    """A connection of the server's. `endpoint` is set on a subclass made for one server."""

    endpoint: ClassVar[Endpoint]
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None
    _begun = False  # a request that is not complete yet
    _heard = 0.0
    _running: Any = None  # the cycle whose answer is next; `cycle` is the one that was read last

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._begun:
            if self._reading is None and not self.transport.is_closing():
                self._reading = self.loop.call_later(READ_SECONDS, self._too_slow)
        elif self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading = self.loop.call_later(READ_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._reading, self._writing, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._reading = self._writing = self.timeout_keep_alive_task = None
        self._forget()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that is done sending still gets what it asked for, and that is the end of the connection."""
        cycle: Any = self.cycle
        if self._begun or cycle is None or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP. Nobody is told so in the place of an answer that is still being made."""
        if self.transport.is_closing():
            return
        answering = any(not cycle.more_body for cycle in self._unanswered())
        self._forget()
        if answering:
            self.transport.close()
        else:
            super().send_400_response(msg)

    def hang_up(self) -> None:
        """Closes the connection, and no answer is written to it any more."""
        self._forget()
        self.transport.close()

    def _forget(self) -> None:
        for cycle in self._unanswered():
            cycle.disconnected = True
            cycle.message_event.set()

    def _unanswered(self) -> list[Any]:
        cycles = (self._running, self.cycle, *(cycle for cycle, _app in self.pipeline))
        return [cycle for cycle in cycles if cycle is not None and not cycle.response_complete]

    def on_message_begin(self) -> None:
        self._begun = True
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        url = self.url
        if not url.startswith(_ROUTE) or _INVOCATIONS not in url or self.parser.get_method() != b"POST":
            headers, expect = self.headers, self.expect_100_continue
            super().on_message_begin()  # makes what only ASGI needs
            self.url, self.expect_100_continue = url, expect
            self.headers += headers
            super().on_headers_complete()
            return
        before: Any = self.cycle
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        cycle = InvokeCycle(self, url, self.headers, keep_alive, self.endpoint.body_limit)
        self.cycle = cycle  # type: ignore[assignment]
        if self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if before is not None and not before.response_complete:
            cycle.queued = True
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        if type(cycle) is InvokeCycle:
            cycle.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._begun = False
        cycle: Any = self.cycle
        if type(cycle) is InvokeCycle:
            cycle.more_body = False
            if not cycle.queued:
                self._running = cycle
                self.endpoint.invoke(cycle)
        else:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        if type(cycle) is InvokeCycle:
            cycle.queued = False
            if not cycle.more_body:
                self.endpoint.invoke(cycle)
        else:
            super()._start_asgi_task(cycle, app)

    def _unset_keepalive_if_required(self) -> None:
        """One timer a connection, which looks when it ends whether it was quiet; not one a request."""
        self._heard = self.loop.time()

    def on_response_complete(self) -> None:
        self._heard = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if self.pipeline or type(cycle) is not InvokeCycle:
            self.flow.resume_reading()
            if self.pipeline:
                cycle, app = self.pipeline.pop()
                self._start_asgi_task(cycle, app)
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._quiet)

    def _quiet(self) -> None:
        self.timeout_keep_alive_task = None
        busy = self._begun or (self.cycle is not None and not self.cycle.response_complete)
        left = self.timeout_keep_alive - (self.loop.time() - self._heard)
        if self.transport.is_closing():
            return
        if busy or left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(max(left, 1.0), self._quiet)
        else:
            self.transport.close()

    def watch_writes(self) -> None:
        """Somebody who reads nothing of what he asked for is cut off."""
        left = self.transport.get_write_buffer_size()
        if self._writing is None and left:
            self._writing = self.loop.call_later(WRITE_SECONDS, self._not_taken, left)

    def _not_taken(self, before: int) -> None:
        self._writing = None
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self.watch_writes()

    def _too_slow(self) -> None:
        self._reading = None
        if self.transport.is_closing():
            return
        if self.pipeline:  # nothing is read of it while another one is being answered
            self._reading = self.loop.call_later(READ_SECONDS, self._too_slow)
        else:
            self.hang_up()
