"""One HTTP connection: uvicorn's own protocol, with a short cut for Invoke.

Everything but Invoke goes uvicorn's way (ASGI, a task for each request). An Invoke is answered by callbacks alone: its
body goes to the engine as it arrived, and its response to the socket as the worker wrote it. Requests of one
connection are answered in order: a request behind another one waits in uvicorn's own pipeline, whichever kind it is.

What uvicorn leaves to a proxy in front, and is done here: a request's head has a bound, and must be complete in
READ_SECONDS, as must a body that is not worth counting; what is larger has its room in the budget (budget.py), and
moves or is cut off. While its client does not read, a connection's next request is not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ..aws.messages import Request
from .asgi import AsgiCycle, asgi_cycle
from .budget import FREE, PATIENCE, Budget, Hold
from .cycle import Header, InvokeCycle, no_room
from .invoke import Endpoint
from .outgoing import Outgoing
from .upgrading import asking

READ_SECONDS = 30.0
LINGER_SECONDS = (
    10.0  # that a client may go on sending what is not read any more: else it never reads the refusal
)
LINGER_BYTES = 64 * 1024 * 1024
LINGER_PAUSE = 0.005  # seconds between two pieces of it
HEAD_BYTES = 64 * 1024  # request line and headers; and trailers
FIELDS = 512  # headers
_PIECE = 64 * 1024  # that the parser is given at once
_FIELD_BYTES = 170  # that a header costs beside its text
_QUEUED_BYTES = 2048  # that a request costs which waits behind another
_ROUTE = b"/2015-03-31/functions/"
_INVOCATIONS = b"/invocations"
_REASONS = {
    400: "Invalid HTTP request received.",
    408: "The request did not arrive in time.",
    431: f"A request line and its headers have at most {HEAD_BYTES} bytes and {FIELDS} headers.",
    503: "The server is at its limit: of bytes in flight, or of connections.",
}


class Protocol(HttpToolsProtocol):
    """A connection of the server's. `endpoint`, `budget` and `most`, the connections that there may be, are set on a
    subclass made for one server."""

    endpoint: ClassVar[Endpoint]
    budget: ClassVar[Budget] = Budget()
    most: ClassVar[int] = 1024
    lingering: ClassVar[set[Protocol]] = set()
    _timer: asyncio.TimerHandle | None = None  # until the request is there; or until the connection's end is
    _begun = False  # a request that is not complete yet
    _head = 0  # of a head that is not complete: bytes but those of its first piece, and 1
    _first = 0  # of that piece
    _hold: Hold  # for such a head
    _size = 0  # of the piece that is parsed
    _status = 400  # for what the parser was made to stop at
    _bodiless = 0  # bytes behind a head that were not a body's: trailers, extensions of chunks
    _counted: Any = None  # the cycle that they are behind
    _received = 0
    _heard = 0.0
    _linger: int | None = None  # bytes that may still come, and are not looked at
    waits = False  # to be read: there is no room
    _blocked = False  # the next request, by a response that is not taken
    _upgraded: asyncio.Protocol | None = None  # who has the connection from now on
    running: Any = None  # the cycle whose answer is next; `cycle` is the one that was read last
    outgoing: Outgoing

    @staticmethod
    def upgrade(request: Request) -> asyncio.Protocol | None:
        """What a connection is handed to whose request asks for a WebSocket; None: nobody has any."""
        return None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.outgoing = Outgoing(transport, self.budget)
        self._hold = Hold(self.budget)
        self.headers = []
        self._heard = self.loop.time()
        self._after(READ_SECONDS, self.too_slow)
        if len(self.connections) > self.most:
            self._make_place()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upgraded is not None:
            self._upgraded.connection_lost(exc)
        for timer in (self._timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._timer = self.timeout_keep_alive_task = None
        self._forget()
        self.lingering.discard(self)
        self.outgoing.done()
        super().connection_lost(exc)

    def _make_place(self) -> None:
        """For this connection, by the end of the one that has been of no use for longest; else by its own."""
        idle = [each for each in self.connections if isinstance(each, Protocol) and each.idle(self)]
        if not idle:
            self.refuse(503)
            return
        oldest = min(idle, key=lambda each: each._heard)
        self.connections.discard(oldest)
        oldest._forget()
        oldest.transport.abort()

    def idle(self, newcomer: Protocol) -> bool:
        """Is there neither a request nor a response? One whose head is not complete is none yet."""
        cycle: Any = self.cycle
        busy = self._upgraded is not None or (
            cycle is not None and (cycle.more_body or not cycle.response_complete or self.flow.write_paused)
        )
        return self is not newcomer and (self._linger is not None or not busy)

    # What arrives.

    def data_received(self, data: bytes) -> None:
        if self._upgraded is not None:
            self._upgraded.data_received(bytes(data))
            return
        if self._linger is not None:
            self._linger -= len(data)
            if self._linger < 0:
                self.transport.abort()
            self.flow.pause_reading()  # the more there are of these, the slower: others are served meanwhile
            self.loop.call_later(LINGER_PAUSE * len(self.lingering), self.flow.resume_reading)
            return
        size = len(data)
        if size > _PIECE:
            view = memoryview(data)
            for at in range(0, size, _PIECE):
                self.data_received(view[at : at + _PIECE])  # type: ignore[arg-type]
                if self.transport.is_closing():
                    return
            return
        self._size = size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgraded is not None:
                self._hand_over(bytes(data[upgrade.args[0] :]))
                return
        except httptools.HttpParserError:
            self.refuse(self._status)
            return
        if self._begun:
            self._unfinished(size)
        elif self._timer is not None and self._linger is None and not self.transport.is_closing():
            self._timer.cancel()
            self._timer = None

    def _unfinished(self, size: int) -> None:
        """A piece of that size left a request incomplete."""
        if self.transport.is_closing():
            return
        if self._timer is None:
            self._after(READ_SECONDS, self.too_slow)
        cycle: Any = self.cycle
        if cycle is None or not cycle.more_body:
            if self._head:
                self._head += size
            else:
                self._head, self._first = 1, size
            costs = self._first + self._head + _FIELD_BYTES * len(self.headers)
            if self._head > HEAD_BYTES or len(self.headers) > FIELDS:
                self.refuse(431)
            elif costs > FREE and not self._hold.take(costs):
                self.refuse(503)
            return
        if cycle is not self._counted:
            self._counted, self._received, self._bodiless = cycle, -1, 0
        self._bodiless = self._bodiless + size if cycle.received == self._received else 0
        self._received = cycle.received
        if self._bodiless > HEAD_BYTES or len(self.headers) > FIELDS:
            self.refuse(431)
        elif type(cycle) is InvokeCycle and not self.waits and not cycle.response_complete:
            if cycle.queued:
                if not cycle.take():
                    self.refuse(503)
            else:
                cycle.admit()

    def go_on(self) -> None:
        """There is room for what is to come."""
        self.flow.resume_reading()
        if self.expect_100_continue:
            self.expect_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_message_begin(self) -> None:
        self._begun = True
        self.url = b""
        if self.headers:  # trailers
            self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        url, headers = self.url, self.headers
        head = 0
        if self._head or self._size > FREE:
            self._hold.release()
            self._head = 0
            head = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
        if head > HEAD_BYTES or len(headers) > FIELDS:
            self._stop(431)
        before: Any = self.cycle
        queued = before is not None and not before.response_complete
        cycle: Any
        if not queued and self._upgrades(url, headers):
            return
        if url.startswith(_ROUTE) and _INVOCATIONS in url and self.parser.get_method() == b"POST":
            keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
            cycle = InvokeCycle(self, url, headers, keep_alive, self.endpoint.body_limit)
        else:
            cycle = asgi_cycle(self, url, headers)
        if queued or head > FREE:
            cycle.head = head + _FIELD_BYTES * len(headers) + _QUEUED_BYTES
            if not cycle.take():
                self._stop(503)
        self.headers = []  # of what comes behind a chunked body, which nobody reads
        self.cycle = cycle
        if queued:
            cycle.queued = True
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        elif type(cycle) is AsgiCycle:
            self._start_asgi_task(cycle, self.app)

    def _upgrades(self, url: bytes, headers: list[Header]) -> bool:
        """Has somebody taken the connection, once this head was read?"""
        client = self.client[0] if self.client else "127.0.0.1"
        port = self.server[1] if self.server and self.server[1] else 80
        request = asking(self.parser.get_method(), url, headers, client, port)
        self._upgraded = self.upgrade(request) if request is not None else None
        return self._upgraded is not None

    def _hand_over(self, rest: bytes) -> None:
        assert self._upgraded is not None
        for timer in (self._timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._timer = self.timeout_keep_alive_task = None
        self._begun = False
        self._hold.release()
        self._upgraded.connection_made(self.transport)
        if rest:
            self._upgraded.data_received(rest)

    def _stop(self, status: int) -> None:
        """Ends parsing, and the connection."""
        self._status = status
        raise httptools.HttpParserError

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        if type(cycle) is InvokeCycle:
            cycle.feed(body)
        else:
            cycle.received += len(body)
            super().on_body(body)
            if not cycle.take():
                self._stop(503)

    def on_message_complete(self) -> None:
        self._begun = False
        if self._upgraded is not None:
            return
        cycle: Any = self.cycle
        if type(cycle) is InvokeCycle:
            cycle.more_body = False
            if len(cycle.body) > FREE:
                cycle.take()
            if not cycle.queued:
                self._run(cycle)
        else:
            super().on_message_complete()

    def _run(self, cycle: InvokeCycle) -> None:
        self.running = cycle
        if cycle.hold is not None:
            if self.waits:
                self.waits = False
                self.budget.leave_line(cycle.hold)
                self.flow.resume_reading()
            cycle.hold.unwatch()
        if cycle.crowded:
            self.endpoint.refuse(cycle, no_room())
        else:
            self.endpoint.invoke(cycle)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        cycle.queued = False
        if type(cycle) is not InvokeCycle:
            self.running = cycle
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            cycle.admit()
        else:
            self._run(cycle)

    # How a connection, or one request of it, ends.

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that is done sending still gets what it asked for, and that is the end of the connection."""
        if self._upgraded is not None:
            return bool(self._upgraded.eof_received())
        cycle: Any = self.cycle
        if self._begun or self._linger is not None or cycle is None or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def refuse(self, status: int) -> None:
        """The last thing that is written. It must not take the place of a response that is still being made."""
        if self.transport.is_closing() or self._linger is not None:
            return
        answering = any(not cycle.more_body or cycle.queued for cycle in self._unanswered())
        begun = any(getattr(cycle, "response_started", False) for cycle in self._unanswered())
        self._forget()
        if answering or begun:
            self._close()
            return
        reason = _REASONS[status].encode()
        lines = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        kind = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(reason)
        self.transport.write(
            b"".join((STATUS_LINE[status], *lines, kind, b"connection: close\r\n\r\n", reason))
        )
        self._start_lingering()

    def hang_up(self) -> None:
        """Closes the connection, and no answer is written to it any more."""
        self._forget()
        self._close()

    def finish(self) -> None:
        """The connection ends with the response that was just written."""
        if self._begun:
            self._start_lingering()
        else:
            self._close()

    def _close(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._after(PATIENCE, self.transport.abort)

    def _start_lingering(self) -> None:
        """No more is written, and what comes is not looked at: who is hung up on while sending may read nothing."""
        self._linger = LINGER_BYTES
        self.lingering.add(self)
        self._forget()
        self._after(LINGER_SECONDS, self.transport.abort)
        self.transport.write_eof()
        self.waits = False
        self.flow.resume_reading()

    def _forget(self) -> None:
        self._hold.release()
        for cycle in self._unanswered():
            cycle.leave()

    def _unanswered(self) -> list[Any]:
        cycles = (self.running, self.cycle, *(cycle for cycle, _app in self.pipeline))
        return [cycle for cycle in cycles if cycle is not None and not cycle.response_complete]

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, do)

    def _unset_keepalive_if_required(self) -> None:
        """One timer a connection, which looks when it ends whether it was quiet; not one a request."""

    def on_response_complete(self) -> None:
        self._heard = self.loop.time()
        self.server_state.total_requests += 1
        if type(self.running) is AsgiCycle and (self.running.ends or self.running.more_body):
            self.finish()
        if self.transport.is_closing() or self._linger is not None:
            return
        if self.flow.write_paused:
            self._blocked = True
            self.flow.pause_reading()
        else:
            self._next()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._quiet)

    def _next(self) -> None:
        """Begins the next request, and reads on."""
        self._blocked = False
        cycle: Any = self.cycle
        if self.pipeline or type(cycle) is not InvokeCycle or self.flow.read_paused:
            self.flow.resume_reading()
            if self.pipeline:
                cycle, app = self.pipeline.pop()
                self._start_asgi_task(cycle, app)

    def _quiet(self) -> None:
        self.timeout_keep_alive_task = None
        busy = self._begun or (self.cycle is not None and not self.cycle.response_complete) or self._blocked
        left = self.timeout_keep_alive - (self.loop.time() - self._heard)
        if self.transport.is_closing():
            return
        if busy or left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(max(left, 1.0), self._quiet)
        else:
            self._close()

    def too_slow(self) -> None:
        """A request did not arrive in time."""
        self._timer = None
        cycle: Any = self.cycle
        reading = cycle is not None and cycle.more_body and self._begun
        if self.transport.is_closing() or self._linger is not None:
            return
        watched = reading and cycle.hold is not None and cycle.hold.watched
        if self.pipeline or self.waits or watched:
            self._after(READ_SECONDS, self.too_slow)  # it is not read now; or it is for the budget to say
        elif self._begun:
            self.refuse(408)
        else:
            self.hang_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.outgoing.paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.outgoing.done()
        if self._blocked and not self.transport.is_closing():
            self._next()
