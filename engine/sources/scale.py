"""How many pollers a queue's mapping may have at once: five, more while messages wait, and fewer again. Pure.

Lambda developer guide, "Scaling event source mappings" of SQS: five concurrent batches at first, up to 300 more a
minute, 1,250 at most; MaximumConcurrency bounds them.
"""

from __future__ import annotations

FIRST = 5
PER_SECOND = 300 / 60
MOST = 1250


class Scale:
    """Times in seconds of any clock that only goes forward."""

    def __init__(self, most: int | None, now: float) -> None:
        self._most = min(MOST, most or MOST)
        self._value = float(min(FIRST, self._most))
        self._first = self._value
        self._at = now

    @property
    def limit(self) -> int:
        return int(self._value + 1e-6)  # what many small steps sum up to

    def observe(self, now: float, backlog: bool) -> int:
        """Were all pollers busy with messages waiting, or not? The new limit."""
        elapsed, self._at = now - self._at, now
        if backlog:
            # Of a time in which nothing was looked at, no more than a second counts: it may have been idle.
            self._value = min(self._most, self._value + min(elapsed, 1.0) * PER_SECOND)
        else:
            self._value = max(self._first, self._value - elapsed * PER_SECOND)
        return self.limit
