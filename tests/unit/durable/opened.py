"""Queues in a running loop, on a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from support import ManualClock

from engine.durable.queue import Queues
from engine.durable.queue_rows import QueueRows
from engine.durable.store import Store


class Opened:
    """Queues in the running loop, on a clock that a test moves."""

    def __init__(self, folder: Path, clock: ManualClock | None = None, **limits: int) -> None:
        self.clock = clock or ManualClock(5_000_000_000)
        self.store = Store(folder, [QueueRows()])
        self.queues = Queues(self.store, clock=self.clock.now, **limits)
        self.woken: list[str] = []
        self.queues.listen("a", self.woken.append)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.queues.tick()

    async def put(self, *values: bytes, queue: str = "a:1", **more: Any) -> list[int]:
        return await asyncio.gather(*(self.queues.put(queue, value, **more) for value in values))

    def take(self, n: int = 100, queue: str = "a:1", **more: Any) -> list[bytes]:
        return [row.value for row in self.queues.lease(queue, n, **more)]

    async def written(self) -> None:
        """What was changed is on the disk."""
        await self.queues.settle([])

    def close(self) -> None:
        self.queues.close()
        self.store.close()


def run(folder: Path, *bodies: Callable[[Opened], Awaitable[None]], **limits: int) -> None:
    """Each body in a life of its own of the same store."""

    async def inside(body: Callable[[Opened], Awaitable[None]]) -> None:
        opened = Opened(folder, **limits)
        try:
            await body(opened)
        finally:
            opened.close()

    for body in bodies:
        asyncio.run(inside(body))
