"""One connection: how it flows, whose responses are owed on it, and how it ends. What arrives is for protocol.py."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .budget import PATIENCE, Hold
from .cycle import STATUS_LINE, Cycle
from .outgoing import Outgoing

if TYPE_CHECKING:
    from .acceptor import Acceptor

LINGER_SECONDS = (
    10.0  # that a client may go on sending what is not read any more: else it never reads the refusal
)
LINGER_BYTES = 64 * 1024 * 1024
HEAD_BYTES = 64 * 1024  # request line and headers; and trailers
FIELDS = 512  # headers
_REASONS = {
    400: "Invalid HTTP request received.",
    408: "The request did not arrive in time.",
    431: f"A request line and its headers have at most {HEAD_BYTES} bytes and {FIELDS} headers.",
    503: "The server is at its limit: of bytes in flight, or of connections.",
}


class Connection(asyncio.Protocol):
    """Of an acceptor. `cycle`: the request that was read last; `running`: the one whose response is next; `pipeline`:
    those behind it."""

    def __init__(self, acceptor: Acceptor) -> None:
        self.acceptor = acceptor
        self.loop, self.budget = acceptor.loop, acceptor.budget
        self.cycle: Cycle | None = None
        self.running: Cycle | None = None
        self.pipeline: deque[Cycle] = deque()
        self.waits = False  # to be read: there is no room
        self.read_paused = self.write_paused = False
        self.heard = self.loop.time()
        self.begun = False  # a request that is not complete yet
        self.linger: int | None = None  # bytes that may still come, and are not looked at
        self._writable: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None  # until the request is there; or until the end is
        self._quiet_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.client = str(peer[0]) if isinstance(peer, tuple) else None  # None: by a Unix socket
        self.port = int(own[1]) if isinstance(own, tuple) else None
        self.descriptor: int = transport.get_extra_info("socket").fileno()
        self.outgoing = Outgoing(transport, self.budget)
        self.head_hold = Hold(self.budget)  # for a head that is not complete
        self.acceptor.connections.add(self)
        if len(self.acceptor.connections) > self.acceptor.most:
            self._make_place()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._quiet_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._quiet_timer = None
        self.forget()
        self.acceptor.lingering.discard(self)
        self.acceptor.connections.discard(self)
        self.outgoing.done()
        self._written()

    def _make_place(self) -> None:
        """For this connection, by the end of the one that has been of no use for longest; else by its own."""
        connections = self.acceptor.connections
        idle = [each for each in connections if each is not self and not each.busy]
        if not idle:
            self.refuse(503)
            return
        oldest = min(idle, key=lambda each: each.heard)
        connections.discard(oldest)
        oldest.forget()
        oldest.transport.abort()

    @property
    def busy(self) -> bool:
        """Is there a request, or a response? One whose head is not complete is none yet."""
        cycle = self.cycle
        if self.linger is not None or cycle is None:
            return False
        return cycle.more_body or not cycle.response_complete or self.write_paused

    # Both directions' flow.

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.write_paused = True
        self.outgoing.paused()

    def resume_writing(self) -> None:
        self._written()
        self.outgoing.done()

    def _written(self) -> None:
        self.write_paused = False
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    async def drained(self) -> None:
        """Until the client has taken what was written, or has left."""
        while self.write_paused:
            if self._writable is None:
                self._writable = self.loop.create_future()
            await asyncio.shield(self._writable)

    # How a connection, or one request of it, ends.

    def refuse(self, status: int) -> None:
        """The last thing that is written. It must not take the place of a response that is still being made."""
        if self.transport.is_closing() or self.linger is not None:
            return
        owed = self._unanswered()
        making = any(not cycle.more_body or cycle.queued or cycle.response_started for cycle in owed)
        self.forget()
        if making:
            self.close()
            return
        reason = _REASONS[status].encode()
        kind = b"\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(reason)
        self.transport.write(
            b"".join((STATUS_LINE[status], self.acceptor.date(), kind, b"connection: close\r\n\r\n", reason))
        )
        self._start_lingering()

    def hang_up(self) -> None:
        """Closes the connection, and no answer is written to it any more."""
        self.forget()
        self.close()

    def finish(self) -> None:
        """The connection ends with the response that was just written."""
        if self.begun:
            self._start_lingering()
        else:
            self.close()

    def shut_down(self) -> None:
        """The server is to end: after the request that is there, or now."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def close(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.after(PATIENCE, self.transport.abort)

    def _start_lingering(self) -> None:
        """No more is written, and what comes is not looked at: who is hung up on while sending may read nothing."""
        self.linger = LINGER_BYTES
        self.acceptor.lingering.add(self)
        self.forget()
        self.after(LINGER_SECONDS, self.transport.abort)
        self.transport.write_eof()
        self.waits = False
        self.resume_reading()

    def forget(self) -> None:
        """Nothing that was asked for is answered any more."""
        self.head_hold.release()
        for cycle in self._unanswered():
            cycle.leave()

    def _unanswered(self) -> list[Cycle]:
        cycles = (self.running, self.cycle, *self.pipeline)
        return [cycle for cycle in cycles if cycle is not None and not cycle.response_complete]

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """In the place of what was to be done before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, do)
