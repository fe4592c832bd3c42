"""Who looks for the results of what was submitted: a thread that waits for one, or else the shepherd.

**Who looks.** Results are taken out of the engine by one thread at a time, the leader. A thread that waits for a result
leads itself, if nobody does: it spins and sleeps in C, so that no other thread has to be woken between the worker's
reply and the caller. Whoever leads delivers all results that are there. When nobody waits, the shepherd leads, a
thread of the collector's. It runs all callbacks, too, so they may wait for whatever they like. While invocations come
it looks every millisecond whether it is needed; it is woken when somebody adds a callback or waits for several futures.

**Invariant.** Each token in `_waiting` is delivered or dropped exactly once, by the leader: `_leading` is held around
reaping and delivery.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .._native import ffi, lib

_BATCH = 128
_BUFFER = 256 * 1024
_LOOK_S = 0.001  # between two looks of the shepherd's while invocations come
_LOOKS = 50  # without a new one, before it sleeps
_LEAD_NS = 100_000_000  # of one wait in C


class Waiting(Protocol):
    """Who gets a result."""

    def deliver(self, result: Any, shepherd: bool) -> bool:
        """A plain result's bytes, or what Collector's `read` made of another. False: the shepherd has to."""

    def done(self) -> bool: ...

    def withdraw(self) -> object:
        """If it has not begun."""


class Collector:
    """Submits invocations to an engine, and delivers their results. Any thread may use it.

    name: its thread's. ended: what that thread runs last, when it is closed."""

    def __init__(self, name: str, ended: Callable[[], None] = lambda: None) -> None:
        self._engine: Any = None
        self._box: Any = None
        self.foreign = False  # in a forked child: it belongs to the parent
        self._closing = False
        self._waiting: dict[int, Waiting] = {}
        self._next_token = itertools.count(1).__next__
        self._newest = 0  # token
        self._leading = threading.RLock()  # what a leader runs may wait for a result
        self._ended = ended
        self._shepherd = threading.Thread(target=self._watch, name=name, daemon=True)
        self._called = threading.Event()
        self._needed = False  # the shepherd, at once: set before it is called
        self._asleep = False
        self._shepherding = False
        self._wanted = False  # by a thread that would lead, while the shepherd does
        self._handed: deque[tuple[Waiting, Any]] = deque()

    def open(self, engine: Any, read: Callable[[int], Any]) -> None:
        """Before the first invocation. read: makes a result of the ticket of what is not plain, and frees the call."""
        self._engine, self._read = engine, read
        self._words = ffi.new("uint64_t[]", _BATCH * 4)
        self._view = memoryview(ffi.buffer(self._words)).cast("Q")
        self._buffer = ffi.new("uint8_t[]", _BUFFER)
        self._results = ffi.buffer(self._buffer)
        box = lib.stk_box_new(engine, 0, self._words, _BATCH, self._buffer, _BUFFER)
        self._shepherd.start()
        _living.add(self)
        self._box = ffi.gc(box, lib.stk_box_free)

    @property
    def is_open(self) -> bool:
        return self._box is not None

    # Submission.

    def submit(self, index: int, payload: Any, length: int, waiting: Waiting, timeout_ns: int = 0) -> int:
        """An invocation's ticket, or a negative STK_*: it was not accepted. timeout_ns: 0: its function's."""
        token = self._next_token()
        self._waiting[token] = waiting
        self._newest = token
        ticket: int = lib.stk_submit_within(self._box, index, token, timeout_ns, payload, length)
        if ticket < 0:
            del self._waiting[token]
        elif self._asleep:
            self._called.set()
        return ticket

    def cancel(self, ticket: int) -> bool:
        """Withdraw an invocation that has not begun. ticket: negative while it is being submitted."""
        return (
            self.is_open and not self.foreign and ticket >= 0 and bool(lib.stk_cancel(self._engine, ticket))
        )

    def begun(self, ticket: int) -> bool:
        return self.is_open and not self.foreign and ticket >= 0 and bool(lib.stk_begun(self._engine, ticket))

    # Results.

    def lead(self, waiting: Waiting, until: float | None) -> None:
        """Look for results until that one's is there, unless another thread does. until: by time.monotonic()."""
        if not self.is_open or self.foreign:
            return
        if not self._leading.acquire(blocking=False):
            self._wanted = self._shepherding
            return
        try:
            while not waiting.done():
                ns = _LEAD_NS
                if until is not None:
                    ns = min(ns, int((until - time.monotonic()) * 1e9))
                    if ns <= 0:
                        break
                n = lib.stk_reap_wait(self._box, ns)
                if n > 0:
                    self._deliver(n)
        finally:
            self._leading.release()
        if self._waiting and self._asleep:
            self._called.set()

    @contextlib.contextmanager
    def submitting(self) -> Iterator[Callable[[], None]]:
        """For who submits many: nobody else looks for results meanwhile, with whom this thread would contend for the
        interpreter. What it gets is to be called now and then: it takes those that are there."""
        leads = self._leading.acquire(blocking=False)

        def collect() -> None:
            if leads and self.is_open and (n := lib.stk_reap(self._box)) > 0:
                self._deliver(n)

        try:
            yield collect
        finally:
            if leads:
                self._leading.release()
                if self._waiting:
                    self._called.set()

    def call_shepherd(self) -> None:
        """Somebody waits who does not lead."""
        self._needed = True
        self._called.set()

    def end_all(self, result: Any) -> None:
        """None of them can run any more: all that there are get this result."""
        for token in list(self._waiting):
            waiting = self._waiting.pop(token, None)
            if waiting is not None:
                self._handed.append((waiting, result))
        self.call_shepherd()

    def withdraw_all(self) -> None:
        for waiting in list(self._waiting.values()):
            waiting.withdraw()

    def _deliver(self, n: int) -> None:
        """All are taken out of the box's memory before the first is delivered: what that runs may reap, too."""
        words = self._view[: n * 4].tolist()
        found: list[tuple[Waiting | None, bytes | int]] = []
        for at in range(0, n * 4, 4):
            status, offset = words[at + 1], words[at + 2]
            plain = not status & 0xFFFF
            content = self._results[offset : offset + (status >> 32)] if plain else words[at + 3]
            found.append((self._waiting.pop(words[at], None), content))
        handed = False
        for waiting, content in found:
            result = self._read(content) if isinstance(content, int) else content
            if waiting is not None and not waiting.deliver(result, False):
                self._handed.append((waiting, result))
                handed = True
        if handed:
            self.call_shepherd()

    # The shepherd.

    def _watch(self) -> None:
        looks = newest = 0
        while not (self._closing and not self._waiting and not self._handed):
            self._hand_over()
            if self._waiting and self._leading.acquire(blocking=False):
                self._lead_all()
                if not self._wanted:
                    continue
                self._wanted = False
            if looks > _LOOKS and not self._waiting:
                self._asleep = True
                if not self._waiting and not self._closing and not self._handed:
                    self._called.wait()
                self._asleep = False
            self._called.clear()  # who is not needed at once looks a moment later: by then somebody may lead
            called = self._needed or self._called.wait(_LOOK_S)
            self._needed = False
            looks = 0 if called or newest != self._newest else looks + 1
            newest = self._newest
        self._hand_over()
        self._ended()
        _living.discard(self)

    def _lead_all(self) -> None:
        """Until nothing is under way, there are callbacks to run, or a thread that waits would rather."""
        self._shepherding = True
        try:
            while self._waiting and not self._wanted and not self._handed:
                n = lib.stk_reap_wait(self._box, _LEAD_NS)
                if n > 0:
                    self._deliver(n)
        finally:
            self._shepherding = False
            self._leading.release()

    def _hand_over(self) -> None:
        """Not as the leader: what a callback waits for, it may look for itself."""
        while self._handed:
            waiting, result = self._handed.popleft()
            waiting.deliver(result, True)
            del waiting, result  # while it waits for the next it refers to none

    # The end.

    def close(self, wait: bool = True) -> None:
        """Once all that was submitted is delivered its thread ends. From a callback: without waiting for that."""
        self._closing = True
        self.call_shepherd()
        if wait and self.is_open and not self.foreign and threading.current_thread() is not self._shepherd:
            self._shepherd.join()

    def take(self) -> None:
        """In `ended`: what was submitted at the same moment as the end."""
        with self._leading:
            while (n := lib.stk_reap(self._box)) > 0:
                self._deliver(n)
        self._hand_over()


_living: weakref.WeakSet[Collector] = weakref.WeakSet()


def _in_child() -> None:
    for collector in list(_living):
        collector.foreign = True
    _living.clear()


os.register_at_fork(after_in_child=_in_child)
