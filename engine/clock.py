"""Time, injectable: the pure parts take a Clock; nothing measures an interval with the wall clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Nanoseconds that never jump."""

    def now(self) -> int:
        """CLOCK_MONOTONIC in ns, or a test's own."""
        ...


class MonotonicClock:
    """The machine's CLOCK_MONOTONIC: a day's jump of the wall clock does not touch it."""

    def now(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A test's clock: it moves when told."""

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += int(seconds * 1e9)
