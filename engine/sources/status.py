"""What a mapping shows of itself while it works: its last result, and its counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..aws.clients import CallFailed
from ..observe.mappings import MappingCounters
from . import words
from .settings import Settings


class Status:
    """One mapping's. Read from any thread."""

    def __init__(
        self, arn: str, counters: MappingCounters, result: str, changed: Callable[[], object]
    ) -> None:
        """result: the last one of an earlier run; changed: called when it is another one."""
        self._arn = arn
        self._counters = counters
        self._changed = changed
        self.result = result or words.NO_RECORDS
        self.troubled = self.result.startswith("PROBLEM")  # it cannot poll, or could not
        self.reason = ""  # AWS's code for that

    def count(self, name: str, number: int = 1) -> None:
        if number:
            self._counters.add(self._arn, name, number)

    def gauge(self, name: str, value: float) -> None:
        self._counters.set(self._arn, name, value)

    def ok(self) -> None:
        self.say(words.OK)

    def say(self, result: str, reason: str = "") -> None:
        self.troubled, self.reason = False, reason
        if result != self.result:
            self.result = result
            self._changed()

    def complain(self, settings: Settings, error: BaseException) -> None:
        """Of the source's service, or of a mistake of ours, which the loop's handler hears of."""
        if isinstance(error, words.Problem):
            self.say(error.text, error.reason)
        elif isinstance(error, CallFailed):
            self.say(words.of_call(settings.kind, settings.source, error.code, error.message))
        else:
            self.say(words.INTERNAL)
            context = {"message": f"the mapping {settings.uuid} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        self.troubled = True
