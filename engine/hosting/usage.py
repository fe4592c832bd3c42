"""A function's concurrency: what of it is in use, and who waits for some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Usage:
    """A function's invocations in flight, all its versions together."""

    reserved: int | None  # its own concurrency
    in_flight: int = 0
    provisioned: int = 0  # of that, what is kept for versions with provisioned concurrency
    beside: int = 0  # in flight beyond what is provisioned for their versions
    waiters: list[Callable[[], object]] = field(default_factory=list)  # called once, when an invocation ends

    @property
    def left(self) -> int:
        """How many more may begin that find none provisioned. Of a function that reserves."""
        assert self.reserved is not None
        return self.reserved - self.provisioned - self.beside

    def wake(self) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter()
