"""How many invocations of a function are begun at once while its responses are large, or nobody knows how large.

A response is in memory from the moment it is written, before this server has seen it: who begins two hundred
invocations in a moment may have two hundred responses of 6 MB in the next. So while that may be, only as many are begun
as fill ALL bytes; one that takes longer than SLOW is no part of such a flood, and counts no more. And since a large
response keeps the loop for milliseconds, the next waits for REST times as long: others are served meanwhile. A function
whose responses are known to be small, as most are, has no pace.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..hosting.deployments import Deployment
from .budget import MIB, SMALL

ALL = 16 * MIB
UNKNOWN = 8  # invocations of a function that has not responded yet
SLOW = 0.25  # seconds
REST = 3


def expect(deployment: Deployment, size: int) -> None:
    """Its latest response has so many bytes."""
    if size > SMALL or deployment.reply_bytes:
        deployment.reply_bytes = max(size, deployment.reply_bytes * 7 // 8) // SMALL * SMALL


class Pace:
    """Of one deployment."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._width = UNKNOWN
        self._young: dict[int, float] = {}  # until when each is, the first to be slow first
        self._waiting: deque[Callable[[int], None]] = deque()
        self._last = 0
        self._resting: asyncio.TimerHandle | None = None
        self._aging: asyncio.TimerHandle | None = None  # while any wait: until the first is slow

    @property
    def at_rest(self) -> bool:
        return not self._young and not self._waiting

    def begin(self, run: Callable[[int], None]) -> None:
        """Has it run, now or later, with the number that ended() wants."""
        self._waiting.append(run)
        self._fill()

    def at_once(self) -> int:
        """The number of one that begins now; 0: it has to wait."""
        if self._waiting or self._resting is not None:
            return 0
        self._age()
        return self._next() if len(self._young) < self._width else 0

    def ended(self, number: int, reply_bytes: int, took: float) -> None:
        """One has ended, and its response kept the loop so long. Such sizes are to be expected; 0: small ones."""
        if reply_bytes > 0 and self._waiting and self._resting is None:
            self._resting = self._loop.call_later(took * REST, self._rested)
        self._width = max(1, ALL // reply_bytes) if reply_bytes > 0 else UNKNOWN if reply_bytes else 1 << 30
        self._young.pop(number, None)
        self._fill()

    def _rested(self) -> None:
        self._resting = None
        self._fill()

    def _aged(self) -> None:
        self._aging = None
        self._fill()

    def _age(self) -> None:
        now = self._loop.time()
        while self._young and next(iter(self._young.values())) <= now:
            del self._young[next(iter(self._young))]

    def _next(self) -> int:
        self._last += 1
        self._young[self._last] = self._loop.time() + SLOW
        return self._last

    def _fill(self) -> None:
        while self._waiting and self._resting is None:
            self._age()
            if len(self._young) >= self._width:
                if self._aging is None:
                    self._aging = self._loop.call_at(next(iter(self._young.values())), self._aged)
                return
            self._waiting.popleft()(self._next())
