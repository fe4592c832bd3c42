"""Many invocations of one event loop: submit from anywhere, complete in the loop.

While calls are in flight the loop is kept hot: a poll is re-armed with call_soon, and each looks at the lanes
for a few microseconds in C. After `hot_ns` without a result the loop goes cold: the workers are set to
ring, and the loop sleeps in epoll like any other. A server's loop stays hot as long when nothing is in flight, after
calls that came one at a time and as soon as that: to wake it costs the client more than its call.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .. import _call, wire
from .._native import ffi, lib
from .dispatch import Dispatch, FunctionEntry, Outcome, address, plain, read_outcome, refusal

if TYPE_CHECKING:
    import asyncio

_SPIN_NS = 4000  # of one poll: other tasks of the loop must not notice
_ASIDE_NS = 1_000_000  # between two looks at whether the loop is on its workers' core


# A response is a stream of chunks, and this is how its last one reaches the caller: (None, value) of a plain result, or
# (outcome, None). Today's workers send no other. One that streams gives its earlier chunks a status of their own, which
# is not 0: _deliver_slow() is where they come through, and where their caller's token is kept for the next one.
LastChunk = Callable[[Outcome | None, Any], None]


class Turns(Protocol):
    """A loop: asyncio's kind, or the control loop."""

    def add_reader(self, fd: int, function: Callable[..., object], /, *arguments: Any) -> None: ...
    def remove_reader(self, fd: int, /) -> object: ...
    def call_soon(self, function: Callable[..., object], /, *arguments: Any) -> object: ...
    def call_exception_handler(self, context: dict[str, Any], /) -> None: ...


class Owed:
    """An invocation whose end is told together with those of all that ended by the same look: `Reaper.together` gets
    them and their tickets, whose outcomes are the engine's until `outcome` or stk_call_free has had each."""

    __slots__ = ()


class Reaper:
    """One loop's mailbox. `hot`: poll while calls are in flight instead of sleeping at once."""

    def __init__(
        self,
        dispatch: Dispatch,
        loop: Turns,
        epoll: select.epoll,
        hot_ns: int,
        serving: bool = False,
    ) -> None:
        """serving: the loop is a server's. It awaits its clients, and its thread leaves the core of its workers."""
        self._dispatch = dispatch
        self.engine = dispatch.pointer
        self._loop = loop
        self._epoll = epoll
        self._hot_ns = hot_ns
        # (who, ticket), (who, bytes) or (None, exception): as Mailbox.look leaves them.
        self._rest: list[tuple[Any, Any]] = []
        self._mailbox = _call.Mailbox(address(dispatch.pointer), self._rest)
        self._box = ffi.cast("stk_box *", self._mailbox.address)
        self._look, self._submit = self._mailbox.look, self._mailbox.submit
        self._outcome = ffi.new("stk_outcome *")
        self.together: Callable[[list[tuple[Any, int]]], object] | None = None
        self._closed = False
        self._armed = False
        self._until = 0
        self._serving = serving
        self._aside_at = 0 if serving else 1 << 63
        self._cold_at = 0  # since when nothing is in flight
        self._asked_soon = False  # the last call came within hot_ns of that, alone
        self._call_soon = loop.call_soon
        self._turn = self._poll
        loop.add_reader(epoll.fileno(), self._rung)

    def close(self) -> None:
        """Look no more. What was submitted and is not done is abandoned."""
        with contextlib.suppress(RuntimeError):  # the loop was closed before
            self._loop.remove_reader(self._epoll.fileno())
        self._closed = True
        self._mailbox.close()

    def start(self, entry: FunctionEntry, data: bytes, future: asyncio.Future[Any], flags: int = 0) -> int:
        """From the loop: accept an invocation and look for its result soon. The future gets a decoded value
        or an Outcome. The invocation's ticket. Raises what refusal() makes."""
        ticket = self._submit(entry.index, data, future, entry.raw, flags, None, 0)
        if ticket < 0:
            raise refusal(ticket, self._dispatch.payload_limit, len(data), entry)
        self.heat()
        return ticket

    def withdraw(self, ticket: int) -> None:
        """Its caller left: take it back if it has not begun, else let it run and drop its result."""
        if not self._closed and not lib.stk_cancel(self.engine, ticket):
            self._mailbox.drop(lib.stk_forget(self.engine, ticket))

    def flush(self) -> None:
        """Deliver everything that is done."""
        while self._look(0):
            self._settle()

    def submit(
        self,
        entry: FunctionEntry,
        data: bytes,
        done: LastChunk,
        flags: int = 0,
        id: bytes | None = None,
        timeout_ns: int = 0,
    ) -> int:
        """Accept an invocation; `done` is called in the loop. Its ticket. `id`: its request id, 16 bytes; timeout_ns: 0
        for its function's. Raises what refusal() makes."""
        ticket = self._submit(entry.index, data, done, entry.raw, flags, id, timeout_ns)
        if ticket < 0:
            raise refusal(ticket, self._dispatch.payload_limit, len(data), entry)
        return ticket

    def submit_owed(self, entry: FunctionEntry, data: bytes, owed: Owed, flags: int) -> None:
        """Accept an invocation whose end `together` is called with, in the loop. Raises what refusal() makes."""
        ticket = self._submit(entry.index, data, owed, False, flags, None, 0)
        if ticket < 0:
            raise refusal(ticket, self._dispatch.payload_limit, len(data), entry)

    def heat(self) -> None:
        """Look for results soon, and again while they come."""
        self._until = 0  # what waiting for this call took is not its own
        if not self._armed and self._hot_ns:
            self._armed = True
            self._asked_soon = self._serving and lib.stk_now() - self._cold_at < self._hot_ns
            lib.stk_loop_hot(self._box)
            self._loop.call_soon(self._poll)

    def _rung(self) -> None:
        self._epoll.poll(0, 256)  # edge-triggered: this is what resets them
        lib.stk_loop_hot(self._box)
        lib.stk_drain_all(self.engine)
        if not self._armed:
            self._armed = True
            self._until = 0
            self._poll()

    def _poll(self) -> None:
        """Look, deliver, and be called again while that pays; then let the loop sleep.

        A poll that delivered stays one more turn: the callers that got results run first and submit the
        next events, and this turn finds them without having gone cold in between.
        """
        if self._closed:
            return
        hot = self._hot_ns
        try:
            n = self._look(_SPIN_NS if hot else 0)
        except BaseException:  # a callback's KeyboardInterrupt: the loop ends, or looks again
            self._call_soon(self._turn)
            raise
        if self._rest:
            self._settle()
        if n:
            if self._closed:  # by a callback
                return
            self._until = 0
            if n > 1:
                self._asked_soon = False
            if hot or n == _call.BATCH:
                self._call_soon(self._turn)
                return
        elif hot and (self._mailbox.waiting or self._asked_soon):
            now = lib.stk_now()
            if now > self._aside_at:
                self._aside_at = now + _ASIDE_NS
                lib.stk_loop_aside(self._box)
            if not self._until:
                self._until = now + hot
            if now < self._until and lib.stk_may_spin(self.engine):
                self._loop.call_soon(self._poll)
                return
        if lib.stk_loop_cold(self._box):
            self._loop.call_soon(self._poll)
        else:
            self._armed = False
            self._cold_at = lib.stk_now()

    def _settle(self) -> None:
        """Deliver what the mailbox leaves: what one of them raises must not cost the others their results."""
        rest = self._rest[:]
        self._rest.clear()
        owed = []
        for who, what in rest:
            try:
                if isinstance(what, BaseException):
                    self._failed(what)
                elif isinstance(who, Owed):
                    owed.append((who, what))
                elif (outcome := plain(what) if type(what) is bytes else self.outcome(what)) is not None:
                    _hand_over(who, outcome)
            except Exception as error:
                self._failed(error)
        if owed and self.together is not None:
            try:
                self.together(owed)
            except Exception as error:
                self._failed(error)

    def _failed(self, error: BaseException) -> None:
        message = "a result could not be delivered"
        self._loop.call_exception_handler({"message": message, "exception": error})

    def outcome(self, ticket: int) -> Outcome | None:
        """Of an invocation that has ended, once."""
        o = self._outcome
        if not lib.stk_outcome_of(self.engine, ticket, o):
            return None
        outcome = read_outcome(o)
        lib.stk_call_free(self.engine, ticket)
        return outcome


def _hand_over(who: Any, outcome: Outcome) -> None:
    if callable(who):
        who(outcome, None)
    elif who is not None and not who.done():
        who.set_result(outcome)


_call.bind_mailbox(
    address(ffi.addressof(lib, "stk_box_new")),
    address(ffi.addressof(lib, "stk_box_free")),
    address(ffi.addressof(lib, "stk_submit_as")),
    address(ffi.addressof(lib, "stk_reap_spin")),
    wire.fast_decode,
)
