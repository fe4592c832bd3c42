"""Durable records on SQLite: nothing is answered before it is on the disk, and what waits shares one fsync.

One thread writes. Everything that was asked while it was busy goes into its next transaction (group commit), so many
callers cost one fsync; each one's future is done after it. SQLite's write-ahead log with synchronous=FULL is what makes
that true: a commit that returned survives the machine, one that did not is absent as a whole, and a torn tail of the
log is dropped by its checksums. Its main file has none, so each value has its own. After an error nothing is trusted:
the connection is opened anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from ..errors import EngineError

SCHEMA = 1
_FILE = "stoker.db"
_TABLES = """
CREATE TABLE records (tbl TEXT NOT NULL, owner TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,
                      sum INTEGER NOT NULL, PRIMARY KEY (tbl, owner, id)) WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, attempts INTEGER NOT NULL, not_before REAL NOT NULL,
                     value BLOB NOT NULL, sum INTEGER NOT NULL);
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
        self._connection: sqlite3.Connection | None = None
        try:
            _check_log(folder / f"{_FILE}-wal")
            self._connection = self._open()
            self._check()
        except BaseException:
            if self._connection is not None:
                self._connection.close()
            os.close(self._lock)
            raise
        self._asked: queue.SimpleQueue[tuple[Sequence[Step], Future[int | None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="stoker-store", daemon=True)
        self._closed = False
        self._asking = threading.Lock()  # so that nothing is asked behind the end
        self._thread.start()

    def load(self) -> Iterator[tuple[str, str, str, bytes]]:
        """(table, owner, id, value) of every record. At start, before the first commit."""
        for table, owner, id, value, sum in self._read("SELECT tbl, owner, id, value, sum FROM records"):
            if sum != _sum(value, table, owner, id):
                raise _damaged(self._path, f"the record {table} {owner} {id} is not what was written")
            yield table, owner, id, value

    def events(self) -> list[tuple[int, int, float, bytes]]:
        """(id, attempts, not before, value) of every event that is not finished, oldest first. At start."""
        found = []
        for *event, value, sum in self._read(
            "SELECT id, attempts, not_before, value, sum FROM events ORDER BY id"
        ):
            if sum != _sum(value):
                raise _damaged(self._path, f"the event {event[0]} is not what was written")
            found.append((*event, value))
        return found

    def _read(self, query: str) -> Iterator[tuple[Any, ...]]:
        assert self._connection is not None
        try:
            yield from self._connection.execute(query)
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error

    def commit(self, steps: Sequence[Step]) -> Future[int | None]:
        """From any thread: all of these or none. The future is done once they are durable; its result is the id of the
        last event that was added, or None. It fails with StoreError when nothing was changed."""
        future: Future[int | None] = Future()
        with self._asking:
            if not self._closed:
                self._asked.put((steps, future))
                return future
        future.set_exception(StoreError("the store is closed"))
        return future

    def close(self) -> None:
        """What was asked is done first."""
        with self._asking:
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
            asked = [entry for entry in group if entry and entry[1].set_running_or_notify_cancel()]
            if not asked:
                continue
            try:
                done = self._write([steps for steps, _ in asked])
            except Exception as error:  # whatever it is, each of them is answered, and the thread goes on
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
            with contextlib.suppress(sqlite3.Error):  # some errors have rolled it back already
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
        with contextlib.suppress(StoreError):  # the next commit tries again
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=2000")
            return connection
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error

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
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error


def _apply(connection: sqlite3.Connection, step: Step) -> int | None:
    match step:
        case Put(table, owner, id, value):
            connection.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)",
                (table, owner, id, value, _sum(value, table, owner, id)),
            )
        case Delete(table, owner, id):
            connection.execute("DELETE FROM records WHERE tbl=? AND owner=? AND id=?", (table, owner, id))
        case AddEvent(value, not_before):
            cursor = connection.execute(
                "INSERT INTO events (attempts, not_before, value, sum) VALUES (0, ?, ?, ?)",
                (not_before, value, _sum(value)),
            )
            return cursor.lastrowid
        case FinishEvent(event):
            connection.execute("DELETE FROM events WHERE id=?", (event,))
        case RetryEvent(event, attempts, not_before):
            connection.execute(
                "UPDATE events SET attempts=?, not_before=? WHERE id=?", (attempts, not_before, event)
            )
    return None


def _check_log(path: Path) -> None:
    """Refuses a write-ahead log that is damaged before its tail: SQLite would drop all that follows, in silence.

    The tail is the last transaction. Whatever stands before a later one of the same log was synchronised before that
    was begun, so no crash tears it. Only a crash leaves a log behind; SQLite's file format, "WAL File Format"."""
    try:
        log = path.read_bytes()
    except FileNotFoundError:
        return
    if len(log) <= 32 or not any(log[:32]):
        return
    magic, _, page, _, *salts = struct.unpack(">6I", log[:24])
    order = ">" if magic & 1 else "<"
    frame = 24 + page
    sums = _wal_sums(order, log[:24], (0, 0))
    if magic & ~1 != 0x377F0682 or sums != struct.unpack(">2I", log[24:32]):
        raise _damaged(path, "its header")
    sound, synced = True, False
    for at in range(32, len(log) - frame + 1, frame):
        _, commit, salt, salt2, *said = struct.unpack(">6I", log[at : at + 24])
        if sound:
            sums = _wal_sums(order, log[at : at + 8] + log[at + 24 : at + frame], sums)
            sound = [salt, salt2, *sums] == [*salts, *said]
        if not sound and [salt, salt2] == salts:
            if synced:
                raise _damaged(path, "before its last transaction")
            synced = commit > 0


def _wal_sums(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    for first, second in struct.iter_unpack(f"{order}2I", data):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def _sum(value: bytes, *names: str) -> int:
    return crc32("\0".join(names).encode(), crc32(value))


def _failed(path: Path, error: sqlite3.Error) -> StoreError:
    """Of reading: damage, or the disk's refusal (which has a class of its own)."""
    if isinstance(error, sqlite3.OperationalError):
        return StoreError(f"{path} could not be opened or read: {error}")
    return _damaged(path, error)


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
