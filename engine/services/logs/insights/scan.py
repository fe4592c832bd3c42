"""A query's own process: it reads the segments of log groups by itself and runs the query over them.

So no query takes the interpreter from what writes logs, each can be killed at any point, and what it uses of memory and
time is bounded by the system. It ends with the log's process: its stdin is at its end then.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator

from .... import wire
from .job import Job, Progress, read, write
from .pipeline import Query, Row
from .record import Record, source
from .segments import pieces
from .tree import Malformed

MEMORY = 512 << 20  # bytes of data that a query may have
TELL = 0.2  # seconds between two messages


class Scan:
    """A job as it goes on."""

    def __init__(self, job: Job) -> None:
        """Raises Malformed."""
        self._job = job
        self.query = Query(job.query, job.most)
        self.scanned = self.size = 0

    def progress(self) -> Progress:
        return Progress(self.query.matched, self.scanned, self.size)

    def run(self) -> Iterator[None]:
        """Step by step. Raises TimeoutError, MemoryError, OSError."""
        for part in self._job.parts:
            of = source(part.account, part.group)
            for events in pieces(part, part.extents):
                for event in events:
                    if part.low <= event.timestamp < part.high:
                        self.scanned += 1
                        self.size += len(event.message)
                        self.query.push(Record(event, of))
                yield
        self.query.finish()

    def rows(self) -> Iterator[bytes]:
        for row in self.query.rows:
            yield _line(row)


def _line(row: Row) -> bytes:
    try:
        return wire.fast_encode(row) + b"\n"
    except UnicodeEncodeError:  # lone surrogates, which no UTF-8 has
        whole = [
            {key: text.encode("utf-8", "replace").decode() for key, text in each.items()} for each in row
        ]
        return wire.fast_encode(whole) + b"\n"


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # what writes the log goes first
    job = read(sys.stdin.buffer, Job)
    if job is None:
        return
    signal.alarm(job.seconds)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    threading.Thread(target=_ends_with_stdin, daemon=True).start()
    out = sys.stdout.buffer
    try:
        scan = Scan(job)
        told = time.monotonic()
        for _ in scan.run():
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                write(out, scan.progress())
        ended = scan.progress()
        ended.ended = True
        with os.fdopen(job.results, "wb") as results:
            for line in scan.rows():
                results.write(line)
                ended.rows += 1
    except (TimeoutError, MemoryError, OSError, Malformed) as error:
        ended = Progress(0, 0, 0, ended=True, failed=repr(error))
    write(out, ended)
    os._exit(0)


def _ends_with_stdin() -> None:
    os.read(0, 1)
    os._exit(1)
