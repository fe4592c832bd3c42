"""A process that owes replies and sends none: it is stopped, or worse, and is given up as if it had ended."""

from __future__ import annotations

from collections.abc import Callable

from .loop import Loop, Timer

# Seconds. A process that is awake replies within milliseconds; with 16 busy processes on two cores the slowest of 234
# replies took 0.43 s. What waits meanwhile is only what needs a new environment or worker.
REPLY_S = 5.0


class Watchdog:
    """Of one process. Belongs to the loop."""

    def __init__(self, loop: Loop, read: Callable[[], object], overdue: Callable[[], object]) -> None:
        """read: take every reply that is there; overdue: called when one is due for REPLY_S and none has come."""
        self._loop = loop
        self._read = read
        self._overdue = overdue
        self._due = 0
        self._timer: Timer | None = None

    @property
    def due(self) -> int:
        """Replies that it owes."""
        return self._due

    def expect(self) -> None:
        """It owes one more."""
        self._due += 1
        if self._timer is None:
            self._timer = self._loop.call_later(REPLY_S, self._look)

    def replied(self) -> None:
        """One has come: for the next it has as long again."""
        self._due -= 1
        self._cancel()
        if self._due:
            self._timer = self._loop.call_later(REPLY_S, self._look)

    def stop(self) -> None:
        """Nothing is due any more."""
        self._due = 0
        self._cancel()

    def close(self) -> None:
        """Nor will be. It refers to the process's owner no more, which so ends without the collector's help."""
        self.stop()
        self._read = self._overdue = _nothing

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        self._read()  # the loop itself may have been kept from it
        if self._due and self._timer is None:
            self._overdue()


def _nothing() -> None:
    return None
