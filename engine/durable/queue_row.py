"""A row of a queue as memory has it, and what every kind of row on the disk needs for its statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import TypeVar
from zlib import crc32

T = TypeVar("T")

ROW_BYTES = 128  # what a row counts for beside its payload and metadata
INLINE = 2048  # bytes of a payload that lies in its row


class Row:
    """A row as memory has it. Times are nanoseconds of the service clock; size: bytes that it counts for."""

    __slots__ = (
        "attempts", "due", "first", "id", "leased", "meta", "placed", "queue", "size", "spot", "tabled", "until",
        "unwritten", "value",
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
        self.spot = 0  # where it is in an image (queue_images.py); 0: it has a row of its own
        self.tabled = False  # it is in one, and has its state, or soon, in a row beside it

    def head(self) -> int:
        """The checksum of what may change."""
        return head(self.queue, self.id, self.due, self.attempts, self.first, self.size, self.meta)


def head(queue: str, id: int, due: int, attempts: int, first: int, size: int, meta: bytes) -> int:
    return crc32(f"{queue}\0{id} {due} {attempts} {first} {size}".encode(), crc32(meta))


# Each statement gives up the interpreter's lock once, and waits for it again: in a server that is busy that costs far
# more than the statement. So one has many rows, in sizes of which few statements are ever prepared; what is left of one
# is filled with rows of NULL, which are none.
MOST = 256


def parts(items: Sequence[T]) -> Iterator[tuple[Sequence[T], int]]:
    """Some of them at a time, and the size of the statement that they need."""
    for at in range(0, len(items), MOST):
        part = items[at : at + MOST]
        yield part, 1 << (len(part) - 1).bit_length()


def tuples(rows: int, columns: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return ", ".join([one] * rows)


def delete(connection: sqlite3.Connection, table: str, ids: Sequence[int]) -> None:
    for part, size in parts(ids):
        values = [*part, *[None] * (size - len(part))]
        connection.execute(f"DELETE FROM {table} WHERE id IN {tuples(1, size)}", values)
