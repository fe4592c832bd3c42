"""How far a shard is done: the last record before which nothing is left to do. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .records import Record


class Progress:
    """Records are taken in the order of the shard, and done in any."""

    def __init__(self) -> None:
        self.sequence: str | None = None  # of that record; None: of none that was taken
        self._open: deque[Record] = deque()

    def __len__(self) -> int:
        """How many are taken and not yet behind."""
        return len(self._open)

    def take(self, record: Record) -> None:
        self._open.append(record)

    def extend(self, records: Iterable[Record]) -> None:
        self._open.extend(records)

    def done(self, records: Iterable[Record]) -> None:
        for record in records:
            record.done = True
            record.json = b""  # one that waits for those before it is not held for long, but may be large
        waiting = self._open
        last = None
        while waiting and waiting[0].done:
            last = waiting.popleft()
        if last is not None:
            self.sequence = last.id
