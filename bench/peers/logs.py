"""What accepted events are measured against: Redis Streams, and SQLite alone, each with an fsync before it answers."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import time
from array import array
from pathlib import Path

from bench.harness import Series, WrongResult
from bench.peers.base import Unavailable
from bench.peers.http import closed_loop, free_port


def command(*words: bytes) -> bytes:
    """In Redis's protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class RedisStreams:
    """A redis-server that synchronises its log before it answers, and a stream in it."""

    name = "Redis Streams, appendfsync always"

    def __init__(self, folder: Path) -> None:
        if not shutil.which("redis-server"):
            raise Unavailable("needs redis-server: .ci/packages redis-server")
        folder.mkdir()
        self.port = free_port()
        options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder)]
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", *options],
            stdout=subprocess.DEVNULL,
        )
        end = time.monotonic() + 20
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port), 20)
                break
            except OSError:
                if time.monotonic() > end:
                    self.process.kill()
                    raise Unavailable("redis-server does not start") from None
                time.sleep(0.02)
        self._file = self.socket.makefile("rb")
        self.socket.sendall(command(b"XGROUP", b"CREATE", b"s", b"g", b"0", b"MKSTREAM"))
        if self._value() != b"OK":
            raise WrongResult("no group")

    def put(self, value: bytes, connections: int, seconds: float) -> Series:
        request = command(b"XADD", b"s", b"*", b"v", value)
        return closed_loop(self.name, self.port, request, b"", connections, seconds)

    def drain(self, batch: int) -> Series:
        """Read by a group, acknowledged and deleted, a batch at a time: one connection, one commit of the log each."""
        begin, count = time.perf_counter_ns(), 0
        read = command(b"XREADGROUP", b"GROUP", b"g", b"c", b"COUNT", b"%d" % batch, b"STREAMS", b"s", b">")
        while True:
            self.socket.sendall(read)
            ids = self._entries()
            if not ids:
                return Series(array("q"), count, time.perf_counter_ns() - begin)
            self.socket.sendall(command(b"XACK", b"s", b"g", *ids) + command(b"XDEL", b"s", *ids))
            if self._value() != self._value():
                raise WrongResult("acknowledged are others than deleted")
            count += len(ids)

    def _value(self) -> object:
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [self._value() for _ in range(int(rest))] if rest != b"-1" else None
        if kind == b"$":
            data = self._file.read(int(rest) + 2)
            return data[:-2]
        return rest

    def _entries(self) -> list[bytes]:
        streams = self._value()
        return [entry[0] for entry in streams[0][1]] if isinstance(streams, list) else []  # type: ignore[index]

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)


class RawSqlite:
    """One table, one thread, so many rows in each commit: what the store is made of, without anything around it."""

    name = "SQLite, one table, synchronous=FULL"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=2000"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY AUTOINCREMENT, value BLOB)")

    def put(self, value: bytes, batch: int, seconds: float) -> Series:
        rows, count = [(value,)] * batch, 0
        begin = time.perf_counter_ns()
        while (took := time.perf_counter_ns() - begin) < seconds * 1e9:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany("INSERT INTO rows (value) VALUES (?)", rows)
            self.connection.execute("COMMIT")
            count += batch
        return Series(array("q"), count, took)

    def close(self) -> None:
        self.connection.close()
