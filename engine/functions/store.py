"""Durable records on SQLite: nothing is answered before it is on the disk, and what waits shares one fsync.

One thread writes. Everything that was asked while it was busy goes into its next transaction (group commit), so many
callers cost one fsync; each one's future is done after it. SQLite's write-ahead log with synchronous=FULL is what makes
that true: a commit that returned survives the machine, one that did not is absent as a whole, and a torn tail of the
log is dropped by its checksums. After an error nothing is trusted: the connection is opened anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError

SCHEMA = 1
_FILE = "stoker.db"
_TABLES = """
CREATE TABLE records (tbl TEXT NOT NULL, owner TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,
                      PRIMARY KEY (tbl, owner, id)) WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, attempts INTEGER NOT NULL, not_before REAL NOT NULL,
                     value BLOB NOT NULL);
"""


class StoreError(EngineError):
    """The state could not be read or made durable; the message says which file, and why."""


@dataclass(frozen=True, slots=True)
class Put:
    table: str
    owner: str
    id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    table: str
    owner: str
    id: str


@dataclass(frozen=True, slots=True)
class AddEvent:
    """An accepted event; not_before: epoch seconds. Its commit's future has the event's id."""

    value: bytes
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class FinishEvent:
    id: int


@dataclass(frozen=True, slots=True)
class RetryEvent:
    id: int
    attempts: int
    not_before: float


Step = Put | Delete | AddEvent | FinishEvent | RetryEvent


class Store:
    """The records and events of one folder. Owned by one process at a time. Raises StoreError."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / _FILE
        self._lock = _take(folder / "lock")
        try:
            self._connection: sqlite3.Connection | None = self._open()
            self._check()
        except BaseException:
            os.close(self._lock)
            raise
        self._asked: queue.SimpleQueue[tuple[Sequence[Step], Future[int | None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="stoker-store", daemon=True)
        self._thread.start()
        self._closed = False

    def load(self) -> Iterator[tuple[str, str, str, bytes]]:
        """(table, owner, id, value) of every record. At start, before the first commit."""
        assert self._connection is not None
        yield from self._connection.execute("SELECT tbl, owner, id, value FROM records")

    def events(self) -> list[tuple[int, int, float, bytes]]:
        """(id, attempts, not before, value) of every event that is not finished, oldest first. At start."""
        assert self._connection is not None
        return list(
            self._connection.execute("SELECT id, attempts, not_before, value FROM events ORDER BY id")
        )

    def commit(self, steps: Sequence[Step]) -> Future[int | None]:
        """From any thread: all of these or none. The future is done once they are durable; its result is the id of the
        last event that was added, or None. It fails with StoreError when nothing was changed."""
        future: Future[int | None] = Future()
        if self._closed:
            future.set_exception(StoreError("the store is closed"))
        else:
            self._asked.put((steps, future))
        return future

    def close(self) -> None:
        """What was asked is done first."""
        if self._closed:
            return
        self._closed = True
        self._asked.put(None)
        self._thread.join()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        os.close(self._lock)

    def _run(self) -> None:
        last = False
        while not last:
            group = [self._asked.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    group.append(self._asked.get_nowait())
            last = None in group
            asked = [entry for entry in group if entry is not None]
            if not asked:
                continue
            try:
                done = self._write([steps for steps, _ in asked])
            except (sqlite3.Error, OSError) as error:
                self._reopen()
                for _, future in asked:
                    future.set_exception(StoreError(f"{self._path} could not be written: {error}"))
                continue
            for (_, future), result in zip(asked, done, strict=True):
                future.set_result(result)

    def _write(self, group: list[Sequence[Step]]) -> list[int | None]:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        results: list[int | None] = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            for steps in group:
                result = None
                for step in steps:
                    result = _apply(connection, step) or result
                results.append(result)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return results

    def _reopen(self) -> None:
        """After an error: whether the last fsync did anything is not known to this connection."""
        connection, self._connection = self._connection, None
        with contextlib.suppress(sqlite3.Error):
            if connection is not None:
                connection.close()
        with contextlib.suppress(sqlite3.Error):
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=2000")
            return connection
        except sqlite3.DatabaseError as error:
            raise _damaged(self._path, error) from error

    def _check(self) -> None:
        assert self._connection is not None
        try:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA:
                raise StoreError(
                    f"{self._path} was written by a newer version (schema {version}, this one knows {SCHEMA}): "
                    "use that version, or another --state folder"
                )
            if version == 0:
                self._connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise _damaged(self._path, found)
        except sqlite3.DatabaseError as error:
            raise _damaged(self._path, error) from error


def _apply(connection: sqlite3.Connection, step: Step) -> int | None:
    match step:
        case Put(table, owner, id, value):
            connection.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (table, owner, id, value)
            )
        case Delete(table, owner, id):
            connection.execute("DELETE FROM records WHERE tbl=? AND owner=? AND id=?", (table, owner, id))
        case AddEvent(value, not_before):
            cursor = connection.execute(
                "INSERT INTO events (attempts, not_before, value) VALUES (0, ?, ?)", (not_before, value)
            )
            return cursor.lastrowid
        case FinishEvent(event):
            connection.execute("DELETE FROM events WHERE id=?", (event,))
        case RetryEvent(event, attempts, not_before):
            connection.execute(
                "UPDATE events SET attempts=?, not_before=? WHERE id=?", (attempts, not_before, event)
            )
    return None


def _damaged(path: Path, why: object) -> StoreError:
    return StoreError(
        f"{path} is damaged ({why}): restore it from a backup, or move it away to start with nothing deployed"
    )


def _take(path: Path) -> int:
    """An exclusive lock that ends with the process, however it ends. Raises StoreError while another one has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise StoreError(
            f"{path.parent} is in use by another server (process {owner}): stop it, or give another --state folder"
        ) from None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd
