"""Segments on the disk: by trace, for 30 days, within a bound of bytes.

A database of its own: what it loses is no state. Belongs to one thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...durable.folder import StoreError

KEPT = 30 * 86_400  # seconds: AWS's
MOST_BYTES = 256 << 20
TRACE_BYTES = 500 * 1024  # that are read of a trace: AWS's limit of one
_BATCH = 2_000  # segments that are dropped in one transaction
_CHECKED = 4 << 20  # bytes that are written between two looks at the size
_CACHE = 512  # KiB of pages
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
        self._path = path
        self._clock = clock
        self._most_bytes = most_bytes
        self._unchecked = 0
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError:  # traces are no state: what cannot be read is put aside
            with contextlib.suppress(OSError):
                for suffix in ("-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                path.rename(path.with_name(path.name + ".damaged"))
            with _explained(path):
                self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        made = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            made.execute("PRAGMA auto_vacuum=INCREMENTAL")
            made.execute("PRAGMA journal_mode=WAL")
            made.execute("PRAGMA synchronous=FULL")
            made.execute(f"PRAGMA cache_size=-{_CACHE}")
            made.executescript(_TABLES)
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        self._connection.close()

    def put(self, rows: Iterable[Row]) -> None:
        """Durable when this returns. A segment that is complete takes the place of the same one in progress."""
        written = 0

        def counted() -> Iterator[Row]:
            nonlocal written
            for row in rows:
                written += len(row.document)
                yield row

        with _explained(self._path), self._transaction():
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
        with _explained(self._path):
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
        with _explained(self._path):
            row = self._connection.execute(
                "SELECT 1 FROM segments WHERE trace=? AND (at, id)>(?, ?) AND at<=? LIMIT 1",
                (trace, at, id, end),
            ).fetchone()
        return row is None

    def older(self, start: int, cursor: Cursor, number: int) -> list[Cursor]:
        """The segments before that one, newest first, that began at `start` or later, ms."""
        with _explained(self._path):
            rows = self._connection.execute(
                "SELECT at, trace, id FROM segments WHERE at>=? AND (at, trace, id)<(?, ?, ?) "
                "ORDER BY at DESC, trace DESC, id DESC LIMIT ?",
                (start, *cursor, number),
            )
            return [(at, trace, id) for at, trace, id in rows]

    def tidy(self) -> None:
        """What is old goes; so does the oldest where there are too many bytes."""
        before = int((self._clock() - KEPT) * 1e3)
        with _explained(self._path):
            while self._drop("at<?", before):
                pass
        self._bound()

    def _bound(self) -> None:
        with _explained(self._path):
            while self._size() > self._most_bytes and self._drop("at<?", 1 << 60):
                pass

    def _drop(self, which: str, value: int) -> bool:
        """Some of the oldest. False: there are none."""
        with self._transaction():
            found = self._connection.execute(
                f"DELETE FROM segments WHERE (trace, id) IN "
                f"(SELECT trace, id FROM segments WHERE {which} ORDER BY at LIMIT {_BATCH})",
                (value,),
            )
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()
        return found.rowcount > 0

    def _size(self) -> int:
        def pragma(name: str) -> int:
            return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

        return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
