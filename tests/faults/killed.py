"""A server that is killed again and again while others use it: what the tests of accepted events share."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import random
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from served import ROLE, RUNTIME, Served

from engine.hosting.archives import pack

from .conftest import wait_until

LOST = (OSError, http.client.HTTPException)  # what a client of a server that is killed meets


class Killed:
    """The server and who uses it: threads, each until `over`. `notes` has a file for each function, of the ids of the
    events that it ran."""

    def __init__(self, folder: Path, source: str, *options: str) -> None:
        """source: of every function; options: of `stoker serve`."""
        self.folder, self.notes = folder, folder / "notes"
        self.notes.mkdir()
        (folder / "app.py").write_text(source)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._options = ("--port", str(self.port), "--retry-delays", "0.05,0.1", *options)
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        self.room = 0  # events that may be sent
        self.over = threading.Event()
        self.failures: list[BaseException] = []
        self.start()

    def sent(self) -> int:
        """Events that were accepted."""
        raise NotImplementedError

    def missing(self) -> dict[str, set[str]]:
        """Those of which nothing is to be seen yet, by where that should be."""
        raise NotImplementedError

    def start(self) -> None:
        self.served = Served(self.folder / "state", *self._options)

    def kill(self) -> None:
        self.served.process.send_signal(signal.SIGKILL)
        with self.served.process:
            self.served.process.wait(20)

    def close(self) -> None:
        if self.served.process.poll() is None:
            self.kill()

    def create(self, api: Any, name: str, timeout: int, **members: Any) -> None:
        """A function, until it is active."""
        api.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=timeout,
            Code={"ZipFile": pack(self.folder / "app.py")}, **members,
        )  # fmt: skip
        api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})

    @contextlib.contextmanager
    def crowd(self, works: Sequence[Callable[[], None]]) -> Iterator[None]:
        """A thread for each of these; what one raises is in `failures`."""

        def watched(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:
                self.failures.append(error)

        threads = [threading.Thread(target=watched, args=(each,)) for each in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join(60)

    def lives(self, events: int, kills: int, moments: random.Random, seconds: float) -> Iterator[int]:
        """So many lives of the server, each of which ends with a kill, while so many events are sent. seconds: that
        the events of one life may take."""
        self.room = events
        for life in range(kills):
            yield life
            count = min(events, self.sent() + moments.randrange(2 * events // kills))
            wait_until(lambda count=count: self.failures or self.sent() >= count, seconds)
            time.sleep(moments.uniform(0.0, 0.5))  # the moment of the kill
            self.kill()
            self.start()

    def settle(self, events: int, seconds: float) -> None:
        """Until all of them are accepted, and then nothing is missing, or the time is over."""
        wait_until(lambda: self.failures or self.sent() == events, 300.0)
        with contextlib.suppress(AssertionError):  # the test says it, and what is missing
            wait_until(lambda: self.over.wait(0.2) or self.failures or not self.missing(), seconds)

    # What came of it.

    def ran(self, name: str) -> Counter[str]:
        path = self.notes / name
        return Counter(path.read_text().split() if path.exists() else [])

    def rows(self, but: str = "") -> int:
        """That the queues have once the server ended. but: of those with such names, in SQL's LIKE."""
        with contextlib.closing(sqlite3.connect(self.folder / "state" / "stoker.db")) as database:
            query = "SELECT count(*) FROM queue WHERE queue NOT LIKE ?"
            return int(database.execute(query, (but,)).fetchone()[0])
