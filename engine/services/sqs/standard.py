"""A standard queue's messages: one line, in which each is hidden for a time once it was received."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from ...durable.queue import Leased, Queues
from ...durable.store import Step
from .handles import Handle
from .messages import Message


class Standard:
    """The rows of a standard queue. name: of the line in the durable queue."""

    in_place = False

    def __init__(self, rows: Queues, name: str) -> None:
        self._rows = rows
        self.name = name

    def lines(self) -> Iterable[str]:
        """The names of all lines that may have rows."""
        return (self.name,)

    def line_of(self, message: Message) -> str:
        return self.name

    def owns(self, line: str) -> bool:
        return line == self.name

    def put(
        self, message: Message, value: bytes, meta: bytes, delay: float, also: Sequence[Step] = ()
    ) -> asyncio.Future[int]:
        """Raises QueueFull."""
        return self._rows.put(self.name, value, meta=meta, delay=delay, also=also)

    def lease(self, n: int, seconds: float | None, briefly: bool = False) -> list[Leased]:
        return self._rows.lease(self.name, n, seconds, briefly=briefly)

    def ready(self) -> bool:
        return self._rows.ready(self.name)

    def wake(self, line: str) -> None:
        """A row of a line is due."""

    def gone(self, id: int) -> None:
        """A row was settled or moved."""

    def in_flight(self) -> int:
        return self._rows.sizes(self.name)[1]

    def received_at(self, id: int, now: int) -> int:
        return now

    def current(self, handle: Handle) -> bool:
        """Is the message hidden? Any handle of it serves then, as on AWS, which documents another thing."""
        standing = self._rows.standing(handle.id)
        return standing is not None and (standing.leased or self._rows.resume(handle.id))

    def deletable(self, handle: Handle) -> bool:
        """Any handle deletes a standard queue's message."""
        return True
