"""Segments on the disk: by trace, for 30 days, within a bound of bytes.

A database of its own: what it loses is no state. Belongs to one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...durable.aside import Aside

KEPT = 30 * 86_400  # seconds: AWS's
MOST_BYTES = 256 << 20
TRACE_BYTES = 500 * 1024  # that are read of a trace: AWS's limit of one
_BATCH = 2_000  # segments that are dropped in one transaction
_CHECKED = 4 << 20  # bytes that are written between two looks at the size
_TABLES = """
CREATE TABLE IF NOT EXISTS segments (trace TEXT NOT NULL, id TEXT NOT NULL, place TEXT NOT NULL, at INTEGER NOT NULL,
    progress INTEGER NOT NULL, document BLOB NOT NULL, PRIMARY KEY (trace, id, place)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segments_by_time ON segments (at);
"""
_PUT = """
INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (trace, id, place) DO UPDATE SET
    at=excluded.at, progress=excluded.progress, document=excluded.document WHERE excluded.progress<=progress
"""


class Row(NamedTuple):
    """One segment. place: its partition, "" where it came without one; at: ms of its beginning; progress: 1 while it is
    in progress."""

    trace: str
    id: str
    place: str
    at: int
    progress: int
    document: bytes


class Found(NamedTuple):
    """A trace's documents; limited: there are more."""

    documents: list[bytes]
    limited: bool


Cursor = tuple[int, str, str]  # when a segment began, its trace, its id


class SegmentStore:
    """Raises StoreError where the disk fails; nothing was changed then."""

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.time, most_bytes: int = MOST_BYTES
    ) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._unchecked = 0
        self._database = Aside(path, _TABLES)
        self._connection = self._database.connection

    def close(self) -> None:
        self._database.close()

    def put(self, rows: Iterable[Row]) -> None:
        """Durable when this returns. A segment that is complete takes the place of the same one in progress."""
        written = 0

        def counted() -> Iterator[Row]:
            nonlocal written
            for row in rows:
                written += len(row.document)
                yield row

        with self._database.explained(), self._database.transaction():
            self._connection.executemany(_PUT, counted())
        self._unchecked += written
        if self._unchecked > _CHECKED:
            self._unchecked = 0
            self._bound()

    def trace(self, id: str, place: str, default: bool) -> Found | None:
        """A trace as a place sees it; default: it also has those that came without one. None: it has none."""
        documents: list[bytes] = []
        places: set[str] = set()
        size = 0
        with self._database.explained():
            rows = self._connection.execute("SELECT place, document FROM segments WHERE trace=?", (id,))
            for where, document in rows:
                places.add(where)
                if where not in ("", place):
                    continue
                size += len(document)
                if size > TRACE_BYTES:
                    break
                documents.append(document)
        visible = place in places or (default and places == {""})
        return Found(documents, size > TRACE_BYTES) if visible else None

    def is_last(self, segment: Cursor, end: int) -> bool:
        """Is it the one of its trace that began last, but for what began after `end`, ms?"""
        at, trace, id = segment
        with self._database.explained():
            row = self._connection.execute(
                "SELECT 1 FROM segments WHERE trace=? AND (at, id)>(?, ?) AND at<=? LIMIT 1",
                (trace, at, id, end),
            ).fetchone()
        return row is None

    def older(self, start: int, cursor: Cursor, number: int) -> list[Cursor]:
        """The segments before that one, newest first, that began at `start` or later, ms."""
        with self._database.explained():
            rows = self._connection.execute(
                "SELECT at, trace, id FROM segments WHERE at>=? AND (at, trace, id)<(?, ?, ?) "
                "ORDER BY at DESC, trace DESC, id DESC LIMIT ?",
                (start, *cursor, number),
            )
            return [(at, trace, id) for at, trace, id in rows]

    def tidy(self) -> None:
        """What is old goes; so does the oldest where there are too many bytes."""
        before = int((self._clock() - KEPT) * 1e3)
        with self._database.explained():
            while self._drop("at<?", before):
                pass
        self._bound()

    def _bound(self) -> None:
        with self._database.explained():
            while self._database.size() > self._most_bytes and self._drop("at<?", 1 << 60):
                pass

    def _drop(self, which: str, value: int) -> bool:
        """Some of the oldest. False: there are none."""
        with self._database.transaction():
            found = self._connection.execute(
                f"DELETE FROM segments WHERE (trace, id) IN "
                f"(SELECT trace, id FROM segments WHERE {which} ORDER BY at LIMIT {_BATCH})",
                (value,),
            )
        self._database.shrink()
        return found.rowcount > 0
