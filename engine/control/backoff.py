"""When to try again after a failed start: capped back-off, and a breaker against crash loops. Pure."""

from __future__ import annotations

BASE_NS = 50_000_000
CAP_NS = 5_000_000_000
TRIPS_AFTER = 3  # failed starts in a row


class Breaker:
    """Counts failed starts in a row.

    Closed: starts are allowed, after a delay that doubles with each failure. Open (after TRIPS_AFTER): calls
    fail at once with the start's error; one start is tried per delay, and its success closes it.
    """

    __slots__ = ("failed_at", "failures", "not_before")

    def __init__(self) -> None:
        self.failures = 0
        self.not_before = 0
        self.failed_at = 0

    def failed(self, now: int, began: int | None = None) -> None:
        """A start failed at `now` (ns). Those that began together, before the last failure, fail as one."""
        if began is not None and began < self.failed_at:
            return
        self.failures += 1
        self.failed_at = now
        self.not_before = now + min(CAP_NS, BASE_NS << min(self.failures - 1, 16))

    def succeeded(self) -> None:
        self.failures = 0
        self.not_before = 0
        self.failed_at = 0

    def last_try(self, began: int) -> bool:
        """Does it open when the start that began then fails?"""
        return self.failures + 1 >= TRIPS_AFTER and began >= self.failed_at

    def may_start(self, now: int) -> bool:
        return now >= self.not_before

    @property
    def open(self) -> bool:
        return self.failures >= TRIPS_AFTER
