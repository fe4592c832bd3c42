"""One budget for all bytes that clients make the server hold.

The invariant: what is held for requests and responses, of all connections together, is at most `size`; and nothing is
held for ever by somebody who does not move. It stands on four rules.

- **Nothing is held that was not taken.** Who is about to hold bytes takes them first: a request's body when its length
  is known, before it is read; a response before it is written. A body counts as often as it is copied on its way. What
  a connection costs anyway (FREE bytes of a request, WRITTEN bytes of a response, a parser) is not counted: that many
  connections there may be, and it is what keeps an ordinary call free of all this.
- **What was let in can always end.** A body takes room for its whole length, so it never waits half-read for room that
  another half-read one has. One of unknown length takes more as it grows and may have to wait; it waits WAIT seconds
  at most, and then gives back what it has. What waits is not read. Room is given in the order in which it was asked
  for: a large request at the head of the line is not passed by small ones for ever.
- **Large ones leave a share to small ones.** An eighth is not given to large requests that ask before they are read,
  and half of that only to what is SMALL, so that ordinary calls find room while large ones wait.
- **Who has room must move.** What is being received or taken must move by a twentieth of what it holds in PATIENCE
  seconds, or in PRESSED while others wait; else it is cut off and its bytes are given back. So nobody holds room for
  longer than twenty times that, however it drips. A request that is being run is not cut off: its function's timeout
  bounds it.

A response cannot wait for room, as its bytes are there already: who has not moved for PRESSED seconds makes place for
it, or it is dropped and a 503 takes its place. What responses there are before they are seen here is for pace.py to
bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..hosting.allocator import give_back

MIB = 1024 * 1024
DEFAULT = 256 * MIB
LEAST = 32 * MIB  # any Invoke and any request of a function URL fits into it
FREE = 4 * 1024  # bytes of a request that are not counted
WRITTEN = 16 * 1024  # bytes of a response that are not counted, and of a connection's write buffer
SMALL = 64 * 1024  # of one request or response
WAIT = 10.0  # seconds in line
PATIENCE = 30.0  # seconds without moving
PRESSED = 5.0
_SHARE = 20  # of what it holds, that must move meanwhile
_TICK = 0.5
_TRIM = 8 * MIB  # of a peak, after which the allocator is asked to give memory back


class Hold:
    """What one request or response holds; nothing at first."""

    __slots__ = ("_budget", "_evict", "_least", "_mark", "_progress", "_since", "bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = 0

    def take(self, total: int) -> bool:
        """Hold so many bytes in all, if there is room now. Never fewer than before."""
        more = total - self.bytes
        if more > 0:
            if not self._budget.has_room(more):
                return False
            self._budget.add(more)
            self.bytes = total
        return True

    def ask(self, total: int) -> bool:
        """The same of bytes that are still to come, by the rules of reserve(): not in front of who stands in line."""
        more = total - self.bytes
        return not self._budget.waiting and self._budget.admits(more, first=True) and self.take(total)

    def reserve(self, total: int, then: Callable[[bool], None]) -> None:
        """The same, in line. `then` is called with whether there is room: at once, when it is its turn, or after WAIT
        seconds. Not at all when this is released meanwhile."""
        self._budget.stand_in_line(self, total, then)

    def watch(self, size: int, progress: Callable[[], int], evict: Callable[[], None]) -> None:
        """From now on `progress()`, in bytes of `size`, must rise; `evict` is called once when it does not."""
        self._least, self._progress, self._evict = max(1, size // _SHARE), progress, evict
        self._mark, self._since = progress(), self._budget.now()
        self._budget.watched[self] = None

    def unwatch(self) -> None:
        self._budget.watched.pop(self, None)

    @property
    def watched(self) -> bool:
        return self in self._budget.watched

    def stalled(self, now: float) -> float:
        """Seconds since it last moved as far as it must."""
        moved = self._progress()
        if moved - self._mark >= self._least:
            self._mark, self._since = moved, now
        return now - self._since

    def cut_off(self) -> None:
        self.unwatch()
        self._evict()

    def release(self) -> None:
        """Hold nothing any more; and wait for nothing. As often as one likes."""
        self.unwatch()
        self._budget.leave_line(self)
        held, self.bytes = self.bytes, 0
        if held:
            self._budget.add(-held)


class Budget:
    """`size` bytes for all connections of one event loop."""

    def __init__(self, size: int = DEFAULT) -> None:
        self.size = size
        self.held = 0
        self.watched: dict[Hold, None] = {}
        self._line: deque[tuple[Hold, int, Callable[[bool], None], float]] = deque()
        self._ticking: asyncio.TimerHandle | None = None
        self._peak = 0
        self._serving = False

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def read(self) -> dict[str, int]:
        """What health and metrics show."""
        return {"inflightBytes": self.held, "waiting": self.waiting}

    @property
    def largest(self) -> int:
        """Bytes that one request may take at most."""
        return self.size - self.size // 8

    def has_room(self, more: int) -> bool:
        """For bytes that are there already."""
        return self.held + more <= self.size - (self.size // 16 if more > SMALL else 0)

    @property
    def room(self) -> int:
        """Bytes that there is room for, however they are divided."""
        return max(0, self.size - self.size // 16 - self.held)

    def make_room(self, more: int) -> bool:
        """The same, and those who do not move are cut off for it, the longest stalled first."""
        if self.has_room(more):
            return True
        now = self.now()
        stalled = [(hold.stalled(now), hold) for hold in list(self.watched)]
        for seconds, hold in sorted(stalled, key=lambda each: -each[0]):
            if seconds < PRESSED:
                break
            hold.cut_off()
            if self.has_room(more):
                return True
        return False

    def add(self, more: int) -> None:
        self.held += more
        if more > 0:
            self._peak = max(self._peak, self.held)
            self._tick_soon()
        elif self._line and not self._serving:
            self._serving = True
            asyncio.get_running_loop().call_soon(self._serve_line)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def stand_in_line(self, hold: Hold, total: int, then: Callable[[bool], None]) -> None:
        more = total - hold.bytes
        if total > self.largest:
            then(False)
        elif self.admits(more, first=not self._line):
            if more > 0:
                self.add(more)
                hold.bytes = total
            then(True)
        else:
            self._line.append((hold, total, then, self.now() + WAIT))
            self._tick_soon()

    def leave_line(self, hold: Hold) -> None:
        if self._line and any(each[0] is hold for each in self._line):
            self._line = deque(each for each in self._line if each[0] is not hold)

    def admits(self, more: int, first: bool) -> bool:
        """Bytes that are still to come. first: nobody stands before who asks."""
        if more <= SMALL:
            return self.held + more <= self.size
        return first and self.held + more <= self.largest

    def _tick_soon(self) -> None:
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        now = self.now()
        patience = PRESSED if self._line else PATIENCE
        for hold in list(self.watched):
            if hold in self.watched and hold.stalled(now) >= patience:
                hold.cut_off()
        self._serve_line()
        if self.held or self._line or self.watched:
            self._tick_soon()
        else:
            if self._peak >= _TRIM:
                give_back()
            self._peak = 0

    def _serve_line(self) -> None:
        self._serving = False
        while self._line:
            hold, total, then, deadline = self._line[0]
            more = max(0, total - hold.bytes)
            if self.admits(more, first=True):
                self._line.popleft()
                self.add(more)
                hold.bytes = total
                then(True)
            elif self.now() >= deadline:
                self._line.popleft()
                then(False)
            else:
                return
