"""One HTTP connection: uvicorn's own protocol, with a short cut for Invoke.

Everything but Invoke, and what target.py takes, goes uvicorn's way (ASGI, a task for each request). An Invoke is
answered by callbacks alone: its body goes to the engine as it arrived, and its response to the socket as the worker
wrote it. Requests of one connection are answered in order: a request behind another one waits in uvicorn's own
pipeline, whichever kind it is.

What uvicorn leaves to a proxy in front, and is done here: a request must be complete in READ_SECONDS, a response must
be taken in WRITE_SECONDS, a body may not grow beyond its limit.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .cycle import InvokeCycle
from .invoke import Endpoint
from .target import TargetCycle, is_direct

if TYPE_CHECKING:
    from .app import App

READ_SECONDS = 60.0
WRITE_SECONDS = 60.0
_ROUTE = b"/2015-03-31/functions/"
_INVOCATIONS = b"/invocations"


class Protocol(HttpToolsProtocol):
    """A connection of the server's. `endpoint` is set on a subclass made for one server."""

    endpoint: ClassVar[Endpoint]
    direct: ClassVar[App]
    targets: ClassVar[tuple[bytes, ...]] = ()  # of requests that go to `direct`
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
        """What came is not HTTP. The refusal must not take the place of a response that is still being made."""
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
            if is_direct(self.parser.get_method(), url, self.headers, self.targets):
                self._begin(TargetCycle(self, self.headers, self._keeps_alive()))
                return
            headers, expect = self.headers, self.expect_100_continue
            super().on_message_begin()  # makes what only ASGI needs
            self.url, self.expect_100_continue = url, expect
            self.headers += headers
            super().on_headers_complete()
            return
        self._begin(InvokeCycle(self, url, self.headers, self._keeps_alive(), self.endpoint.body_limit))

    def _keeps_alive(self) -> bool:
        return self.parser.get_http_version() != "1.0" and bool(self.parser.should_keep_alive())

    def _begin(self, cycle: InvokeCycle) -> None:
        before: Any = self.cycle
        self.cycle = cycle  # type: ignore[assignment]
        if self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if before is not None and not before.response_complete:
            cycle.queued = True
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        cycle: Any = self.cycle
        if isinstance(cycle, InvokeCycle):
            cycle.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._begun = False
        cycle: Any = self.cycle
        if isinstance(cycle, InvokeCycle):
            cycle.more_body = False
            if not cycle.queued:
                self._running = cycle
                self._serve(cycle)
        else:
            super().on_message_complete()

    def _serve(self, cycle: InvokeCycle) -> None:
        if isinstance(cycle, TargetCycle):
            task = self.loop.create_task(cycle.serve(self.direct))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
        else:
            self.endpoint.invoke(cycle)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        if isinstance(cycle, InvokeCycle):
            cycle.queued = False
            if not cycle.more_body:
                self._serve(cycle)
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
        if self.pipeline or not isinstance(cycle, InvokeCycle):
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
