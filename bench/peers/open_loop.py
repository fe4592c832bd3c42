"""What a scenario's requests can go to: the engine itself, ProcessPoolExecutor, and what answers over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from bench.peers.base import Unavailable
from bench.peers.http import BareUvicorn, FunctionsFramework, HttpPeer, Ministack, Rie, Served
from bench.peers.raw_pipe import RawPipe
from engine.config import parse_reference
from engine.load.generate.generator import Sender
from engine.load.generate.record import Response
from engine.load.run import Opening, opened
from engine.load.scenario.scenario import Scenario
from engine.load.scenario.target import Embedded, Endpoint, Named, Target, Url

ECHO = "handlers/echo"
POOL = "ProcessPoolExecutor"
Done = Callable[[Response], None]


@dataclass(frozen=True)
class Subject:
    """A name, and how a scenario is turned to it."""

    name: str
    wanted: Target | None = None  # instead of the scenario's target
    opening: Opening = opened

    def adapt(self, scenario: Scenario) -> Scenario:
        return scenario if self.wanted is None else replace(scenario, target=self.wanted)


EMBEDDED = Subject("Stoker, embedded")


class ProcessPool:
    """The functions of a scenario in the workers of a ProcessPoolExecutor, all of them in each. It has no line of
    bounded length, no timeout and no cold start that it would tell of."""

    def __init__(self, wanted: Embedded) -> None:
        self._loop = asyncio.get_running_loop()
        self._count = len(wanted.functions)
        each = [(str(it.code), it.reference, it.environment or {}) for it in wanted.functions]
        workers = sum(it.concurrency for it in wanted.functions)
        self._pool = ProcessPoolExecutor(workers, initializer=load, initargs=(each,))

    async def start(self) -> None:
        """Raises BrokenProcessPool for a function that cannot be imported."""
        await asyncio.wrap_future(self._pool.submit(len, ()))

    def send(self, payload: bytes, function: int, done: Done) -> None:
        def over(future: Future[bytes]) -> None:  # in the executor's thread
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                self._loop.call_soon_threadsafe(done, _answer(future))

        try:
            future = self._pool.submit(call, function % self._count, payload)
        except RuntimeError as error:  # broken, or closed
            done(Response("failure", why=str(error)))
        else:
            future.add_done_callback(over)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _answer(future: Future[bytes]) -> Response:
    try:
        return Response("ok", future.result())
    except CancelledError:
        return Response("failure", why="cancelled")
    except BrokenProcessPool as error:
        return Response("failure", why=str(error))
    except Exception as error:
        return Response("error", why=f"{type(error).__name__}: {error}")


_handlers: list[Callable[[Any, Any], Any]] = []  # in a worker


def load(functions: Sequence[tuple[str, str, Mapping[str, str]]]) -> None:
    """A worker's start: each function by the directory of its code, its reference and its environment."""
    for code, reference, environment in functions:
        found = parse_reference(reference)
        os.environ.update(environment)
        sys.path.insert(0, code)
        sys.modules.pop(found.module, None)  # another's may have the same name
        _handlers.append(attrgetter(found.attribute)(importlib.import_module(found.module)))


def call(function: int, payload: bytes) -> bytes:
    """In a worker: what an invocation is, from JSON to JSON."""
    answer = _handlers[function](json.loads(payload), None)
    return json.dumps(answer, separators=(",", ":")).encode()


@asynccontextmanager
async def process_pool(wanted: Target) -> AsyncIterator[Sender]:
    """Raises BrokenProcessPool."""
    assert isinstance(wanted, Embedded)
    pool = ProcessPool(wanted)
    try:
        await pool.start()
        yield pool
    finally:
        pool.close()


class BarePipe:
    """A process that writes back what it reads, and the pipes to it: the least there is between an event and an answer
    from elsewhere. An answer is whatever came for the oldest request, up to the end of a line."""

    def __init__(self, pipe: RawPipe) -> None:
        self._pipe = pipe
        self._open: deque[Done] = deque()
        self._rest = b""
        os.set_blocking(pipe.source, False)
        asyncio.get_running_loop().add_reader(pipe.source, self._read)

    def send(self, payload: bytes, function: int, done: Done) -> None:
        self._open.append(done)
        os.write(self._pipe.sink, payload + b"\n")

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe.source)

    def _read(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._pipe.source, 65536)).split(b"\n")
        for line in lines:
            self._open.popleft()(Response("ok", line))


@asynccontextmanager
async def bare_pipe(wanted: Target) -> AsyncIterator[Sender]:
    """Raises Unavailable."""
    with RawPipe() as peer:
        assert isinstance(peer, RawPipe)
        pipe = BarePipe(peer)
        try:
            yield pipe
        finally:
            pipe.close()


FLOOR = Subject("a bare pipe", opening=bare_pipe)


class OneAtATime:
    """For a peer that takes no second request before it has answered the first: the others wait here, and what they
    wait is latency."""

    def __init__(self, target: Sender) -> None:
        self._target = target
        self._line: deque[tuple[bytes, int, Done]] = deque()
        self._busy = False

    def send(self, payload: bytes, function: int, done: Done) -> None:
        self._line.append((payload, function, done))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        payload, function, done = self._line.popleft()
        self._busy = True

        def over(answer: Response) -> None:
            self._busy = False
            if self._line:  # before the answer is looked at: the peer need not wait for that
                self._next()
            done(answer)

        self._target.send(payload, function, over)


@asynccontextmanager
async def one_at_a_time(wanted: Target) -> AsyncIterator[Sender]:
    async with opened(wanted) as target:
        yield OneAtATime(target)


def http(peer: HttpPeer) -> Subject:
    """One that has been started."""
    name = "Stoker, endpoint" if isinstance(peer, Served) else peer.name
    base = f"http://127.0.0.1:{peer.port}"
    parts = peer.path.split("/")
    if parts[-1] != "invocations":
        return Subject(name, Url(url=base + peer.path))
    wanted = Endpoint(endpoint=base, functions=(Named(name=parts[-2]),))
    return Subject(name, wanted, one_at_a_time if isinstance(peer, Rie) else opened)


ENDPOINT = "endpoint"
PEERS: dict[str, type[HttpPeer]] = {
    ENDPOINT: Served,
    "rie": Rie,
    "functions-framework": FunctionsFramework,
    "ministack": Ministack,
    "uvicorn": BareUvicorn,
}
AGAINST = ("process-pool", *PEERS)


@contextmanager
def serving(name: str) -> Iterator[Subject]:
    """One of AGAINST, started and stopped. Raises Unavailable."""
    if name == "process-pool":
        yield Subject(POOL, None, process_pool)
        return
    with PEERS[name]() as peer:
        yield http(peer)


def check_serves(name: str, scenario: Scenario) -> None:
    """Raises Unavailable for a scenario that such a peer cannot be asked."""
    target = scenario.target
    if not isinstance(target, Embedded):
        raise Unavailable(f"{scenario.name} has a target elsewhere: peers take those of functions")
    if name == "process-pool":
        return
    if len(target.functions) > 1 or not target.functions[0].code.resolve().match(ECHO):
        raise Unavailable(
            f"{scenario.name} asks {target.words}; {name} serves an echo alone: take a scenario of {ECHO}"
        )
