"""Row 40: work from every side while workers, and now and then a template, are killed at random moments.

STOKER_SOAK_SECONDS: how long (5; `make soak` is meant for 60). STOKER_SOAK_SEED: of what is killed and when.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import AsyncEngine, Engine, FunctionCrashed, FunctionError
from engine.observe.stats import FunctionStats
from engine.runtime import Runtime

from .conftest import ECHO, MARK, Ledger, descriptors, lanes_mapped, wait_until

SECONDS = float(os.environ.get("STOKER_SOAK_SECONDS", "5"))
SEED = int(os.environ.get("STOKER_SOAK_SEED", "40"))
GROWTH = 16 << 20  # bytes; a minute loses more if a hundred bytes are lost with each call
TEMPLATE = 25  # of so many kills one hits a template

WORKS = """
def handler(event, context):
    sum(range(event[1] * 7919 % 5000))
    return event
"""


class Counted:
    """What one caller invoked, and what it got."""

    def __init__(self) -> None:
        self.invoked = self.right = self.crashed = 0
        self.wrong: list[Any] = []

    def returned(self, event: Any, result: Any) -> None:
        if result == event:
            self.right += 1
        else:
            self.wrong.append((event[:2], repr(result)[:200]))

    def failed(self, event: Any, error: BaseException | None) -> None:
        if type(error) is FunctionCrashed and (error.signal, error.exit_status) == ("SIGKILL", None):
            self.crashed += 1
        else:
            self.wrong.append((event[:2], repr(error)[:200]))


class Crowd:
    """Callers of every kind, each with its own count, until they are stopped."""

    def __init__(self) -> None:
        self.counts: list[Counted] = []
        self.stop = threading.Event()
        self.stopped: list[BaseException] = []
        self.threads: list[threading.Thread] = []
        self.start = 0  # where the events of the next callers begin

    def events(self, book: Counted) -> Iterator[Any]:
        """Events that no other caller has; now and then one that does not fit into a lane's ring."""
        caller, chance = self.start + len(self.counts), random.Random(f"{SEED}-{len(self.counts)}")
        n = 0
        while not self.stop.is_set():
            n += 1
            book.invoked += 1
            yield [caller, n, "x" * (150_000 if chance.random() < 0.01 else chance.randrange(200))]

    def add(self, call: Callable[[Counted, Iterator[Any]], None]) -> None:
        book = Counted()
        events = self.events(book)
        self.counts.append(book)

        def run() -> None:
            try:
                call(book, events)
            except BaseException as error:
                self.stopped.append(error)

        self.threads.append(threading.Thread(target=run))

    def finished(self) -> int:
        return sum(book.right + book.crashed for book in self.counts)

    def finish(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        assert not [thread for thread in self.threads if thread.is_alive()], "a call never ended"
        assert not self.stopped, self.stopped
        for book in self.counts:
            assert not book.wrong, book.wrong[:5]
            assert book.right + book.crashed == book.invoked
            assert book.right > 0


def invoking(fn: Any) -> Callable[[Counted, Iterator[Any]], None]:
    def call(book: Counted, events: Iterator[Any]) -> None:
        for event in events:
            try:
                book.returned(event, fn.invoke(event))
            except BaseException as error:
                book.failed(event, error)

    return call


def submitting(fn: Any) -> Callable[[Counted, Iterator[Any]], None]:
    def call(book: Counted, events: Iterator[Any]) -> None:
        more = True
        while more:
            flying = []
            for event in events:
                flying.append((event, fn.submit(event)))
                if len(flying) == 24:
                    break
            else:
                more = False
            for event, future in flying:
                error = future.exception(30)
                if error is None:
                    book.returned(event, future.result())
                else:
                    book.failed(event, error)

    return call


def mapping(fn: Any) -> Callable[[Counted, Iterator[Any]], None]:
    """A crash ends a map: what it had read and not yielded has lost its caller, and is not counted as invoked."""

    def call(book: Counted, events: Iterator[Any]) -> None:
        more = True
        while more:
            read: list[Any] = []

            def reading(read: list[Any] = read) -> Iterator[Any]:
                for event in events:
                    read.append(event)
                    yield event

            yielded = 0
            try:
                for yielded, result in enumerate(fn.map(reading(), ahead=32), 1):
                    book.returned(read[yielded - 1], result)
                more = False
                assert yielded == len(read)
            except FunctionError as error:
                book.failed(read[yielded], error)
                book.invoked -= len(read) - yielded - 1

    return call


def awaiting(fn: Any, loop: asyncio.AbstractEventLoop) -> Callable[[Counted, Iterator[Any]], None]:
    async def caller(book: Counted, events: Iterator[Any]) -> None:
        for event in events:
            try:
                book.returned(event, await fn.invoke(event))
            except Exception as error:
                book.failed(event, error)

    async def callers(book: Counted, events: Iterator[Any]) -> None:
        await asyncio.gather(*(caller(book, events) for _ in range(16)))

    def call(book: Counted, events: Iterator[Any]) -> None:
        asyncio.run_coroutine_threadsafe(callers(book, events), loop).result()

    return call


class Awaited:
    """An AsyncEngine in a loop of its own, in a thread."""

    def __init__(self, code: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.engine = self.run(self._engine())
        self.function = self.start("works:handler", code)

    async def _engine(self) -> AsyncEngine:
        return await AsyncEngine(logs=False).__aenter__()

    def start(self, handler: str, code: Path) -> Any:
        return self.run(self.engine.function(handler, code=code, concurrency=2, warm=2, timeout=20))

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        try:
            self.run(self.engine.close())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)
            self.loop.close()


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def kill(pid: int, mark: str) -> bool:
    """SIGKILL, if this process is still one of the test's."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            if f"{MARK}={mark}".encode() not in file.read().split(b"\0"):
                return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return True
    except (OSError, ProcessLookupError):
        return False
    finally:
        os.close(pidfd)


def kill_until(
    deadline: float, functions: list[Any], zygotes: list[int], crowd: Crowd, mark: str, chance: random.Random
) -> Counter[str]:
    """Kill a process each time that the crowd has had a few more results."""
    kills: Counter[str] = Counter()
    while time.monotonic() < deadline:
        target = crowd.finished() + chance.randrange(1, 600)
        wait_until(lambda target=target: crowd.finished() >= target or crowd.stopped, 20)
        pids = chance.choice(functions).workers()
        if not pids:
            continue
        pid, kind = chance.choice(pids), "worker"
        if chance.randrange(TEMPLATE) == 0:
            try:
                pid, kind = parent_of(pid), "template"
            except OSError:
                continue
            if pid in zygotes:  # the template is dead already, and this an orphan of its
                continue
        kills[kind] += kill(pid, mark)
    return kills


def at_rest(runtimes: list[Runtime], book: Ledger) -> None:
    """As `settled`, of several engines together."""

    def stats() -> list[FunctionStats]:
        return [
            FunctionStats.read(each.pointer, it.index)
            for each in runtimes
            for it in book.entries.get(each, [])
        ]

    wait_until(
        lambda: all(
            s.idle == s.concurrency and not s.queue_depth + s.in_flight + s.starting for s in stats()
        ),
        20,
    )
    ended = sum(s.invocations + s.cancelled for s in stats())
    assert book.twice == 0
    assert book.results <= ended <= book.results + book.left, (ended, book.results, book.left)


def resident(pid: int | str) -> int:
    with open(f"/proc/{pid}/statm") as file:
        fields = file.read().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.promise(1, 63)
@pytest.mark.soak
def test_row_40_soak_with_random_kills(ledger: Ledger, nothing_is_left: str, tmp_path: Path) -> None:
    (tmp_path / "works.py").write_text(WORKS)
    chance = random.Random(SEED)
    engine, other = Engine(logs=False), Awaited(tmp_path)
    try:
        fn = engine.function("works:handler", code=tmp_path, concurrency=2, warm=2, timeout=20)
        runtimes = [engine._runtime, other.engine._runtime]

        def zygotes() -> list[int]:
            return [runtime.supervisor._environments._zygotes[""].pid for runtime in runtimes]

        def soak(seconds: float) -> Counter[str]:
            """Work while workers are killed; then everything is at rest, and each call ended."""
            crowd = Crowd()
            for kind in (invoking, invoking, submitting, mapping):
                crowd.add(kind(fn))
            crowd.add(awaiting(other.function, other.loop))
            for thread in crowd.threads:
                thread.start()
            try:
                seen = kill_until(
                    time.monotonic() + seconds,
                    [fn, other.function],
                    zygotes(),
                    crowd,
                    nothing_is_left,
                    chance,
                )
            finally:
                crowd.finish()
            wait_until(lambda: all(len(each.workers()) == 2 for each in (fn, other.function)))
            at_rest(runtimes, ledger)
            # Each engine makes its next lane ahead of time, a moment after it has used one.
            wait_until(lambda: descriptors()["/memfd:stoker-up (deleted)"] == len(runtimes))
            seen["finished"], seen["crashed"] = crowd.finished(), sum(book.crashed for book in crowd.counts)
            return seen

        def open_now() -> list[Any]:
            return [
                descriptors(), lanes_mapped(), threading.active_count(), zygotes(),
                *(len(os.listdir(f"/proc/{pid}/fd")) for pid in zygotes()),
            ]  # fmt: skip

        soak(SECONDS / 4)
        before, memory = open_now(), [resident(pid) for pid in ("self", *zygotes())]
        seen = soak(SECONDS * 3 / 4)
        assert seen["worker"] >= SECONDS, seen
        assert seen["crashed"] > 0, seen
        try:
            wait_until(lambda: open_now() == before)
        except AssertionError:
            assert open_now() == before  # which says what differs
            raise
        grown = [resident(pid) - was for pid, was in zip(("self", *zygotes()), memory, strict=True)]
        assert max(grown) < GROWTH, grown
        assert fn.invoke([0, 1, "last"]) == [0, 1, "last"]
        echo, awaited = engine.function("app:handler", code=ECHO), other.start("app:handler", ECHO)
        assert echo.invoke({"still": "there"}) == {"still": "there"}
        assert other.run(awaited.invoke({"still": "there"})) == {"still": "there"}
        at_rest(runtimes, ledger)
        if os.environ.get("STOKER_SOAK_SECONDS"):
            print(dict(seen), "grown by", grown)
    finally:
        other.close()
        engine.close()
