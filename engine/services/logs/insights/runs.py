"""Queries as they run, each in a process of its own (scan.py): a few at a time, the others scheduled. What they found
is in a file that has no name, until there are many newer ones."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ....aws.faults import Fault
from .job import Job, Progress, read, write

RUNNING = 2  # at a time
OUTSTANDING = 100  # AWS's limit of concurrent queries
KEPT = 200  # that have ended
SECONDS = 3600  # AWS's: then it is a Timeout
ENDED = frozenset(("Complete", "Failed", "Cancelled", "Timeout"))


@dataclass
class Run:
    """A query. created: epoch ms; took: ms, once it has ended."""

    query: str
    groups: tuple[str, ...]
    job: Job
    created: int = field(default_factory=lambda: int(time.time() * 1000))
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Scheduled"
    progress: Progress = field(default_factory=lambda: Progress(0, 0, 0))
    took: int = 0
    results: IO[bytes] | None = None
    process: subprocess.Popen[bytes] | None = None
    failed: str = ""


class Runs:
    """Thread-safe. folder: where results are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._waiting: deque[Run] = deque()
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def start(self, run: Run) -> None:
        """Raises Fault."""
        with self._lock:
            if sum(each.status not in ENDED for each in self._runs.values()) >= OUTSTANDING:
                text = f"Account maximum query concurrency limit of [{OUTSTANDING}] reached."
                raise Fault("LimitExceededException", text)
            ended = [each for each in self._runs.values() if each.status in ENDED]
            for old in ended[: max(len(ended) - KEPT, 0)]:
                del self._runs[old.id]
                if old.results is not None:
                    old.results.close()
            self._runs[run.id] = run
            self._waiting.append(run)
        self._next()

    def get(self, number: str) -> Run | None:
        return self._runs.get(number)

    def all(self) -> list[Run]:
        """The latest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def stop(self, run: Run) -> bool:
        """False: it had ended."""
        with self._lock:
            if run.status in ENDED:
                return False
            self._end(run, "Cancelled")
            with contextlib.suppress(ValueError):
                self._waiting.remove(run)
            if run.process is not None:
                run.process.kill()
        return True

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._waiting.clear()
            threads = list(self._threads)
        for run in self.all():
            self.stop(run)
        for thread in threads:
            thread.join()

    def _next(self) -> None:
        with self._lock:
            while self._waiting and len(self._threads) < RUNNING and not self._closed:
                run = self._waiting.popleft()
                run.status = "Running"
                thread = threading.Thread(target=self._follow, args=(run,), name="stoker-query", daemon=True)
                self._threads.add(thread)
                thread.start()

    def _follow(self, run: Run) -> None:
        try:
            self._carry_out(run)
        except Exception as error:  # a disk that is full, say
            with self._lock:
                self._end(run, "Failed", repr(error))
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
            self._next()

    def _carry_out(self, run: Run) -> None:
        results = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        run.job.results = results.fileno()
        process = self._begin(run, results)
        if process is None:
            results.close()
            return
        assert process.stdin is not None and process.stdout is not None
        last: Any = None
        with contextlib.suppress(OSError):  # of one that was killed
            write(process.stdin, run.job)
            while (last := read(process.stdout, Progress)) is not None and not last.ended:
                run.progress = last
        process.stdin.close()
        process.stdout.close()
        status = process.wait()
        with self._lock:
            run.process = None
            if run.status in ENDED:
                results.close()
            elif last is not None and not last.failed:
                run.progress, run.results = last, results
                self._end(run, "Complete")
            else:
                results.close()
                timeout = status == -signal.SIGALRM
                self._end(
                    run, "Timeout" if timeout else "Failed", last.failed if last else f"status {status}"
                )

    def _begin(self, run: Run, results: IO[bytes]) -> subprocess.Popen[bytes] | None:
        """None: it was stopped before it began."""
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__package__}.scan import main; main()"
        with self._lock:
            if run.status in ENDED:
                return None
            run.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(results.fileno(),),
                start_new_session=True,
            )
            return run.process

    def _end(self, run: Run, status: str, failed: str = "") -> None:
        if run.status not in ENDED:
            run.status, run.failed = status, failed
            run.took = int(time.time() * 1000) - run.created


def page(run: Run, offset: int, most: int, size: int) -> tuple[list[bytes], int]:
    """Rows from there on, as JSON, no more than so many or so many bytes; and where the next ones are, 0: nowhere.
    Raises Fault: no row begins there."""
    if run.results is None:
        return [], 0
    file = run.results.fileno()
    end = os.fstat(file).st_size
    if offset and not (0 < offset < end and os.pread(file, 1, offset - 1) == b"\n"):
        raise Fault("InvalidParameterException", "The specified nextToken is invalid.")
    data = os.pread(file, min(size, end - offset), offset)
    whole = data[: data.rfind(b"\n") + 1]
    if not whole and data:  # a row of more than that
        data = os.pread(file, end - offset, offset)
        whole = data[: data.find(b"\n") + 1]
    lines = whole.splitlines(keepends=True)[:most]
    at = offset + sum(map(len, lines))
    return lines, at if at < end else 0
