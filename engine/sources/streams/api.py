"""What a stream's service is asked for, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ... import wire
from .lineage import Shard
from .records import Record


@dataclass(frozen=True, slots=True)
class Position:
    """Where to begin in a shard. after: a sequence number; else kind: TRIM_HORIZON, LATEST or AT_TIMESTAMP, and at:
    epoch seconds."""

    kind: str = "TRIM_HORIZON"
    at: float = 0.0
    after: str = ""


class Raw(Record, gc=False):
    """A record as it was read. shown: as it is in an event, where that is not its JSON yet; seen: makes what filters
    see of it, if there are any; data: its data, where filters see that as JSON."""

    shown: dict[str, Any] | None = None
    seen: Callable[[], Mapping[str, Any]] | None = None
    data: bytes | None = None

    def close(self, fed: bool) -> None:
        """It holds no more than a function is to have of it; nothing, if it is to have none."""
        if not fed:
            self.json = b""
        elif self.shown is not None:
            self.json = wire.encode(self.shown)
        self.shown = self.seen = self.data = None


@dataclass(slots=True)
class Page:
    """next: the iterator to go on with; None: the shard is at its end. behind: seconds that the end of what was read
    lies behind the present; None: that is not known."""

    records: list[Raw] = field(default_factory=list)
    next: str | None = None
    behind: float | None = None


class Stream(Protocol):
    """Raises CallFailed. pause: seconds between two reads of a shard that found nothing; batch_info: the member that
    describes a batch in a report to a destination."""

    pause: float
    batch_info: str

    async def shards(self) -> list[Shard]: ...

    async def iterator(self, shard: str, position: Position) -> str: ...

    async def read(self, shard: str, iterator: str) -> Page: ...


# Codes after which an iterator is asked for anew, those after which only what is still there can be read, and those of
# a stream that is not there.
EXPIRED = ("ExpiredIterator", "ExpiredIteratorException")
TRIMMED = ("TrimmedDataAccessException", "InvalidArgumentException", "ValidationException")
GONE = ("ResourceNotFoundException",)
