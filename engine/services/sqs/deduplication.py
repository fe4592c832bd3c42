"""What FIFO queues took in the last five minutes: on the disk, too, in the commit of the message itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ... import limits
from ...durable.store import Damage, Step, checksum, intact

_NANOSECONDS = int(limits.SQS_DEDUPLICATION * 1e9)
_FORGET = 10_000_000_000  # nanoseconds between two clearings of the disk
_TABLES = (
    """CREATE TABLE sqs_taken (queue TEXT NOT NULL, key TEXT NOT NULL, until INTEGER NOT NULL, message TEXT NOT NULL,
    row INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (queue, key)) WITHOUT ROWID""",
    "CREATE INDEX sqs_taken_until ON sqs_taken (until)",
)


class Taken(NamedTuple):
    """A message that was taken: its id and its row. until: by the service clock. stored: done once it is durable."""

    until: int
    message: str
    row: int
    stored: asyncio.Future[int] | None = None


@dataclass(frozen=True, slots=True)
class _Remember:
    queue: str
    key: str
    taken: Taken

    def apply(self, connection: sqlite3.Connection) -> None:
        until, message, row, _ = self.taken
        connection.execute(
            "INSERT OR REPLACE INTO sqs_taken VALUES (?, ?, ?, ?, ?, ?)",
            (self.queue, self.key, until, message, row, _sum(self.queue, self.key, until, message, row)),
        )


@dataclass(frozen=True, slots=True)
class _Forget:
    """Those of all queues that are over by now."""

    now: int

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM sqs_taken WHERE until<=?", (self.now,))


def _sum(queue: str, key: str, until: int, message: str, row: int) -> int:
    return checksum(b"", queue, key, message, str(until), str(row))


class TakenRows:
    """The kind."""

    name = "sqs_taken"
    version = 1

    def upgrade(self, connection: sqlite3.Connection, version: int) -> None:
        for table in _TABLES:
            connection.execute(table)

    def load(self, connection: sqlite3.Connection) -> Iterator[tuple[str, str, Taken]]:
        for queue, key, until, message, row, sum in connection.execute(
            "SELECT queue, key, until, message, row, sum FROM sqs_taken ORDER BY until"
        ):
            if not intact(sum, b"", queue, key, message, str(until), str(row)):
                raise Damage(f"what the queue {queue} took is not what was written")
            yield queue, key, Taken(until, message, row)


class Deduplication:
    """All queues'. Belongs to one event loop."""

    def __init__(self, loaded: Iterator[tuple[str, str, Taken]], now: Callable[[], int]) -> None:
        self._now = now
        self._forgotten = now()
        self._queues: dict[str, dict[str, Taken]] = {}
        for queue, key, taken in loaded:
            self._queues.setdefault(queue, {})[key] = taken

    def find(self, queue: str, key: str) -> Taken | None:
        """What was taken under this key, and still counts."""
        known = self._queues.get(queue)
        if not known:
            return None
        now = self._now()
        while known:
            oldest = next(iter(known))
            if known[oldest].until > now:
                break
            del known[oldest]
        return known.get(key)

    def remember(self, queue: str, key: str, message: str, row: int) -> list[Step]:
        """The steps for the commit of a message's row; `stored` is to be called with its future."""
        now = self._now()
        taken = Taken(now + _NANOSECONDS, message, row)
        known = self._queues.setdefault(queue, {})
        known.pop(key, None)  # the order is that of time
        known[key] = taken
        steps: list[Step] = [_Remember(queue, key, taken)]
        if now - self._forgotten >= _FORGET:
            self._forgotten = now
            steps.append(_Forget(now))
        return steps

    def storing(self, queue: str, key: str, future: asyncio.Future[int]) -> None:
        """The message's row is on its way to the disk; what did not get there was not taken."""
        known = self._queues[queue]
        mine = known[key] = known[key]._replace(stored=future)

        def done(future: asyncio.Future[int]) -> None:
            if known.get(key) is mine:
                if future.cancelled() or future.exception() is not None:
                    del known[key]
                else:
                    known[key] = mine._replace(stored=None)

        future.add_done_callback(done)

    def drop(self, queue: str, key: str) -> None:
        self._queues.get(queue, {}).pop(key, None)

    def forget(self, queue: str) -> None:
        """All of a queue that is gone; the disk forgets it in time."""
        self._queues.pop(queue, None)
