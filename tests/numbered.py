"""A kind of rows whose ids the store gives, for tests of the store: the table of events as it once was."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from engine.durable.store import Damage, checksum, intact

_TABLE = """
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, attempts INTEGER NOT NULL, not_before REAL NOT NULL,
                     value BLOB NOT NULL, sum INTEGER NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class AddEvent:
    """An accepted event; not_before: epoch seconds. Its commit's future has the event's id."""

    value: bytes
    not_before: float = 0.0

    def apply(self, connection: sqlite3.Connection) -> int | None:
        cursor = connection.execute(
            "INSERT INTO events (attempts, not_before, value, sum) VALUES (0, ?, ?, ?)",
            (self.not_before, self.value, checksum(self.value)),
        )
        return cursor.lastrowid


@dataclass(frozen=True, slots=True)
class FinishEvent:
    id: int

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM events WHERE id=?", (self.id,))


@dataclass(frozen=True, slots=True)
class RetryEvent:
    id: int
    attempts: int
    not_before: float

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE events SET attempts=?, not_before=? WHERE id=?", (self.attempts, self.not_before, self.id)
        )


EventRow = tuple[int, int, float, bytes]  # id, attempts, not before, value


class EventRows:
    """The store's table of events that are not finished."""

    name = "events"
    version = 1

    def upgrade(self, connection: sqlite3.Connection, _version: int) -> None:
        connection.execute(_TABLE)

    def load(self, connection: sqlite3.Connection) -> Iterator[EventRow]:
        """Oldest first."""
        for id, attempts, not_before, value, sum in connection.execute(
            "SELECT id, attempts, not_before, value, sum FROM events ORDER BY id"
        ):
            if not intact(sum, value):
                raise Damage(f"the event {id} is not what was written")
            yield id, attempts, not_before, value
