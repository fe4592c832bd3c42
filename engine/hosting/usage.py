"""A function's concurrency: what of it is in use, and who waits for some."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .quota import Quota

_LOOK = 0.01  # seconds between two looks at what other processes have ended, while somebody waits for it


@dataclass(slots=True)
class Usage:
    """A function's invocations in flight, all its versions together; or those of all functions that reserve nothing.
    Where several processes invoke it, `quota` has what all of them have begun."""

    reserved: int | None  # its own concurrency
    in_flight: int = 0  # of this process
    provisioned: int = 0  # of that, what is kept for versions with provisioned concurrency
    beside: int = 0  # in flight beyond what is provisioned for their versions
    waiters: list[Callable[[], object]] = field(default_factory=list)  # called once, when an invocation ends
    quota: Quota | None = None
    slot: int | None = None  # in the quota; what has none is invoked by one process alone

    def begin(self, beside: bool) -> bool:
        """One more, if there may be. beside: it finds none provisioned."""
        if beside:
            limit = None if self.reserved is None else self.reserved - self.provisioned
            if self.slot is not None and self.quota is not None:
                if not self.quota.take(self.slot, limit):
                    return False
            elif limit is not None and self.beside >= limit:
                return False
            self.beside += 1
        self.in_flight += 1
        return True

    def end(self, beside: bool) -> None:
        self.in_flight -= 1
        if beside:
            self.beside -= 1
            if self.slot is not None and self.quota is not None:
                self.quota.give(self.slot)
        if self.waiters:
            self.wake()

    @property
    def total(self) -> int:
        """In flight, of all processes."""
        return self.in_flight + self._elsewhere()

    def _elsewhere(self) -> int:
        return 0 if self.slot is None or self.quota is None else self.quota.used(self.slot) - self.beside

    def wait(self, waiter: Callable[[], object]) -> None:
        """Calls it when an invocation ends, in the loop."""
        self.waiters.append(waiter)
        if self._elsewhere():
            asyncio.get_running_loop().call_later(_LOOK, self.wake)

    def wake(self) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter()
