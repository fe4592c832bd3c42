"""Keeps metrics: takes what came now and then to the disk, and reads from there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ...durable.folder import StoreError
from ...observe.metrics import Key, Metrics, Series
from ...observe.points import Point
from .disk import PointStore
from .index import Listed, Wanted

FLUSH = 5.0  # seconds; a process that is killed loses what came since
SHARE = 50  # writing takes at most one part in so many of the time
TIDY = 600.0
T = TypeVar("T")
DATABASE = "metrics.db"


class Keeper:
    """Belongs to the event loop; call `start` in it, and `aclose`."""

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        """Raises StoreError."""
        self.metrics = metrics
        self.on_points: Callable[[Mapping[Key, Point]], object] = lambda points: None  # that are on the disk
        self._store = PointStore(folder / DATABASE, metrics.clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stoker-metrics")
        self._given: list[tuple[Mapping[Key, Point], asyncio.Future[None]]] = []
        self._writing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.ensure_future(each) for each in (self._flush_often(), self._tidy_often())]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(StoreError):
            await self.flush()
        await self._run(self._store.close)
        self._thread.shutdown()

    async def put(self, points: Mapping[Key, Point]) -> None:
        """Durable when this is done. Raises StoreError. Those who wait share one commit."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._given.append((points, future))
        with contextlib.suppress(StoreError):  # the future has it
            await self.flush()
        await future

    async def flush(self) -> None:
        """All that came until now is on the disk. Raises StoreError. Goes on where its caller is cancelled: others
        wait for the same commit."""
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._writing:
            given, self._given = self._given, []
            self.metrics.gather()
            own = self.metrics.take()
            points = {key: point.copy() for key, point in own.items()} if given else own
            for each, _ in given:
                for key, point in each.items():
                    if key in points:
                        points[key].merge(point)
                    else:
                        points[key] = point.copy()
            if not points:
                _settle(given, None)
                return
            try:
                await self._run(self._store.put, points)
            except StoreError as error:
                for (series, span, stamp), point in own.items():
                    self.metrics.merge(series, point, stamp, span)
                _settle(given, error)
                raise
            _settle(given, None)
            self.on_points(points)

    async def read(
        self, wanted: Series, start: float, end: float, period: int, first: int = 0
    ) -> dict[int, Point]:
        """By the beginning of each period. Raises StoreError. What came in the last seconds: after `flush`."""
        return await self._run(self._store.read, wanted, start, end, period, first)

    async def units(self, wanted: Series) -> list[str]:
        """Those that there are of a series whose unit may be any. Raises StoreError."""
        return await self._run(self._store.units, wanted)

    async def page(self, wanted: Wanted, most: int) -> list[Listed]:
        """So many of the series that there are, in order. Raises StoreError."""
        return await self._run(self._store.page, wanted, most)

    async def _flush_often(self) -> None:
        wait = FLUSH
        while True:
            await asyncio.sleep(wait)
            begun = time.monotonic()
            with contextlib.suppress(
                StoreError
            ):  # the disk is full, say: it is kept in memory until it is back
                await self.flush()
            wait = max(FLUSH, (time.monotonic() - begun) * SHARE)

    async def _tidy_often(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self._run(self._store.tidy)
            await asyncio.sleep(TIDY)

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _settle(given: Sequence[tuple[object, asyncio.Future[None]]], error: StoreError | None) -> None:
    for _, future in given:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
