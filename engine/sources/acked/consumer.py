"""The consumer of a broker that keeps itself what is done: a stream's consumer, whose checkpoints are acknowledgements.

How far it is is written down here, too, now and then: it is where a consumer group goes on that was deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from ...aws.clients import CallFailed
from ...durable.folder import StoreError
from ...durable.state import Record
from ..function import Function
from ..settings import Settings
from ..status import Status
from ..streams.consumer import BEGUN, Report, StreamConsumer, Write
from .broker import Broker

_SAVED = 1.0  # seconds between two times that its place is written down
_MEASURED = 10.0  # seconds between two looks at the lag


class AckedConsumer:
    """Belongs to the event loop."""

    def __init__(
        self, settings: Settings, broker: Broker, function: Function, status: Status,
        saved: Callable[[], Mapping[str, Record]], write: Write, report: Report,
    ) -> None:  # fmt: skip
        """As of StreamConsumer."""
        self._settings, self._broker, self._status, self._save = settings, broker, status, write
        self._later: dict[str, Record | None] = {}  # what is to be written down
        self._running = False
        self._tasks: list[asyncio.Task[None]] = []
        before = saved()
        if BEGUN in before:
            known = {
                id: record.get("sequence") or "" for id, record in before.items() if id not in ("", BEGUN)
            }
            broker.begin(float(before[BEGUN]["at"]), known)
        # Where it begins is the broker's business, and not found out by the times of records.
        streamed = replace(settings, position="TRIM_HORIZON")
        self._stream = StreamConsumer(streamed, broker, function, status, saved, self._write, report)

    async def start(self) -> None:
        self._running = True
        begin = asyncio.get_running_loop().create_task
        self._tasks = [begin(self._write_down()), begin(self._keep())]
        await self._stream.start()
        self._tasks.append(begin(self._measure()))

    async def stop(self) -> None:
        self.close()
        await self._stream.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(
            self._tasks, timeout=_SAVED
        )  # what a client library makes of a cancellation is its own
        with contextlib.suppress(StoreError):
            await self._written()
        await self._broker.release()

    def close(self) -> None:
        self._running = False
        if self._tasks:
            self._tasks[0].cancel()  # nothing is written down behind the end
        self._stream.close()

    def nudge(self) -> None:
        self._stream.nudge()

    async def _write(self, records: dict[str, Record | None]) -> None:
        """A checkpoint is done once it is acknowledged. Raises StoreError when that is to be tried again."""
        for id, record in records.items():
            if record is None or "sequence" not in record:
                self._later.pop(id, None)
                await self._save({id: record})
                continue
            try:
                await self._broker.settle(record["sequence"])
            except CallFailed as error:
                if not self._running:  # it comes again
                    continue
                self._status.complain(self._settings, error)
                raise StoreError(str(error)) from error
            self._later[id] = record

    async def _written(self) -> None:
        later, self._later = self._later, {}
        if later:
            await self._save(later)

    async def _write_down(self) -> None:
        while self._running:
            await asyncio.sleep(_SAVED)
            with contextlib.suppress(StoreError):
                await self._written()

    async def _keep(self) -> None:
        while self._running:
            await asyncio.sleep(self._broker.kept)
            with contextlib.suppress(CallFailed):  # who reads hears of it
                await self._broker.keep()

    async def _measure(self) -> None:
        while self._running:
            with contextlib.suppress(CallFailed):
                self._status.gauge("OffsetLag", await self._broker.lag())
            await asyncio.sleep(_MEASURED)
