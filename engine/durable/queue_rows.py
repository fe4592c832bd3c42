"""The queue's rows on the disk: their tables, what changes them, and how they are read.

A row's state (queue, due, attempts, metadata) changes while its payload does not, so each has a checksum of its own,
and a payload of more than a page lies apart: a change of the state does not write it again. Rows that are put together
have an image in common (queue_images.py)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from zlib import crc32

from . import queue_images
from .queue_row import INLINE, ROW_BYTES, Row, delete, parts, tuples
from .store import Damage

# The index has all that counting asks for, and the order in which rows are due.
_TABLES = (
    """CREATE TABLE queue (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT
    NULL, first INTEGER NOT NULL, size INTEGER NOT NULL, meta BLOB NOT NULL, head INTEGER NOT NULL, value BLOB, sum
    INTEGER NOT NULL)""",
    "CREATE INDEX queue_due ON queue (queue, due, id, size)",
    "CREATE TABLE queue_payload (id INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    # One row: the service clock, and the first id that was never given.
    "CREATE TABLE queue_clock (one INTEGER PRIMARY KEY, now INTEGER NOT NULL, next INTEGER NOT NULL)",
    "INSERT INTO queue_clock VALUES (1, 0, 1)",
)


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows, with their payloads."""

    rows: Sequence[Row]

    def apply(self, connection: sqlite3.Connection) -> None:
        for part, size in parts(self.rows):
            values = [column for row in part for column in _columns(row)]
            connection.execute(_insert(size), values + [None] * (10 * size - len(values)))
        large = [
            (row.id, row.value) for row in self.rows if row.value is not None and len(row.value) > INLINE
        ]
        if large:
            connection.executemany("INSERT INTO queue_payload VALUES (?, ?)", large)


def _columns(row: Row) -> tuple[int, str, int, int, int, int, bytes, int, bytes | None, int]:
    value = row.value
    assert value is not None
    inline = value if len(value) <= INLINE else None
    return (
        row.id, row.queue, row.due, row.attempts, row.first, row.size, row.meta, row.head(), inline, crc32(value),
    )  # fmt: skip


State = tuple[int, str, int, int, int, bytes, int]  # id, queue, due, attempts, size, meta, head
Beside = tuple[
    int, str, int, int, int, int, bytes, int, None, int
]  # a row without its payload, which is in an image


@dataclass(frozen=True, slots=True)
class Write:
    """The states that rows have now, and those of images; the ids of rows that are gone, of those among them that may
    be large, and by image the bits of its rows that are."""

    states: Sequence[State]
    beside: Sequence[Beside]
    gone: Sequence[int]
    large: Sequence[int]
    bits: dict[int, tuple[int, int]]

    def apply(self, connection: sqlite3.Connection) -> None:
        for states, size in parts(self.states):
            values = [column for state in states for column in state]
            connection.execute(_update(size), values + [None] * (7 * size - len(values)))
        for beside, size in parts(self.beside):
            columns = [column for row in beside for column in row]
            connection.execute(
                _insert(size, "INSERT OR REPLACE"), columns + [None] * (10 * size - len(columns))
            )
        delete(connection, "queue", self.gone)
        delete(connection, "queue_payload", self.large)
        queue_images.take(connection, self.bits)


@dataclass(frozen=True, slots=True)
class Purge:
    """About `limit` rows of a queue, up to an id. Its commit's future has how many there were: fewer, if there are no
    more."""

    queue: str
    last: int
    limit: int

    def apply(self, connection: sqlite3.Connection) -> int:
        found = connection.execute(
            "SELECT id FROM queue WHERE queue=? AND id<=? LIMIT ?", (self.queue, self.last, self.limit)
        ).fetchall()
        ids = [id for (id,) in found]
        delete(connection, "queue", ids)
        delete(connection, "queue_payload", ids)
        left = self.limit - len(ids)
        more = queue_images.purge(connection, self.queue, self.last, left) if left else 0
        return len(ids) + more


@dataclass(frozen=True, slots=True)
class Clock:
    """The service clock's time, and the first id that was never given."""

    now: int
    next: int

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE queue_clock SET now=max(now, ?), next=max(next, ?)", (self.now, self.next))


@cache
def _insert(size: int, how: str = "INSERT") -> str:
    return f"{how} INTO queue SELECT * FROM (VALUES {tuples(size, 10)}) WHERE column1 NOTNULL"


@cache
def _update(size: int) -> str:
    return (
        "UPDATE queue SET queue=column2, due=column3, attempts=column4, size=column5, meta=column6, "
        f"head=column7 FROM (VALUES {tuples(size, 7)}) WHERE id=column1"
    )


class Loaded(NamedTuple):
    """What a start needs to know: the clock, the next id, and by queue how many rows and bytes it has."""

    now: int
    next: int
    queues: dict[str, tuple[int, int]]


class QueueRows:
    """The kind."""

    name = "queue"
    version = 2  # 1: there were no images

    def upgrade(self, connection: sqlite3.Connection, version: int) -> None:
        for table in (*(() if version else _TABLES), *queue_images.TABLES):
            connection.execute(table)

    def load(self, connection: sqlite3.Connection) -> Iterator[Loaded]:
        """One value. Rows are held against their checksums when they are read, the index against the table now."""
        queues = {
            name: (count, size)
            for name, count, size in connection.execute(
                "SELECT queue, count(*), sum(size) FROM queue INDEXED BY queue_due GROUP BY queue"
            )
        }
        (rows,) = connection.execute("SELECT count(*) FROM queue NOT INDEXED").fetchone()
        if rows != sum(count for count, _ in queues.values()):
            raise Damage("the queue's index has other rows than the queue")
        now, next = connection.execute("SELECT now, next FROM queue_clock").fetchone()
        for id, first in connection.execute("SELECT id, first FROM queue ORDER BY id DESC LIMIT 1"):
            now, next = max(now, first), max(next, id + 1)
        images, last, due = queue_images.load(connection)
        now, next = max(now, due), max(next, last + 1)
        for name, (count, size) in images.items():
            before = queues.get(name, (0, 0))
            queues[name] = before[0] + count, before[1] + size
        yield Loaded(now, next, queues)


def append(connection: sqlite3.Connection, entries: Iterable[tuple[str, bytes, bytes, float]]) -> None:
    """For upgrades of other kinds: rows more, each a queue, a payload, metadata, and seconds until it is due."""
    loaded = next(QueueRows().load(connection))
    now = loaded.now
    rows = [
        Row(id, queue, now + int(delay * 1e9), 0, now, len(value) + len(meta) + ROW_BYTES, meta, value)
        for id, (queue, value, meta, delay) in enumerate(entries, loaded.next)
    ]
    Insert(rows).apply(connection)


class Reader:
    """Reads rows, on a connection of its own. Raises sqlite3.Error when the disk refuses."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._payloads = queue_images.Payloads(connection)

    def after(self, queue: str, due: int, id: int, above: int, limit: int) -> list[Row | int]:
        """The queue's next rows behind (due, id) in order; of one that is damaged, its id. above: no id up to
        that."""
        found = self._connection.execute(
            "SELECT id, queue, due, attempts, first, size, meta, value, head, sum FROM queue INDEXED BY queue_due "
            "WHERE queue=? AND (due, id) > (?, ?) AND id > ? ORDER BY due, id LIMIT ?",
            (queue, due, id, above, limit),
        ).fetchall()
        rows = [_checked(columns) for columns in found]
        more = queue_images.after(self._connection, queue, due, id, above, limit)
        if not more:
            return rows
        return sorted(rows + more, key=_order)[:limit] if rows else more

    def value(self, row: Row) -> bytes | None:
        """A payload. None: it is damaged."""
        if row.spot:
            return self._payloads[row]
        found = self._connection.execute(
            "SELECT coalesce(queue.value, queue_payload.value), sum FROM queue LEFT JOIN queue_payload USING (id) "
            "WHERE queue.id=?",
            (row.id,),
        ).fetchone()
        if found is None or not isinstance(found[0], bytes) or crc32(found[0]) != found[1]:
            return None
        return found[0]

    def find(self, id: int) -> Row | None:
        """One row, without its payload. None: it is not there, or damaged."""
        found = self._connection.execute(
            "SELECT id, queue, due, attempts, first, size, meta, NULL, head, sum FROM queue WHERE id=?", (id,)
        ).fetchone()
        if found is None:
            return queue_images.find(self._connection, id)
        row = _checked(found)
        return row if isinstance(row, Row) else None

    def delayed(self, queue: str, now: int) -> int:
        """How many of a queue's rows are not due yet."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM queue WHERE queue=? AND due>?", (queue, now)
        ).fetchone()
        return int(count)

    def close(self) -> None:
        self._connection.close()


def _checked(columns: Sequence[object]) -> Row | int:
    *state, head, sum = columns
    row = Row(*state)  # type: ignore[arg-type]
    value = row.value
    try:
        sound = row.head() == head and (value is None or crc32(value) == sum)
        if isinstance(sum, int) and sum < 0:
            row.spot, row.tabled = -sum, True
    except (TypeError, UnicodeError):  # damage can change a value's type
        sound = False
    return row if sound else row.id


def _order(row: Row | int) -> tuple[int, int]:
    """One that is damaged comes first."""
    return (row.due, row.id) if isinstance(row, Row) else (-1, row)


def beside_of(row: Row) -> Beside:
    """Of a row that is in an image."""
    return (
        row.id, row.queue, row.due, row.attempts, row.first, row.size, row.meta, row.head(), None, -row.spot,
    )  # fmt: skip


def state_of(row: Row) -> State:
    return row.id, row.queue, row.due, row.attempts, row.size, row.meta, row.head()
