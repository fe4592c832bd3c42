"""Durable rows on SQLite: a commit is acknowledged once it is on the disk, and commits that wait share one fsync.

One thread writes. Everything that arrives while it is busy goes into its next transaction (group commit), so many
callers cost one fsync; each one's future is done after it. SQLite's write-ahead log with synchronous=FULL is what makes
that true: a commit that returned survives the machine, one that did not is absent as a whole, and a torn tail of the
log is dropped by its checksums. Its main file has none, so each value has its own. After an error nothing is trusted:
the connection is opened anew. Once nothing was written for a moment, the files give back what they no longer need.

What a row means is not known here: each kind of row brings its table, its steps and its checks (Kind, Step).
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
from pathlib import Path
from typing import Protocol, TypeVar
from zlib import crc32

from .folder import DATABASE, ID_TABLE, LOCK, StoreError, claim, strangers, unusable, without_database
from .log_tail import LogTail

# 1: every table was at its first version; 2: the table "kinds" has each one's version; 3: "folder" has its id.
SCHEMA = 3
_IDLE = 1.0  # seconds without a commit after which the files are tidied
_LITTLE = 1 << 20  # bytes of room: hardly any
_LOG_PAGES = 250  # then the log goes into the main file: a commit waits for that, a start checks them
_LOG_BYTES = 2 << 20  # that the log keeps when it starts anew
_STATEMENTS = 256  # that are kept prepared
_INCREMENTAL = 2  # SQLite's number for auto_vacuum=INCREMENTAL
_VACUUM_PAGES = 256  # given back at a time: a commit that comes meanwhile waits for so many

Row_co = TypeVar("Row_co", covariant=True)


class Damage(Exception):
    """A kind found a row that is not what was written; the message says which."""


class Step(Protocol):
    """A change of a kind's rows, as one part of a commit."""

    def apply(self, connection: sqlite3.Connection) -> int | None:
        """In the store's transaction. Returns the id of a row that the store numbered, if it made one."""


_Commit = tuple[Sequence[Step], Future[int | None]]


class Kind(Protocol[Row_co]):
    """One kind of rows, in the table that has its name."""

    name: str
    version: int  # of its table's form: 1 and up

    def upgrade(self, connection: sqlite3.Connection, version: int) -> None:
        """Make the table what this version has, from what `version` had (0: there is none). In a transaction, by
        `execute` only. Raises Damage."""

    def load(self, connection: sqlite3.Connection) -> Iterator[Row_co]:
        """Every row, held against its checksum. Raises Damage."""


class Store:
    """The rows of one state directory. Owned by one process at a time. Raises StoreError."""

    def __init__(self, folder: Path, kinds: Sequence[Kind[object]] = (), *, sync: bool = True) -> None:
        """sync: False of a folder that goes with the process: nothing waits for the disk."""
        self._folder = folder
        self._sync = sync
        self._id = claim(folder)
        self._path = folder / DATABASE
        self._lock = _take(folder / LOCK)
        self._tail = LogTail(self._path)
        self._connection: sqlite3.Connection | None = None
        try:
            _check_log(folder / f"{DATABASE}-wal")
            self._connection = self._open()
            self._check(kinds)
        except BaseException:
            if self._connection is not None:
                self._connection.close()
            os.close(self._lock)
            raise
        self._waiting: queue.SimpleQueue[_Commit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="stoker-store", daemon=True)
        self._closed = False
        self._closing = threading.Lock()  # so that no commit is queued behind the end
        self._thread.start()

    def load(self, kind: Kind[Row_co]) -> Iterator[Row_co]:
        """Every row of a kind. At start, before the first commit."""
        assert self._connection is not None
        with self._explained():
            yield from kind.load(self._connection)

    def reader(self) -> sqlite3.Connection:
        """A connection that only reads, for any one thread; it sees what is durable. The caller closes it."""
        with self._explained():
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA query_only=1")
            return connection

    def commit(self, steps: Sequence[Step]) -> Future[int | None]:
        """From any thread: all of these or none. The future is done once they are durable; its result is the id of the
        last row that the store numbered, or None. It fails with StoreError when nothing was changed."""
        future: Future[int | None] = Future()
        with self._closing:
            if not self._closed:
                self._waiting.put((steps, future))
                return future
        future.set_exception(StoreError("the store is closed"))
        return future

    def close(self) -> None:
        """What is queued is done first."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
        self._thread.join()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._tail.close()
        os.close(self._lock)

    def _run(self) -> None:
        last = untidy = False
        while not last:
            try:
                queued = [self._waiting.get(timeout=_IDLE if untidy else None)]
            except queue.Empty:
                untidy = self._tidy()
                continue
            untidy = True
            with contextlib.suppress(queue.Empty):
                while True:
                    queued.append(self._waiting.get_nowait())
            last = None in queued
            group = [entry for entry in queued if entry and entry[1].set_running_or_notify_cancel()]
            if not group:
                continue
            try:
                results = self._write([steps for steps, _ in group])
            except Exception as error:  # whatever it is, each future is done, and the thread goes on
                self._tail.cut()  # what was refused is not to be there at the next start
                self._reopen()
                for _, future in group:
                    future.set_exception(StoreError(f"{self._path} could not be written: {error}"))
                continue
            for (_, future), result in zip(group, results, strict=True):
                future.set_result(result)

    def _write(self, group: list[Sequence[Step]]) -> list[int | None]:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        results: list[int | None] = []
        with connection:  # commits at its end, or rolls back
            connection.execute("BEGIN IMMEDIATE")
            for steps in group:
                result = None
                for step in steps:
                    result = step.apply(connection) or result
                results.append(result)
        return results

    def _tidy(self) -> bool:
        """Give pages that are free, and the log, back to the disk, as long as no commit waits. Is there more to do?"""
        connection = self._connection
        if connection is None:
            return False
        try:
            while self._waiting.empty() and connection.execute("PRAGMA freelist_count").fetchone()[0]:
                connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            if not self._waiting.empty():
                return True
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            self._reopen()
        return False

    def _reopen(self) -> None:
        """After an error: whether the last fsync did anything is not known to this connection."""
        connection, self._connection = self._connection, None
        with contextlib.suppress(sqlite3.Error):
            if connection is not None:
                connection.close()
        with contextlib.suppress(StoreError):  # the next commit tries again
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        with self._explained():
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
            )
            if connection.execute("PRAGMA page_count").fetchone() == (0,):  # else it would be written to
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'FULL' if self._sync else 'OFF'}")
            connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
            return connection

    def _check(self, kinds: Sequence[Kind[object]]) -> None:
        connection = self._connection
        assert connection is not None
        with self._explained():
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            if schema > SCHEMA:
                raise _newer(self._path, "schema", schema, SCHEMA)
            if not schema and (others := strangers(self._folder)):
                raise without_database(self._folder, f"has a {DATABASE} without tables", others)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Damage(found)
            with connection:
                connection.execute("BEGIN")
                self._upgrade(connection, schema, kinds)
            if schema < SCHEMA:
                self._settle(connection)

    def _settle(self, connection: sqlite3.Connection) -> None:
        """After an upgrade: the id is in the main file, whatever becomes of the log, and the file can shrink."""
        if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            with contextlib.suppress(sqlite3.OperationalError):  # there is no room for a second one
                connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _upgrade(self, connection: sqlite3.Connection, schema: int, kinds: Sequence[Kind[object]]) -> None:
        """Bring every table to what its kind has, in the transaction that is begun."""
        if schema >= 3:
            row = connection.execute("SELECT id FROM folder").fetchone()
            if row is None:
                raise Damage("its id is missing")
            if row[0] != self._id:
                raise StoreError(
                    f"{self._path} belongs to another state directory (its id: {row[0]}, the directory's {self._id}): "
                    "put the one back that was here. Nothing was changed"
                )
        if schema < 2:
            tables = connection.execute(
                "SELECT name, 1 FROM sqlite_schema WHERE type='table' AND substr(name, 1, 7) <> 'sqlite_'"
            ).fetchall()
            connection.execute(
                "CREATE TABLE kinds (name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"
            )
            connection.executemany("INSERT INTO kinds VALUES (?, ?)", tables)
        if schema < 3:
            connection.execute(ID_TABLE)
            connection.execute("INSERT INTO folder VALUES (?)", (self._id,))
            connection.execute(f"PRAGMA user_version={SCHEMA}")
        versions = dict(connection.execute("SELECT name, version FROM kinds"))
        for kind in kinds:
            version = versions.get(kind.name, 0)
            if not isinstance(version, int):
                raise Damage(f"the version of {kind.name}")
            if version > kind.version:
                raise _newer(self._path, f"{kind.name} schema", version, kind.version)
            if version < kind.version:
                kind.upgrade(connection, version)
                connection.execute("INSERT OR REPLACE INTO kinds VALUES (?, ?)", (kind.name, kind.version))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of reading as StoreErrors: damage, or the disk's refusal (which has a class of its own)."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = f"{self._path} could not be opened or read: {error}"
            raise StoreError(text + _room(self._folder)) from error
        except (sqlite3.Error, Damage) as error:
            raise _damaged(self._path, error) from error


def _room(folder: Path) -> str:
    """Why the disk refused, if it is full: SQLite says "disk I/O error" of that, too."""
    with contextlib.suppress(OSError):
        disk = os.statvfs(folder)
        if (free := disk.f_bavail * disk.f_frsize) < _LITTLE:
            return f" (the disk is full: {free} bytes are left)"
    return ""


def checksum(value: bytes, *names: str) -> int:
    """Of a value and what it is stored under."""
    return crc32("\0".join(names).encode(), crc32(value))


def intact(sum: int, value: bytes, *names: str) -> bool:
    try:
        return sum == checksum(value, *names)
    except TypeError:  # damage can change a value's type
        return False


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
        _, commit, salt, salt2, *stored = struct.unpack(">6I", log[at : at + 24])
        if sound:
            sums = _wal_sums(order, log[at : at + 8] + log[at + 24 : at + frame], sums)
            sound = [salt, salt2, *sums] == [*salts, *stored]
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


def _newer(path: Path, what: str, version: int, ours: int) -> StoreError:
    return StoreError(
        f"{path} was written by a newer version ({what} {version}, this one knows {ours}): "
        "use that version, or another --state directory"
    )


def _damaged(path: Path, why: object) -> StoreError:
    return StoreError(
        f"{path} is damaged ({why}): restore it from a backup; "
        "to start with nothing deployed, give another --state directory"
    )


def _take(path: Path) -> int:
    """An exclusive lock that ends with the process, however it ends. Raises StoreError while another one has it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unusable(path.parent, error) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise StoreError(
            f"{path.parent} is in use by another server (process {owner}): stop it, or give another --state directory"
        ) from None
    try:
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
    except OSError as error:
        os.close(fd)
        raise unusable(path.parent, error) from None
    return fd
