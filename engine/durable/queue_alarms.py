"""When queues, and leases that have a term, are to be looked at: one timer for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush

NEVER = 1 << 62
Alarm = tuple[int, str, int]  # when, by the service clock; the queue's name, or the leased row's id


class Alarms:
    """ring: called when one is due."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], object]) -> None:
        self._loop = loop
        self._ring = ring
        self._heap: list[Alarm] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed = NEVER

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: int, queue: str = "", row: int = 0) -> None:
        """One of before stays: who is looked at may find nothing to do."""
        heappush(self._heap, (when, queue, row))

    def replace(self, alarms: Iterable[Alarm]) -> None:
        """All of them, by those that still mean something."""
        self._heap = list(alarms)
        heapify(self._heap)

    def due(self, now: int) -> Iterator[tuple[str, int]]:
        """Takes those that are."""
        while self._heap and self._heap[0][0] <= now:
            _, queue, row = heappop(self._heap)
            yield queue, row

    def arm(self, now: int, at_last: int) -> None:
        """The timer to the first, and at last to this."""
        when = min(at_last, self._heap[0][0]) if self._heap else at_last
        if when == self._armed:
            return
        self.close()
        self._armed = when
        if when < NEVER:
            self._timer = self._loop.call_later(max(0.001, (when - now) / 1e9), self._rung)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._armed = None, NEVER

    def _rung(self) -> None:
        self._timer, self._armed = None, NEVER
        self._ring()
