"""What of queues is in memory: of each the rows that are due first, read from the disk as they are taken."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, insort
from collections.abc import Callable

from .folder import StoreError
from .queue_alarms import NEVER
from .queue_rows import Reader, Row
from .queue_writer import Writer

WINDOW, SMALL_WINDOW = 512, 16  # rows of a queue in memory; once there are ALL of all queues, fewer
ALL = 32_768
CHUNK = 256  # rows that one read takes up
HELD = 16 << 20  # bytes of payloads in memory that wait to be leased


class Window:
    """A queue that has rows. Every row up to the frontier (due, id) is in memory; None: every row is."""

    __slots__ = ("alarm", "bytes", "entries", "frontier", "leased", "name", "rows")

    def __init__(self, name: str, rows: int, bytes: int, frontier: tuple[int, int] | None) -> None:
        self.name = name
        self.rows = rows
        self.bytes = bytes
        self.frontier = frontier
        self.entries: list[tuple[int, int, Row]] = []  # due, id: in order
        self.leased = 0
        self.alarm = NEVER  # when it is looked at next

    @property
    def due(self) -> int:
        """When its first row is due."""
        return self.entries[0][0] if self.entries else NEVER


class Windows:
    """Every queue's window. complain: called with what is wrong with the disk."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        queues: dict[str, tuple[int, int]],
        complain: Callable[[str, Exception | None], object],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._complain = complain
        self.queues = {name: Window(name, *counts, (-1, -1)) for name, counts in queues.items()}
        self.row_count = sum(rows for rows, _ in queues.values())
        self.byte_count = sum(size for _, size in queues.values())
        self.rows: dict[int, Row] = {}  # placed, leased, or with a state to be written
        self.damaged: set[int] = set()  # never leased, never deleted
        self._placed = self._held = 0  # rows, and bytes of their payloads

    def count(self, row: Row, sign: int) -> None:
        """It came, or went (1 or -1)."""
        it = self.queues.get(row.queue)
        if it is None:
            it = self.queues[row.queue] = Window(row.queue, 0, 0, None)
        it.rows += sign
        it.bytes += sign * row.size
        self.row_count += sign
        self.byte_count += sign * row.size
        if not it.rows:
            del self.queues[row.queue]

    def describe(self, row: Row, meta: bytes) -> None:
        """It has other metadata."""
        more = len(meta) - len(row.meta)
        row.meta = meta
        row.size += more
        self.queues[row.queue].bytes += more
        self.byte_count += more

    def forget(self, it: Window) -> list[Row]:
        """All of a queue: those of its rows that were in memory."""
        rows = [row for row in self.rows.values() if row.queue == it.name]
        for row in rows:
            if row.placed:
                self.unplace(it, row)
            del self.rows[row.id]
        del self.queues[it.name]
        self.row_count -= it.rows
        self.byte_count -= it.bytes
        return rows

    def place(self, row: Row) -> bool:
        """Into its queue's window, if that reaches so far. Is it the first now?"""
        it = self.queues[row.queue]
        entry = (row.due, row.id, row)
        if it.frontier is not None and entry[:2] > it.frontier:
            self.rows.pop(row.id, None)
            return False
        self.rows[row.id] = row
        if row.value is not None:
            if self._held + len(row.value) > HELD:
                row.value = None
            else:
                self._held += len(row.value)
        row.placed = True
        self._placed += 1
        if not it.entries or it.entries[-1] < entry:
            it.entries.append(entry)
        else:
            insort(it.entries, entry)
        if len(it.entries) > (WINDOW if self._placed <= ALL else SMALL_WINDOW):
            last = it.entries[-1][2]
            self.unplace(it, last)
            del self.rows[last.id]
            it.frontier = it.entries[-1][:2]
        return it.entries[0][2] is row

    def unplace(self, it: Window, row: Row) -> None:
        """Out of the window, and its payload out of memory."""
        entries = it.entries
        del entries[0 if entries[0][2] is row else bisect_left(entries, (row.due, row.id))]
        row.placed = False
        self._placed -= 1
        if row.value is not None:
            self._held -= len(row.value)
            row.value = None

    def fill(self, it: Window) -> bool:
        """Until it has a row, or there is none on the disk either. False: the disk could not be read."""
        while not it.entries and it.frontier is not None:
            limit = CHUNK + len(self.damaged)
            above = self._writer.purging[it.name][0] if it.name in self._writer.purging else 0
            try:
                found = self._reader.after(it.name, *it.frontier, above, limit)
            except sqlite3.Error as error:
                self._complain("a queue could not be read", error)
                return False
            fresh, last = [], it.frontier
            for row in found:
                if isinstance(row, int) or row.queue != it.name:
                    self._damage(it.name, row if isinstance(row, int) else row.id)
                    continue
                last = (row.due, row.id)
                if row.id not in self.rows and row.id not in self.damaged and not self._moving(row.id):
                    fresh.append(row)
            it.frontier = None if len(found) < limit else last
            for row in fresh:
                self.place(row)
        return True

    def _moving(self, id: int) -> bool:
        """Is it on its way to the disk, or from it?"""
        return id in self._writer.putting or id in self._writer.settling

    def value(self, row: Row) -> bytes | None:
        """A payload from the disk. None: it is damaged; the row is left where it is, and never leased again. Raises
        StoreError when it could not be read, which says nothing about the row."""
        try:
            value = self._reader.value(row.id)
        except sqlite3.Error as error:
            self._complain("a queue could not be read", error)
            raise StoreError(f"the queue could not be read: {error}") from error
        if value is None:
            self._damage(row.queue, row.id)
            del self.rows[row.id]
        return value

    def _damage(self, queue: str, id: int) -> None:
        if id not in self.damaged:
            self.damaged.add(id)
            self._complain(f"row {id} of the queue {queue} is not what was written", None)

    def find(self, id: int) -> Row | None:
        """A row, maybe from the disk. Raises StoreError."""
        if id in self.rows or self._moving(id):
            return self.rows.get(id)
        try:
            row = self._reader.find(id)
        except sqlite3.Error as error:
            raise StoreError(f"the queue could not be read: {error}") from error
        if row is None or row.queue not in self.queues:
            return None
        purged = self._writer.purging.get(row.queue)
        return None if purged is not None and id <= purged[0] else row

    def delayed(self, it: Window, now: int) -> int:
        """How many rows are due later and leased by nobody. Raises StoreError."""
        if it.frontier is None:
            return len(it.entries) - bisect_left(it.entries, (now + 1,))
        try:
            count = self._reader.delayed(it.name, now)
        except sqlite3.Error as error:
            raise StoreError(f"the queue could not be read: {error}") from error
        leased = sum(row.due > now for row in self.rows.values() if row.leased and row.queue == it.name)
        return max(0, count - leased)

    def close(self) -> None:
        self._reader.close()
