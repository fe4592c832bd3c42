"""Images: rows of a queue that were put together and are due at once, as one row of SQLite's.

A row in a table of its own costs SQLite, with its place in the index, ten times what an image's part costs; and most
rows are settled before anybody has read the disk. An image costs one row of the table, one of the index, and again one
when all of its rows are gone.

**Invariants.**

- An image never changes. Its rows are in order of (due, id), and so are the images of a queue: a row is due when it is
  put, by a clock that does not go back.
- What became of its rows stands beside it. The bits of those that are gone are in `queue_gone`, which the disk itself
  adds up; with the last one, the image and its bits are deleted in the same transaction (the triggers below).
- A row that has another state than when it was put (a lease with a term, a delay, other metadata, another queue) has a
  row in `queue`, without its payload: that stays in the image, and the row's `sum` says where (its spot, negative). It
  comes before what the image has, and is deleted when the row is gone.
- So a row of an image is there as it was put if its bit is not set and `queue` has no row of its id.

A spot is an image's id, a row's index in it, and how many rows it has, in one number: never 0.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from zlib import crc32

import msgspec

from .queue_row import INLINE, Row, parts, tuples

MOST = 63  # rows, so that their bits are one integer of SQLite's
LEAST = 4  # rows: fewer have rows of their own
SPAN = 4096  # ids from an image's first to its last, so that an image can be found by a row's id
_BITS, _MASK = 6, 63  # of an index, and of a number of rows

TABLES = (
    """CREATE TABLE queue_image (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, last INTEGER NOT NULL, due INTEGER NOT
    NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL, sum INTEGER NOT NULL, image BLOB NOT NULL)""",
    "CREATE INDEX queue_image_due ON queue_image (queue, due, last, rows, size)",
    "CREATE INDEX queue_beside ON queue (sum) WHERE sum < 0",
    "CREATE TABLE queue_gone (id INTEGER PRIMARY KEY, bits INTEGER NOT NULL, every INTEGER NOT NULL)",
    *(
        f"""CREATE TRIGGER queue_over_{event} AFTER {event} ON queue_gone WHEN new.bits = new.every BEGIN
        DELETE FROM queue_image WHERE id = new.id; DELETE FROM queue_gone WHERE id = new.id; END"""
        for event in ("insert", "update")
    ),
)

_Entries = list[tuple[int, int, int, bytes, bytes]]  # id, due, size, meta, value
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Entries).decode


class Image(NamedTuple):
    """last, due: of its last row; size: of all."""

    id: int
    queue: str
    last: int
    due: int
    rows: int
    size: int
    entries: _Entries


def _spot(image: int, index: int, rows: int) -> int:
    return (image << _BITS | index) << _BITS | rows


def _of_spot(spot: int) -> tuple[int, int, int]:
    return spot >> 2 * _BITS, spot >> _BITS & _MASK, spot & _MASK


def gather(rows: Sequence[Row]) -> tuple[list[Row], list[Image]]:
    """New rows, in order: those that get rows of their own, and images of the others, which have their spots then."""
    alone: list[Row] = []
    by_queue: dict[str, list[Row]] = {}
    for row in rows:
        if row.due == row.first and row.value is not None and len(row.value) <= INLINE:
            by_queue.setdefault(row.queue, []).append(row)
        else:
            alone.append(row)
    images = []
    for queue, found in by_queue.items():
        for part in _parted(found):
            if len(part) < LEAST:
                alone += part
                continue
            first, last = part[0], part[-1]
            entries: _Entries = []
            for index, row in enumerate(part):
                row.spot = _spot(first.id, index, len(part))
                entries.append((row.id, row.due, row.size, row.meta, row.value or b""))
            size = sum([row.size for row in part])
            images.append(Image(first.id, queue, last.id, last.due, len(part), size, entries))
    return alone, images


def _parted(rows: list[Row]) -> Iterator[list[Row]]:
    """Into as few parts as may be, which are of about the same length."""
    if rows[-1].id - rows[0].id >= SPAN:
        near = [row for row in rows if row.id - rows[0].id < SPAN]
        yield from _parted(near)
        yield from _parted(rows[len(near) :])
        return
    n = -(-len(rows) // -(-len(rows) // MOST))
    for at in range(0, len(rows), n):
        yield rows[at : at + n]


@dataclass(frozen=True, slots=True)
class InsertImages:
    images: Sequence[Image]

    def apply(self, connection: sqlite3.Connection) -> None:
        values: list[object] = []
        for image in self.images:
            *head, entries = image
            data = _encode(entries)
            values += (*head, _sum(data, *head), data)
        for at in range(0, len(values), 8 * 8):
            part = values[at : at + 8 * 8]
            connection.execute(_insert(len(part) // 8), part)


@cache
def _insert(size: int) -> str:
    return f"INSERT INTO queue_image VALUES {tuples(size, 8)}"


def _sum(data: bytes, *head: object) -> int:
    return crc32(repr(head).encode(), crc32(data))


def gone(spots: Sequence[int]) -> dict[int, tuple[int, int]]:
    """By image the bits of rows that are gone, and those of all of its rows."""
    found: dict[int, tuple[int, int]] = {}
    for spot in spots:
        image, index, rows = _of_spot(spot)
        bits, every = found.get(image) or (0, (1 << rows) - 1)
        found[image] = bits | 1 << index, every
    return found


def take(connection: sqlite3.Connection, bits: dict[int, tuple[int, int]]) -> None:
    """Those rows are gone."""
    for part, size in parts(list(bits.items())):
        values = [column for image, pair in part for column in (image, *pair)]
        connection.execute(_take(size), values + [None] * (3 * size - len(values)))


@cache
def _take(size: int) -> str:
    return (
        f"INSERT INTO queue_gone SELECT * FROM (VALUES {tuples(size, 3)}) WHERE column1 IN "
        "(SELECT id FROM queue_image) ON CONFLICT DO UPDATE SET bits = bits | excluded.bits"
    )


_COLUMNS = "queue_image.id, queue, last, due, rows, size, image, sum, coalesce(bits, 0)"
_FROM = "FROM queue_image LEFT JOIN queue_gone USING (id)"


def _entries(columns: Sequence[object]) -> _Entries | None:
    """None: it is not what was written."""
    *head, data, sum, _ = columns
    try:
        if not isinstance(data, bytes) or _sum(data, *head) != sum:
            return None
        return _decode(data)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _rows(connection: sqlite3.Connection, columns: Sequence[object]) -> list[Row] | None:
    """Those that are as they were put. None: the image is damaged."""
    entries = _entries(columns)
    if entries is None:
        return None
    image, queue, bits = columns[0], columns[1], columns[-1]
    assert isinstance(image, int) and isinstance(queue, str) and isinstance(bits, int)
    beside = _beside(connection, image, entries[-1][0])
    rows = []
    for index, (id, due, size, meta, value) in enumerate(entries):
        if not bits >> index & 1 and id not in beside:
            row = Row(id, queue, due, 0, due, size, meta, value)
            row.spot = _spot(image, index, len(entries))
            rows.append(row)
    return rows


def _beside(connection: sqlite3.Connection, first: int, last: int) -> set[int]:
    return {
        id for (id,) in connection.execute("SELECT id FROM queue WHERE id BETWEEN ? AND ?", (first, last))
    }


def purge(connection: sqlite3.Connection, queue: str, last: int, limit: int) -> int:
    """Of the rows of a queue's images up to an id, those that have not moved to another queue: about `limit` of them,
    and how many there were. Its rows in `queue` are gone already."""
    query = "SELECT id FROM queue_image INDEXED BY queue_image_due WHERE queue=? AND id<=?"
    bits: dict[int, tuple[int, int]] = {}
    count = 0
    for (image,) in connection.execute(query, (queue, last)).fetchall():
        columns = connection.execute(f"SELECT {_COLUMNS} {_FROM} WHERE queue_image.id=?", (image,)).fetchone()
        for row in _rows(connection, columns) or ():
            if row.id <= last:
                count += 1
                _add(bits, row.spot)
        if count >= limit:
            break
    take(connection, bits)
    return count


def _add(bits: dict[int, tuple[int, int]], spot: int) -> None:
    for image, (more, every) in gone([spot]).items():
        bits[image] = bits.get(image, (0, every))[0] | more, every


def after(
    connection: sqlite3.Connection, queue: str, due: int, id: int, above: int, limit: int
) -> list[Row | int]:
    """The next rows of a queue's images behind (due, id), as they were put, in order; of an image that is damaged, its
    id."""
    cursor = connection.execute(
        f"SELECT {_COLUMNS} FROM queue_image INDEXED BY queue_image_due LEFT JOIN queue_gone USING (id) "
        "WHERE queue=? AND (due, last) > (?, ?) AND last > ? ORDER BY due, last",
        (queue, due, id, above),
    )
    found: list[Row | int] = []
    for columns in cursor:
        rows = _rows(connection, columns)
        if rows is None:
            found.append(columns[0])
        else:
            found += [row for row in rows if (row.due, row.id) > (due, id) and row.id > above]
        if len(found) >= limit:
            break
    cursor.close()
    return found[:limit]


def find(connection: sqlite3.Connection, id: int) -> Row | None:
    """One row as it was put, by its id."""
    found = connection.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE queue_image.id BETWEEN ? AND ? AND last>=?", (id - SPAN, id, id)
    ).fetchall()
    rows = [row for columns in found for row in _rows(connection, columns) or () if row.id == id]
    return rows[0] if rows else None


class Payloads:
    """Payloads of images; the last image that was read is kept."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._last: tuple[int, _Entries] = (0, [])

    def __getitem__(self, row: Row) -> bytes | None:
        """None: it is damaged."""
        image, index, _ = _of_spot(row.spot)
        if self._last[0] != image:
            query = f"SELECT {_COLUMNS} {_FROM} WHERE queue_image.id=?"
            columns = self._connection.execute(query, (image,)).fetchone()
            self._last = image, (columns and _entries(columns)) or []
        entries = self._last[1]
        if index < len(entries) and entries[index][0] == row.id:
            return entries[index][4]
        return None


def load(connection: sqlite3.Connection) -> tuple[dict[str, tuple[int, int]], int, int]:
    """By queue how many rows and bytes of images are as they were put; the highest id and due time of all that were."""
    queues = {
        queue: (rows, size)
        for queue, rows, size in connection.execute(
            "SELECT queue, sum(rows), sum(size) FROM queue_image INDEXED BY queue_image_due GROUP BY queue"
        )
    }
    last, due = connection.execute(
        "SELECT coalesce(max(last), 0), coalesce(max(due), 0) FROM queue_image"
    ).fetchone()
    changed = {id for (id,) in connection.execute("SELECT id FROM queue_gone")}
    changed |= {_of_spot(-sum)[0] for (sum,) in connection.execute("SELECT sum FROM queue WHERE sum < 0")}
    for image in changed:
        columns = connection.execute(f"SELECT {_COLUMNS} {_FROM} WHERE queue_image.id=?", (image,)).fetchone()
        left = None if columns is None else _rows(connection, columns)
        if left is not None:
            _, queue, _, _, rows, size, *_ = columns
            all_rows, all_size = queues[queue]
            queues[queue] = all_rows - rows + len(left), all_size - size + sum(row.size for row in left)
    return {queue: counts for queue, counts in queues.items() if counts[0]}, last, due


__all__ = [
    "LEAST", "MOST", "SPAN", "TABLES", "Image", "InsertImages", "Payloads", "after", "find", "gather", "gone", "load",
    "purge", "take",
]  # fmt: skip
