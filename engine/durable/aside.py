"""A database beside the state's, for what is no state: put aside where it cannot be read, and bounded by its users.

Belongs to one thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from .folder import StoreError

_CACHE = 512  # KiB of pages: SQLite takes 2 MB by itself


class Aside:
    """tables: SQL that makes what is not there. Raises StoreError where the disk fails."""

    def __init__(self, path: Path, tables: str) -> None:
        self._path = path
        try:
            self.connection = self._open(tables)
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                for suffix in ("-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                path.rename(path.with_name(path.name + ".damaged"))
            with self.explained():
                self.connection = self._open(tables)

    def _open(self, tables: str) -> sqlite3.Connection:
        made = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            made.execute("PRAGMA auto_vacuum=INCREMENTAL")
            made.execute("PRAGMA journal_mode=WAL")
            made.execute("PRAGMA synchronous=FULL")
            made.execute(f"PRAGMA cache_size=-{_CACHE}")
            made.executescript(tables)
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        self.connection.close()

    def size(self) -> int:
        """Bytes of the pages that are in use."""

        def pragma(name: str) -> int:
            return int(self.connection.execute(f"PRAGMA {name}").fetchone()[0])

        return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")

    def shrink(self) -> None:
        """Pages that are free go back to the system."""
        self.connection.execute("PRAGMA incremental_vacuum").fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Durable once it is over; nothing was changed where it fails."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection.execute
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """What SQLite raises as a StoreError."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error
