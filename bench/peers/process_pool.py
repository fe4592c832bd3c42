"""concurrent.futures.ProcessPoolExecutor with one warmed worker, as it comes or bound to one core."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from bench.peers.base import PIPELINE, PipelinedPeer, echo, pinned
from engine.load import machine


class ProcessPool(PipelinedPeer):
    """`one_core` keeps caller, the executor's threads and its worker on one core: the fastest placement where a
    wake across cores is expensive (virtual machines), so it is measured, too.

    The start method is Python's default, as users get it: start this before there is a thread or an engine to be
    forked along, or name another method."""

    def __init__(self, *, one_core: bool = False, start_method: str | None = None) -> None:
        self.one_core, self.start_method = one_core, start_method
        self.name = "ProcessPoolExecutor, one core" if one_core else "ProcessPoolExecutor"

    def start(self) -> None:
        with self.turn():  # threads and children inherit the affinity
            self.pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(self.start_method))
            self.pool.submit(echo, None).result()

    def turn(self) -> AbstractContextManager[None]:
        return pinned(machine.cores()[:1] if self.one_core else ())

    def call(self, event: Any) -> Any:
        return self.pool.submit(echo, event).result()

    async def call_async(self, event: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.pool, echo, event)

    def pipelined(self, events: Sequence[Any], window: int = PIPELINE) -> list[Any]:
        submit = self.pool.submit
        flying: deque[Future[Any]] = deque()
        results: list[Any] = []
        for event in events:
            if len(flying) == window:
                results.append(flying.popleft().result())
            flying.append(submit(echo, event))
        results.extend(future.result() for future in flying)
        return results

    def mapped(self, events: Sequence[Any], chunksize: int = 1) -> list[Any]:
        return list(self.pool.map(echo, events, chunksize=chunksize))

    def close(self) -> None:
        self.pool.shutdown()
