"""What a mapping shows of itself while it works: its last result, and its counts."""

from __future__ import annotations

from collections.abc import Callable

from ..observe.mappings import MappingCounters
from .words import NO_RECORDS, OK


class Status:
    """One mapping's. Read from any thread."""

    def __init__(
        self, arn: str, counters: MappingCounters, result: str, changed: Callable[[], object]
    ) -> None:
        """result: the last one of an earlier run; changed: called when it is another one."""
        self._arn = arn
        self._counters = counters
        self._changed = changed
        self.result = result or NO_RECORDS

    def count(self, name: str, number: int = 1) -> None:
        if number:
            self._counters.add(self._arn, name, number)

    def gauge(self, name: str, value: float) -> None:
        self._counters.set(self._arn, name, value)

    def ok(self) -> None:
        self.say(OK)

    def say(self, result: str) -> None:
        if result != self.result:
            self.result = result
            self._changed()
