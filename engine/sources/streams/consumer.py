"""The consumer of a stream: a reader for each shard that may be read, children after their parents."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ...aws.clients import CallFailed
from ...durable.folder import StoreError
from ...durable.state import Record
from .. import backoff
from ..function import Function
from ..settings import Settings
from ..status import Status
from .api import GONE, Stream
from .flow import GivenUp
from .lineage import readable
from .shard import ShardReader

BEGUN = "begun"  # of the records of a mapping's progress, the one that there is once it has begun
_LOOK = 60.0  # seconds between two looks for new shards; those that follow another are looked for at its end
_PATIENCE = 5.0  # seconds that a mapping's start waits for its stream
_LONGEST = 30.0  # seconds after which a stream that failed is asked again

Write = Callable[[dict[str, Record | None]], Awaitable[None]]  # by id
Report = Callable[[str, GivenUp], Awaitable[None]]  # of a shard


class StreamConsumer:
    """Belongs to the event loop."""

    def __init__(
        self, settings: Settings, stream: Stream, function: Function, status: Status,
        saved: Callable[[], Mapping[str, Record]], write: Write, report: Report,
    ) -> None:  # fmt: skip
        """saved: the mapping's progress by shard, which `write` changes."""
        self._settings = settings
        self._stream = stream
        self._function = function
        self._status = status
        self._saved, self._write, self._report = saved, write, report
        self._readers: dict[str, ShardReader] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._done: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._running = True
        self._event = asyncio.Event()
        self._begun = asyncio.Event()
        self._failures = 0

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        begun = asyncio.ensure_future(self._begun.wait())
        await asyncio.wait((begun,), timeout=_PATIENCE)
        begun.cancel()

    async def stop(self) -> None:
        self.close()
        if self._task is not None:
            await asyncio.wait((self._task,))
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def close(self) -> None:
        self._running = False
        self._event.set()
        for reader in self._readers.values():
            reader.stop()

    def nudge(self) -> None:
        if problem := self._function.problem():
            self._status.say(problem)
        self._function.nudge()

    async def _run(self) -> None:
        while self._running:
            self._event.clear()
            wait = _LOOK
            try:
                await self._look()
                self._failures = 0
            except Exception as error:  # it is this mapping's alone
                self._failures += 1
                wait = min(_LONGEST, max(0.2, backoff.delay(self._failures)))
                self._status.complain(self._settings, error)
                if isinstance(error, CallFailed) and error.code in GONE:
                    await self._forget()
            self._begun.set()
            if self._running:
                waiting = asyncio.ensure_future(self._event.wait())
                await asyncio.wait((waiting,), timeout=wait)
                waiting.cancel()

    async def _forget(self) -> None:
        """The stream is not there any more: one that has its name some time is another one, and read from its
        beginning."""
        for reader in list(self._readers.values()):
            reader.stop()
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))
        self._done.clear()
        if shards := [id for id in self._saved() if id not in ("", BEGUN)]:
            with contextlib.suppress(StoreError):
                await self._write(dict.fromkeys(shards))

    async def _look(self) -> None:
        """Which shards there are, and which of them may be read now. Raises CallFailed and StoreError."""
        shards = await self._stream.shards()
        saved = self._saved()
        fresh = BEGUN not in saved
        if fresh:
            at = self._settings.timestamp if self._settings.timestamp is not None else time.time()
            place = {"position": self._settings.position, "at": at}
            await self._write({BEGUN: place, **{shard.id: place for shard in shards}})
            saved = self._saved()
        self._done |= {id for id, record in saved.items() if record.get("done")}
        there = {shard.id for shard in shards}
        gone = {id for id in saved if id not in there and id not in ("", BEGUN) and id not in self._tasks}
        if gone:
            await self._write(dict.fromkeys(gone))
        for id in readable(shards, self._done):
            if id not in self._readers and self._running:
                await self._begin(id, dict(saved.get(id) or {}), fresh)

    async def _begin(self, id: str, saved: dict[str, Any], fresh: bool) -> None:
        async def save(record: dict[str, Any]) -> None:
            await self._write({id: record})

        async def report(given: GivenUp) -> None:
            await self._report(id, given)

        reader = ShardReader(
            self._stream,
            id,
            self._settings,
            self._function,
            self._status,
            saved,
            save,
            report,
            self._event.set,
            fresh,
        )
        await reader.begin()
        self._readers[id] = reader
        task = self._tasks[id] = asyncio.get_running_loop().create_task(self._read(id, reader))
        task.add_done_callback(lambda _: self._over(id))
        if not self._running:
            reader.stop()

    async def _read(self, id: str, reader: ShardReader) -> None:
        if await reader.run():
            self._done.add(id)

    def _over(self, id: str) -> None:
        self._readers.pop(id, None)
        self._tasks.pop(id, None)
        self._event.set()  # its children may be read
