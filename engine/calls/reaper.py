"""Many invocations of one event loop: submit from anywhere, complete in the loop.

While calls are in flight the loop is kept hot: a poll is re-armed with call_soon, and each looks at the lanes
for a few microseconds in C. After `hot_ns` without a result the loop goes cold: the workers are set to
ring, and the loop sleeps in epoll like any other. A server's loop stays hot as long when nothing is in flight, after
calls that came one at a time and as soon as that: to wake it costs the client more than its call.
"""

from __future__ import annotations

import contextlib
import itertools
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from .. import errors, wire
from .._native import ffi, lib
from .dispatch import Dispatch, FunctionEntry, Outcome, plain, read_outcome, refusal

if TYPE_CHECKING:
    import asyncio

_submit = lib.stk_submit
_submit_as = lib.stk_submit_as
_reap_spin = lib.stk_reap_spin
_BATCH = 128
_BUFFER = 256 * 1024
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
        self._words = ffi.new("uint64_t[]", _BATCH * 4)
        self._words_view = memoryview(ffi.buffer(self._words)).cast("Q")
        self._first = self._words_view[:4]  # one result is the common case: no list for it
        self._buffer = ffi.new("uint8_t[]", _BUFFER)
        self._results = ffi.buffer(self._buffer)
        box = lib.stk_box_new(dispatch.pointer, 1, self._words, _BATCH, self._buffer, _BUFFER)
        self._box = ffi.gc(box, lib.stk_box_free)
        self._outcome = ffi.new("stk_outcome *")
        self._next_token = itertools.count(1).__next__
        # A future gets a decoded value or an Outcome; the others a last chunk.
        self._waiting: dict[int, asyncio.Future[Any] | tuple[LastChunk, bool] | Owed] = {}
        self.together: Callable[[list[tuple[Any, int]]], object] | None = None
        self._owed: list[tuple[Any, int]] = []
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
        ffi.release(self._box)

    def start(self, entry: FunctionEntry, data: bytes, future: asyncio.Future[Any], flags: int = 0) -> int:
        """From the loop: accept an invocation and look for its result soon. The future gets a decoded value
        or an Outcome. The invocation's ticket. Raises what refusal() makes."""
        if self._closed:
            raise errors.EngineClosed("the engine is closed")
        token = self._next_token()
        self._waiting[token] = (_raw(future), True) if entry.raw else future
        ticket: int = _submit(self._box, entry.index, token, flags, data, len(data))
        if ticket < 0:
            del self._waiting[token]
            raise refusal(ticket, self._dispatch.payload_limit, len(data), entry)
        self.heat()
        return ticket

    def withdraw(self, ticket: int) -> None:
        """Its caller left: take it back if it has not begun, else let it run and drop its result."""
        if not self._closed and not lib.stk_cancel(self.engine, ticket):
            self._waiting.pop(lib.stk_forget(self.engine, ticket), None)

    def flush(self) -> None:
        """Deliver everything that is done."""
        while n := lib.stk_reap(self._box):
            self._deliver(n)

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
        if self._closed:
            raise errors.EngineClosed("the engine is closed")
        token = self._next_token()
        self._waiting[token] = (done, entry.raw)
        ticket: int = _submit_as(
            self._box, entry.index, token, flags, ffi.NULL if id is None else id, timeout_ns, data, len(data)
        )
        if ticket < 0:
            del self._waiting[token]
            raise refusal(ticket, self._dispatch.payload_limit, len(data), entry)
        return ticket

    def submit_owed(self, entry: FunctionEntry, data: bytes, owed: Owed, flags: int) -> None:
        """Accept an invocation whose end `together` is called with, in the loop. Raises what refusal() makes."""
        if self._closed:
            raise errors.EngineClosed("the engine is closed")
        token = self._next_token()
        self._waiting[token] = owed
        ticket: int = _submit(self._box, entry.index, token, flags, data, len(data))
        if ticket < 0:
            del self._waiting[token]
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
        spin = _SPIN_NS if hot and self._waiting else 0
        n = _reap_spin(self._box, spin)
        if n:
            self._deliver(n)
            self._until = 0
            if n > 1:
                self._asked_soon = False
            if hot or n == _BATCH:
                self._call_soon(self._turn)
                return
        elif hot and (self._waiting or self._asked_soon):
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

    def _deliver(self, n: int) -> None:
        words = self._first if n == 1 else self._words_view[: n * 4].tolist()
        waiting, results, decode = self._waiting, self._results, wire.fast_decode
        for i in range(0, n * 4, 4):
            entry = waiting.pop(words[i], None)
            status = words[i + 1]
            try:  # what one of them raises must not cost the others their results
                if isinstance(entry, Owed):
                    self._owed.append((entry, words[i + 3]))
                elif status & 0xFFFF:
                    self._deliver_slow(entry, words[i + 3])
                elif entry is not None:
                    at = words[i + 2]
                    content = results[at : at + (status >> 32)]
                    raw = type(entry) is tuple and entry[1]
                    try:
                        value = content if raw else decode(content)
                    except Exception:
                        # Not for the fast decoder: its caller decodes it, and gets the error if any.
                        self._hand_over(entry, plain(content))
                        continue
                    if isinstance(entry, tuple):
                        entry[0](None, value)
                    elif not entry.done():
                        entry.set_result(value)
            except Exception as error:
                self._failed(error)
        if self._owed and self.together is not None:
            owed, self._owed = self._owed, []
            try:
                self.together(owed)
            except Exception as error:
                self._failed(error)

    def _failed(self, error: Exception) -> None:
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

    def _deliver_slow(self, entry: Any, ticket: int) -> None:
        outcome = self.outcome(ticket)
        if outcome is not None:
            self._hand_over(entry, outcome)

    def _hand_over(self, entry: Any, outcome: Outcome) -> None:
        if type(entry) is tuple:
            entry[0](outcome, None)
        elif entry is not None and not entry.done():
            entry.set_result(outcome)


def _raw(future: asyncio.Future[Any]) -> LastChunk:
    """A raw function's future: bytes or an Outcome."""

    def done(outcome: Outcome | None, value: Any) -> None:
        if not future.done():
            future.set_result(value if outcome is None else outcome)

    return done
