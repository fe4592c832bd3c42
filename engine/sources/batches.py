"""Batches: records gathered until there are enough, their time is over, or an event would have more than 6 MB. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from .. import limits

BYTES = limits.EVENT_BYTES  # of an event's JSON
FRAME = 256  # bytes of it beside the records


class Encoded(msgspec.Struct, gc=False):
    """A record that is to be in an event. id: what a report calls it; group: what keeps its order with others of the
    same; json: as it is in the event."""

    id: str
    group: str
    json: bytes


_Record = TypeVar("_Record", bound=Encoded)


class Gathering:
    """One batch that grows. window: seconds from its first record."""

    def __init__(self, size: int, window: float) -> None:
        self._size = size
        self._window = window
        self.count = 0
        self._bytes = FRAME
        self.begun: float | None = None

    def add(self, sizes: Sequence[int], now: float) -> None:
        """Records of so many bytes."""
        self.count += len(sizes)
        self._bytes += sum(sizes) + len(sizes)
        if self.begun is None and sizes:
            self.begun = now

    @property
    def missing(self) -> int:
        return max(0, self._size - self.count)

    def left(self, now: float) -> float:
        """Seconds for which it may grow."""
        if not self.missing or self._bytes >= BYTES:
            return 0.0
        begun = now if self.begun is None else self.begun
        return max(0.0, begun + self._window - now)


def split(records: Iterable[_Record], size: int) -> list[list[_Record]]:
    """In order, in batches of at most so many records and 6 MB each."""
    found: list[list[_Record]] = []
    room = 0
    for record in records:
        needed = len(record.json) + 1
        if not found or len(found[-1]) >= size or needed > room:
            found.append([])
            room = BYTES - FRAME
        found[-1].append(record)
        room -= needed
    return found


def by_group(records: Sequence[_Record]) -> list[list[_Record]]:
    """In order, those of each group together."""
    groups: dict[str, list[_Record]] = {}
    for record in records:
        groups.setdefault(record.group, []).append(record)
    return list(groups.values())


def event(records: Sequence[Encoded]) -> bytes:
    """The event of a batch, as JSON."""
    return b'{"Records":[' + b",".join([record.json for record in records]) + b"]}"
