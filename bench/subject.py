"""The engine as one more peer: the same protocol, over its public API alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from msgspec.structs import replace

from bench.peers.base import PIPELINE, AsyncPeer, PipelinedPeer
from engine.config import FunctionConfig
from engine.runtime import Runtime
from engine.wire import Deployed, Sandbox

FUNCTIONS = Path(__file__).resolve().parent / "functions"
ALL_SANDBOXED = bool(os.environ.get("STOKER_BENCH_SANDBOX"))  # every figure with sandboxes on
T = TypeVar("T")


@contextlib.contextmanager
def sandboxed(on: bool = True) -> Iterator[None]:
    """Functions that are started meanwhile run in sandboxes, as deployed ones do."""
    plain = Runtime.start

    def start(runtime: Runtime, config: FunctionConfig, *args: Any, **more: Any) -> Any:
        sandbox = Sandbox(config.code, "", 512, [], [], [])
        return plain(runtime, replace(config, code="/var/task"), Deployed(sandbox=sandbox), **more)

    with mock.patch.object(Runtime, "start", start) if on else contextlib.nullcontext():
        yield


def options(**settings: Any) -> dict[str, Any]:
    """The settings of every function of the benchmarks: one worker, kept warm."""
    environment = dict(settings.pop("environment", {}))
    slow = os.environ.get("STOKER_BENCH_SLOW_US")
    if slow:
        environment["STOKER_BENCH_SLOW_US"] = slow
    # A BLAS thread would make the init unfit for a snapshot, and the fork floor runs without one too.
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    defaults = {"code": str(FUNCTIONS), "memory": 512, "timeout": 30.0, "concurrency": 1, "warm": 1}
    return {**defaults, "environment": environment, **settings}


class Stoker(PipelinedPeer):
    """Called from a thread."""

    name = "Stoker"

    def __init__(
        self, reference: str = "echo:handler", sandbox: bool = ALL_SANDBOXED, **settings: Any
    ) -> None:
        self.reference, self.sandbox, self.settings = reference, sandbox, settings

    def start(self) -> None:
        from engine import Engine

        self.engine = Engine()
        self.engine.__enter__()
        try:
            with sandboxed(self.sandbox):
                self.function = self.engine.function(self.reference, **options(**self.settings))
        except BaseException:
            self.close()
            raise

    def call(self, event: Any) -> Any:
        return self.function.invoke(event)

    def pipelined(self, events: Sequence[Any], window: int = PIPELINE) -> list[Any]:
        """Futures, a window of them at a time (the awaited way is in AwaitedStoker)."""
        submit = self.function.submit
        results: list[Any] = []
        for begin in range(0, len(events), window):
            flying = [submit(event) for event in events[begin : begin + window]]
            results.extend(future.result() for future in flying)
        return results

    def mapped(self, events: Sequence[Any], chunksize: int = 1) -> list[Any]:
        return list(self.function.map(events))

    def close(self) -> None:
        self.engine.__exit__(None, None, None)


class AwaitedStoker(AsyncPeer):
    """Awaited in a loop that the caller runs (see Loop)."""

    name = "Stoker, awaited"

    def __init__(self, reference: str = "echo:handler", **settings: Any) -> None:
        self.reference, self.settings = reference, settings

    async def start_async(self) -> None:
        from engine import AsyncEngine

        self.engine = AsyncEngine()
        await self.engine.__aenter__()
        try:
            with sandboxed(ALL_SANDBOXED):
                self.function = await self.engine.function(self.reference, **options(**self.settings))
        except BaseException:
            await self.close_async()
            raise

    async def call_async(self, event: Any) -> Any:
        return await self.function.invoke(event)

    async def pipelined_async(self, events: Sequence[Any], window: int = PIPELINE) -> list[Any]:
        """`window` tasks that take the next event as soon as theirs is done."""
        results: list[Any] = [None] * len(events)
        numbered = iter(enumerate(events))
        invoke = self.function.invoke

        async def caller() -> None:
            for number, event in numbered:
                results[number] = await invoke(event)

        await asyncio.gather(*(caller() for _ in range(window)))
        return results

    async def close_async(self) -> None:
        await self.engine.__aexit__(None, None, None)


class Loop:
    """One event loop for all rounds of a comparison: uvloop where there is one."""

    def __init__(self) -> None:
        try:
            import uvloop
        except ImportError:
            self.name = "asyncio"
            self._runner = asyncio.Runner()
        else:
            self.name = "uvloop"
            self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def __enter__(self) -> Loop:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()
