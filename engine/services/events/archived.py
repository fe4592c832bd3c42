"""Archived events: a table of their own, by archive, time and id; read a piece at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from ...durable.store import Damage, Store, checksum, intact

T = TypeVar("T")
_TABLE = """CREATE TABLE events_archived (archive TEXT NOT NULL, at INTEGER NOT NULL, id TEXT NOT NULL,
            value BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (archive, at, id)) WITHOUT ROWID"""


class Archived(NamedTuple):
    """at: epoch seconds, of the event."""

    at: int
    id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Keep:
    archive: str
    event: Archived

    def apply(self, connection: sqlite3.Connection) -> None:
        at, id, value = self.event
        connection.execute(
            "INSERT OR REPLACE INTO events_archived VALUES (?, ?, ?, ?, ?)",
            (self.archive, at, id, value, checksum(value, self.archive, str(at), id)),
        )


@dataclass(frozen=True, slots=True)
class Forget:
    """What an archive has of before a time."""

    archive: str
    before: int = 2**62

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "DELETE FROM events_archived WHERE archive=? AND at<?", (self.archive, self.before)
        )


class ArchivedRows:
    """The kind."""

    name = "events_archived"
    version = 1

    def upgrade(self, connection: sqlite3.Connection, version: int) -> None:
        if not version:
            connection.execute(_TABLE)

    def load(self, connection: sqlite3.Connection) -> Iterator[Archived]:
        """Nothing: they are read when they are replayed."""
        return iter(())


class ArchivedEvents:
    """Of every archive. Belongs to the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def commit(self, steps: Sequence[Keep | Forget]) -> asyncio.Future[int | None]:
        """Done once they are durable. Fails with StoreError."""
        return asyncio.wrap_future(self._store.commit(steps))

    async def after(self, archive: str, at: int, id: str, until: int, limit: int) -> list[Archived]:
        """The next ones behind (at, id), of before `until`, in order. Raises StoreError, or Damage."""

        def read(connection: sqlite3.Connection) -> list[Archived]:
            found = []
            for *key, value, sum in connection.execute(
                "SELECT at, id, value, sum FROM events_archived WHERE archive=? AND (at, id) > (?, ?) AND at < ? "
                "ORDER BY at, id LIMIT ?",
                (archive, at, id, until, limit),
            ):
                if not intact(sum, value, archive, str(key[0]), key[1]):
                    raise Damage(f"the archived event {key[1]} is not what was written")
                found.append(Archived(key[0], key[1], value))
            return found

        return await self._read(read)

    async def size(self, archive: str) -> tuple[int, int]:
        """Bytes, and events."""

        def read(connection: sqlite3.Connection) -> tuple[int, int]:
            query = "SELECT COALESCE(SUM(LENGTH(value)), 0), COUNT(*) FROM events_archived WHERE archive=?"
            size, count = connection.execute(query, (archive,)).fetchone()
            return size, count

        return await self._read(read)

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """On a connection of its own, in another thread."""

        def run() -> T:
            with contextlib.closing(self._store.reader()) as connection:
                return read(connection)

        return await asyncio.to_thread(run)
