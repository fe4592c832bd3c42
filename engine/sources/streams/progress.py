"""How far a shard is done: the last record before which nothing is left to do. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .records import Record


class Progress:
    """Records are taken in the order of the shard, and done in any."""

    def __init__(self) -> None:
        self.sequence: str | None = None  # of that record; None: of none that was taken
        self._next = 0
        self._open: deque[tuple[int, str]] = deque()
        self._done: set[int] = set()

    def __len__(self) -> int:
        """How many are taken and not yet behind."""
        return len(self._open)

    def take(self, record: Record) -> None:
        record.index = self._next
        self._next += 1
        self._open.append((record.index, record.id))

    def done(self, records: Iterable[Record]) -> None:
        self._done.update(record.index for record in records)
        while self._open and self._open[0][0] in self._done:
            index, self.sequence = self._open.popleft()
            self._done.discard(index)
