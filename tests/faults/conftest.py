"""What every fault test shares, and what must hold after each of them: see `nothing_is_left`."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import select
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import engine.aio
import engine.function
from engine import AsyncEngine, Engine, EngineClosed, InvalidEvent, PayloadTooLarge, TooManyRequests
from engine.calls.dispatch import FunctionEntry
from engine.observe.stats import FunctionStats
from engine.runtime import Runtime

from .flooded import SHARED, Flooded, Start, nothing_held

ROOT = Path(__file__).resolve().parents[2]
MISBEHAVE = ROOT / "handlers" / "misbehave"
ECHO = ROOT / "handlers" / "echo"
MARK = "STOKER_FAULT_TEST"  # in the environment of everything that a test starts
REFUSED = (TooManyRequests, PayloadTooLarge, InvalidEvent)


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What the condition returns once it is true. Fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        select.select([], [], [], 0.002)
    return value


def alive(pid: int) -> bool:
    """Does this process run? A zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def marked(mark: str) -> dict[int, str]:
    """Every live process that was started with this mark, wherever it is in the tree."""
    found = {}
    mark_bytes = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark_bytes not in file.read().split(b"\0"):
                        continue
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    found[int(name)] = file.read().replace(b"\0", b" ").decode("utf-8", "replace")[:100]
            except OSError:
                continue
    return found


def children() -> set[int]:
    """This process's children, zombies too."""
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as file:
                found |= {int(pid) for pid in file.read().split()}
        except OSError:
            continue
    return found


def descriptors() -> Counter[str]:
    """What this process has open, by kind."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        try:
            found[re.sub(r":\[\d+\]", "", os.readlink(f"/proc/self/fd/{name}"))] += 1
        except OSError:
            continue
    return found


def lanes_mapped() -> int:
    """Mappings of lanes' memory in this process."""
    with open("/proc/self/maps") as file:
        return sum("memfd:stoker-" in line for line in file)


class Ledger:
    """Each invocation of a test, and how often it ended."""

    def __init__(self) -> None:
        self.results = 0  # to invocations that were accepted
        self.twice = 0
        self.entries: dict[Runtime, list[FunctionEntry]] = {}
        self.left = 0  # callers that stopped listening: cancelled tasks, abandoned maps

    def counted(self, runtime: Runtime) -> int:
        """What the engine says it accepted and ended."""
        read = [FunctionStats.read(runtime.pointer, it.index) for it in self.entries.get(runtime, [])]
        return sum(s.invocations + s.cancelled for s in read)

    def one(self, error: BaseException | None = None) -> None:
        if not isinstance(error, REFUSED) or "Could not parse" in str(error):
            self.results += 1


@pytest.fixture(autouse=True)
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Counts results where callers get them, beneath every test."""
    book = Ledger()
    start = Runtime.start

    def starting(self: Runtime, config: Any) -> Any:
        target, up = start(self, config)
        book.entries.setdefault(self, []).append(target)
        return target, up

    def sync(method: Callable[..., Any]) -> Callable[..., Any]:
        def counted_call(self: Any, *args: Any) -> Any:
            try:
                result = method(self, *args)
            except BaseException as error:
                book.one(error)
                raise
            book.one()
            return result

        return counted_call

    def submitting(self: Any, event: Any = None) -> Future[Any]:
        future = submit(self, event)
        finished: list[object] = []

        def done(_future: Future[Any]) -> None:
            book.twice += bool(finished)
            finished.append(1)
            book.one()

        future.add_done_callback(done)
        return future

    def mapping(self: Any, events: Iterable[Any], **options: Any) -> Iterator[Any]:
        read = 0

        def reading() -> Iterator[Any]:
            nonlocal read
            for event in events:
                read += 1
                yield event

        yielded = 0
        try:
            for result in each(self, reading(), **options):
                yielded += 1
                book.one()
                yield result
        except Exception as error:
            yielded += 1
            book.one(error)
            raise
        finally:
            book.left += read - yielded

    async def awaiting(self: Any, event: Any = None) -> Any:
        try:
            result = await invoke(self, event)
        except asyncio.CancelledError:
            book.left += 1
            raise
        except BaseException as error:
            book.one(error)
            raise
        book.one()
        return result

    async def amapping(self: Any, events: Iterable[Any], **options: Any) -> AsyncIterator[Any]:
        async for result in aeach(self, events, **options):
            book.one()
            yield result

    submit, each = engine.function.Function.submit, engine.function.Function.map
    invoke, aeach = engine.aio.AsyncFunction.invoke, engine.aio.AsyncFunction.map
    monkeypatch.setattr(Runtime, "start", starting)
    monkeypatch.setattr(engine.function.Function, "invoke", sync(engine.function.Function.invoke))
    monkeypatch.setattr(engine.function.Function, "invoke_raw", sync(engine.function.Function.invoke_raw))
    monkeypatch.setattr(engine.function.Function, "submit", submitting)
    monkeypatch.setattr(engine.function.Function, "map", mapping)
    monkeypatch.setattr(engine.aio.AsyncFunction, "invoke", awaiting)
    monkeypatch.setattr(engine.aio.AsyncFunction, "map", amapping)
    return book


def settled(runtime: Runtime, book: Ledger) -> None:
    """Nothing in flight, every worker free, every accepted invocation ended exactly once."""

    def quiet() -> bool:
        read = [FunctionStats.read(runtime.pointer, it.index) for it in book.entries.get(runtime, [])]
        return all(s.idle == s.concurrency and not s.queue_depth + s.in_flight + s.starting for s in read)

    wait_until(quiet)
    assert book.twice == 0
    counted = book.counted(runtime)
    assert book.results <= counted <= book.results + book.left, (
        f"{counted} invocations ended, {book.results} had results, {book.left} callers left"
    )


def goes_on(runtime: Runtime, invoke: Callable[[], Any]) -> None:
    assert not runtime._closed, "close the engine in the fixture, or make your own"
    assert invoke() == {"still": "there"}


@pytest.fixture
def logs() -> list[tuple[str, str, str]]:
    """What the engine's log sink was given: (function, request id, text)."""
    return []


def text_of(logs: list[tuple[str, str, str]]) -> str:
    return "".join(text for _, _, text in logs)


@pytest.fixture
def stoker(ledger: Ledger, nothing_is_left: str, logs: list[tuple[str, str, str]]) -> Iterator[Engine]:
    """An engine; after the test it must be at rest, and the next echo must work."""
    with Engine(logs=lambda *entry: logs.append(entry)) as it:
        yield it
        settled(it._runtime, ledger)
        echo = it.function("app:handler", code=ECHO, name="echo-after")
        goes_on(it._runtime, lambda: echo.invoke({"still": "there"}))
        settled(it._runtime, ledger)


@pytest.fixture
def awaited(ledger: Ledger, nothing_is_left: str) -> Callable[[Callable[[AsyncEngine], Any]], Any]:
    """Runs a coroutine function with an AsyncEngine, with the same checks."""

    def run(main: Callable[[AsyncEngine], Any]) -> Any:
        async def whole() -> Any:
            async with AsyncEngine(logs=False) as it:
                result = await main(it)
                while it._runtime.dispatch and any(s.queue_depth + s.in_flight for s in it.stats().values()):
                    await asyncio.sleep(0.002)
                settled(it._runtime, ledger)
                echo = await it.function("app:handler", code=ECHO, name="echo-after")
                assert await echo.invoke({"still": "there"}) == {"still": "there"}
                settled(it._runtime, ledger)
            return result

        return asyncio.run(whole())

    return run


@pytest.fixture(scope="session")
def warmed_up() -> None:
    """What the interpreter and the libraries open once and keep is open before anything is counted."""
    with Engine(logs=False) as it:
        it.function("app:handler", code=ECHO).submit(1).result()

    async def main() -> None:
        async with AsyncEngine(logs=False) as it:
            await (await it.function("app:handler", code=ECHO)).invoke(1)

    asyncio.run(main())


@pytest.fixture(autouse=True)
def nothing_is_left(warmed_up: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """After every test: no process of its, no zombie, descriptors and mappings as before."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    gc.collect()
    fds, mapped, had = descriptors(), lanes_mapped(), children()
    yield mark
    gc.collect()
    wait_until(lambda: not marked(mark), 5.0) if marked(mark) else None
    assert children() == had, "a child, or a zombie, is left"
    assert descriptors() == fds
    assert lanes_mapped() == mapped


@pytest.fixture
def script(nothing_is_left: str, tmp_path: Path) -> Callable[[str], list[str]]:
    """The command line of a Python program that has this project on its path."""

    def made(text: str) -> list[str]:
        file = tmp_path / "program.py"
        file.write_text(f"import sys\nsys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n{text}")
        return [sys.executable, str(file)]

    return made


class Held:
    """Handlers (outlasts:handler) that run until they are let go; who began, in that order."""

    def __init__(self, directory: Path) -> None:
        self.gate, self.began = directory / "gate", directory / "began"

    def event(self, result: Any) -> dict[str, Any]:
        return {"until": str(self.gate), "began": str(self.began), "result": result}

    def running(self, n: int = 1) -> None:
        wait_until(lambda: self.began.exists() and len(self.began.read_text().split()) >= n)

    def let_go(self) -> None:
        self.gate.touch()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    made = Held(tmp_path)
    yield made
    made.let_go()


@pytest.fixture(scope="module")
def flood_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, bool], Flooded]]:
    """Servers that tests share."""
    made = {}
    for options, auth in SHARED:
        made[options, auth] = Flooded(tmp_path_factory.mktemp("shared"), *options.split(), auth=auth)
    yield made
    for server in made.values():
        assert server.served.stop() == 0


@pytest.fixture
def start(
    flood_servers: dict[tuple[str, bool], Flooded], nothing_is_left: str, tmp_path: Path
) -> Iterator[Start]:
    """A server with these options, which must be settled after the test."""
    used: list[Flooded] = []
    own: list[Flooded] = []
    passing_on: set[int] = set()  # by their ports

    def begin(*options: str, auth: bool = False) -> Flooded:
        server = flood_servers.get((" ".join(options), auth))
        if server is None:
            server = Flooded(tmp_path, *options, auth=auth)
            own.append(server)
            if "--aws-endpoint" in options:
                passing_on.add(server.port)
        used.append(server)
        return server

    try:
        yield begin
        for server in used:
            nothing_held(server)
            if server.port not in passing_on:  # which logs how the other end failed
                assert "Traceback" not in server.served.log.read_text()
    finally:
        statuses = [server.served.stop() for server in own]
    assert not any(statuses)
    wait_until(lambda: not marked(nothing_is_left), 10.0)


__all__ = ["EngineClosed"]
