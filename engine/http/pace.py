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

from .budget import MIB

ALL = 16 * MIB
UNKNOWN = 8  # invocations of a function that has not responded yet
SLOW = 0.25  # seconds
REST = 3


class Pace:
    """Of one deployment."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._width = UNKNOWN
        self._young: dict[int, asyncio.TimerHandle] = {}
        self._waiting: deque[Callable[[int], None]] = deque()
        self._last = 0
        self._resting: asyncio.TimerHandle | None = None

    @property
    def at_rest(self) -> bool:
        return not self._young and not self._waiting

    def begin(self, run: Callable[[int], None]) -> None:
        """Has it run, now or later, with the number that ended() wants."""
        self._waiting.append(run)
        self._fill()

    def ended(self, number: int, reply_bytes: int, took: float) -> None:
        """One has ended, and its response kept the loop so long. Such sizes are to be expected; 0: small ones."""
        if reply_bytes > 0 and self._waiting and self._resting is None:
            self._resting = self._loop.call_later(took * REST, self._rested)
        self._width = max(1, ALL // reply_bytes) if reply_bytes > 0 else UNKNOWN if reply_bytes else 1 << 30
        self._over(number)

    def _over(self, number: int) -> None:
        timer = self._young.pop(number, None)
        if timer is not None:
            timer.cancel()
        self._fill()

    def _rested(self) -> None:
        self._resting = None
        self._fill()

    def _fill(self) -> None:
        while self._waiting and self._resting is None and len(self._young) < self._width:
            self._last += 1
            self._young[self._last] = self._loop.call_later(SLOW, self._over, self._last)
            self._waiting.popleft()(self._last)
