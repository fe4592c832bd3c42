"""The queue's rows on the disk: their tables, what changes them, and how they are read.

A row's state (queue, due, attempts, metadata) changes while its payload does not, so each has a checksum of its own,
and a payload of more than a page lies apart: a change of the state does not write it again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeVar
from zlib import crc32

from .store import Damage

T = TypeVar("T")

ROW_BYTES = 128  # what a row counts for beside its payload and metadata
INLINE = 2048  # bytes of a payload that lies in its row
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


class Row:
    """A row as memory has it. Times are nanoseconds of the service clock; size: bytes that it counts for."""

    __slots__ = (
        "attempts",
        "due",
        "first",
        "id",
        "leased",
        "meta",
        "placed",
        "queue",
        "size",
        "until",
        "unwritten",
        "value",
    )  # fmt: skip

    def __init__(
        self,
        id: int,
        queue: str,
        due: int,
        attempts: int,
        first: int,
        size: int,
        meta: bytes,
        value: bytes | None,
    ) -> None:
        self.id = id
        self.queue = queue
        self.due = due
        self.attempts = attempts
        self.first = first
        self.size = size
        self.meta = meta
        self.value = value  # None: it is on the disk only
        self.placed = False  # it is in its queue's window
        self.leased = False
        self.until = 0  # of a lease with a term
        self.unwritten = False  # its state is another than the disk's

    def head(self) -> int:
        """The checksum of what may change."""
        return _head(self.queue, self.id, self.due, self.attempts, self.first, self.size, self.meta)


def _head(queue: str, id: int, due: int, attempts: int, first: int, size: int, meta: bytes) -> int:
    return crc32(f"{queue}\0{id} {due} {attempts} {first} {size}".encode(), crc32(meta))


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows, with their payloads."""

    rows: Sequence[Row]

    def apply(self, connection: sqlite3.Connection) -> None:
        for part, size in _parts(self.rows):
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


@dataclass(frozen=True, slots=True)
class Write:
    """The states that rows have now; the ids of those that are gone, and of those among them that may be large."""

    states: Sequence[State]
    gone: Sequence[int]
    large: Sequence[int]

    def apply(self, connection: sqlite3.Connection) -> None:
        for states, size in _parts(self.states):
            values = [column for state in states for column in state]
            connection.execute(_update(size), values + [None] * (7 * size - len(values)))
        _delete(connection, "queue", self.gone)
        _delete(connection, "queue_payload", self.large)


@dataclass(frozen=True, slots=True)
class Purge:
    """At most `limit` rows of a queue, up to an id. Its commit's future has how many there were."""

    queue: str
    last: int
    limit: int

    def apply(self, connection: sqlite3.Connection) -> int:
        found = connection.execute(
            "SELECT id FROM queue WHERE queue=? AND id<=? LIMIT ?", (self.queue, self.last, self.limit)
        ).fetchall()
        ids = [id for (id,) in found]
        _delete(connection, "queue", ids)
        _delete(connection, "queue_payload", ids)
        return len(ids)


@dataclass(frozen=True, slots=True)
class Clock:
    """The service clock's time, and the first id that was never given."""

    now: int
    next: int

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE queue_clock SET now=max(now, ?), next=max(next, ?)", (self.now, self.next))


# Each statement gives up the interpreter's lock once, and waits for it again: in a server that is busy that costs far
# more than the statement. So one has many rows, in sizes of which few statements are ever prepared: eight from each
# power of two to the next. What is left of one, at most an eighth, is filled with rows of NULL, which are none.
_MOST = 256


def _parts(items: Sequence[T]) -> Iterator[tuple[Sequence[T], int]]:
    """Some of them at a time, and the size of the statement that they need."""
    for at in range(0, len(items), _MOST):
        part = items[at : at + _MOST]
        step = 1 << max(0, (len(part) - 1).bit_length() - 4)
        yield part, -(-len(part) // step) * step


def _tuples(rows: int, columns: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return ", ".join([one] * rows)


@cache
def _insert(size: int) -> str:
    return f"INSERT INTO queue SELECT * FROM (VALUES {_tuples(size, 10)}) WHERE column1 NOTNULL"


@cache
def _update(size: int) -> str:
    return (
        "UPDATE queue SET queue=column2, due=column3, attempts=column4, size=column5, meta=column6, "
        f"head=column7 FROM (VALUES {_tuples(size, 7)}) WHERE id=column1"
    )


def _delete(connection: sqlite3.Connection, table: str, ids: Sequence[int]) -> None:
    for part, size in _parts(ids):
        values = [*part, *[None] * (size - len(part))]
        connection.execute(f"DELETE FROM {table} WHERE id IN {_tuples(1, size)}", values)


class Loaded(NamedTuple):
    """What a start needs to know: the clock, the next id, and by queue how many rows and bytes it has."""

    now: int
    next: int
    queues: dict[str, tuple[int, int]]


class QueueRows:
    """The kind."""

    name = "queue"
    version = 1

    def upgrade(self, connection: sqlite3.Connection, version: int) -> None:
        for table in _TABLES:
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

    def after(self, queue: str, due: int, id: int, above: int, limit: int) -> list[Row | int]:
        """The queue's next rows behind (due, id) in order; of one that is damaged, its id. above: no id up to
        that."""
        found = self._connection.execute(
            "SELECT id, queue, due, attempts, first, size, meta, value, head, sum FROM queue INDEXED BY queue_due "
            "WHERE queue=? AND (due, id) > (?, ?) AND id > ? ORDER BY due, id LIMIT ?",
            (queue, due, id, above, limit),
        ).fetchall()
        return [_checked(columns) for columns in found]

    def value(self, id: int) -> bytes | None:
        """A payload. None: it is damaged."""
        found = self._connection.execute(
            "SELECT coalesce(queue.value, queue_payload.value), sum FROM queue LEFT JOIN queue_payload USING (id) "
            "WHERE queue.id=?",
            (id,),
        ).fetchone()
        if found is None or not isinstance(found[0], bytes) or crc32(found[0]) != found[1]:
            return None
        return found[0]

    def find(self, id: int) -> Row | None:
        """One row, without its payload. None: it is not there, or damaged."""
        found = self._connection.execute(
            "SELECT id, queue, due, attempts, first, size, meta, NULL, head, sum FROM queue WHERE id=?", (id,)
        ).fetchone()
        row = found and _checked(found)
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
    except (TypeError, UnicodeError):  # damage can change a value's type
        sound = False
    return row if sound else row.id


def state_of(row: Row) -> State:
    return row.id, row.queue, row.due, row.attempts, row.size, row.meta, row.head()
