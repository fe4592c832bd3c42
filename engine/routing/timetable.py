"""What is due when, by a wall clock that may jump: one table for whatever has schedules.

A clock that jumps forward makes a thing due once, whatever it passed; one that jumps back by less than BACK does not
make it due again. Who wants that a thing is due once across restarts keeps on the disk what `first` needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Hashable, Iterable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from ..durable.folder import StoreError
from ..durable.queue import QueueFull

LOOK = 20.0  # seconds at most between two looks at the clock
BACK = 3 * 3600.0  # seconds
AGAIN = 1.0  # until what could not be put is tried again
TOGETHER = 256  # that fire at the same time

K = TypeVar("K", bound=Hashable)


class Timetable(Generic[K]):
    """Belongs to the event loop. Times are epoch seconds."""

    def __init__(
        self,
        things: Callable[[], Iterable[K]],
        what: Callable[[K], str | None],
        first: Callable[[K, float, bool], float | None],
        fire: Callable[[K, float, float], Awaitable[float | None]],
        clock: Callable[[], float],
    ) -> None:
        """things: all that may have a schedule. what: what makes a thing another one when it changes; None: it has no
        schedule. first: when one is due that is new here, given the time and whether the clock was set back. fire: does
        what is due, given when it was and the time, durably, and returns when it is due next (None: never again). It
        may raise QueueFull or StoreError: it is called again, then."""
        self._things, self._what, self._first, self._fire, self._clock = things, what, first, fire, clock
        self._due: dict[K, tuple[str, float | None]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._pushed = 0  # orders what is due at the same time
        self._changed = asyncio.Event()
        self._keys: set[K] | None = set()  # of the things that changed; None: any may have
        self._task: asyncio.Task[None] | None = None
        self._seen = clock()

    def start(self) -> None:
        self.look()
        self._task = asyncio.ensure_future(self._run())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def changed(self, *keys: K) -> None:
        """These things are others now, or gone, or new; of no keys, any may be."""
        self._keys = self._keys | set(keys) if keys and self._keys is not None else None
        self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            keys, self._keys = self._keys, set()
            if keys is None or self._clock() < self._seen - BACK:
                self.look()
            else:
                now = self._clock()
                for key in keys:
                    self._look_at(key, now, False)
            await self.fire()
            first = self._heap[0][0] if self._heap else math.inf
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(LOOK, max(0.0, first - self._clock())))

    def look(self) -> None:
        """When each is due, by what it is now."""
        now = self._clock()
        back = now < self._seen - BACK
        self._seen = now if back else max(now, self._seen)
        things = list(self._things())
        for key in self._due.keys() - set(things):
            del self._due[key]
        for key in things:
            self._look_at(key, now, back)
        self._heap = [
            (when, n, key) for n, (key, (_, when)) in enumerate(self._due.items()) if when is not None
        ]
        self._pushed = len(self._heap)
        heapify(self._heap)

    def _look_at(self, key: K, now: float, back: bool) -> None:
        what, known = self._what(key), self._due.get(key)
        if what is None:
            self._due.pop(key, None)
        elif known is None or known[0] != what or back:
            try:
                self._due[key] = what, self._first(key, now, back)
            except Exception as error:
                self._due[key] = what, None
                self._complain(f"when {key} is due could not be found", error)
            self._push(key)

    async def fire(self) -> None:
        """What is due by now, each once."""
        now = self._clock()
        self._seen = max(now, self._seen) if now >= self._seen - BACK else self._seen
        failed: list[K] = []
        while due := self._take(now):
            done = await asyncio.gather(*(self._one(key, what, when, now) for key, what, when in due))
            failed += [key for key, _, _ in due if key not in done]
        if failed:
            await asyncio.sleep(AGAIN)
            for key in failed:
                self._push(key)

    def _take(self, now: float) -> list[tuple[K, str, float]]:
        found: list[tuple[K, str, float]] = []
        while self._heap and self._heap[0][0] <= now and len(found) < TOGETHER:
            when, _, key = heappop(self._heap)
            what, current = self._due.get(key, ("", None))
            if current == when:  # else it is another one meanwhile
                found.append((key, what, when))
        return found

    async def _one(self, key: K, what: str, when: float, now: float) -> K | None:
        """The key if that is done."""
        try:
            following = await self._fire(key, when, now)
        except (QueueFull, StoreError):
            return None
        except Exception as error:
            self._complain(f"{key} could not be fired", error)
            return None
        if self._due.get(key) == (what, when):
            self._due[key] = what, following
            self._push(key)
        return key

    def _complain(self, message: str, error: Exception) -> None:
        """A mistake of ours with one thing stops no other."""
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})

    def _push(self, key: K) -> None:
        _, when = self._due.get(key, ("", None))
        if when is not None:
            self._pushed += 1
            heappush(self._heap, (when, self._pushed, key))
