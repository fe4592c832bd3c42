"""Keeps segments: takes what came now and then to the disk, and reads from there.

What waits for the disk is bounded: what the server itself notes, or hears of as a daemon, is dropped beyond that and
counted. What PutTraceSegments has is not: its caller waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ... import wire
from ...aws.names import Place
from ...durable.folder import StoreError
from ...observe.segments import documents
from ...observe.spans import Span
from .disk import Row, SegmentStore
from .documents import Document

FLUSH = 0.5  # seconds; a process that is killed loses what came since
TIDY = 600.0
MOST_SPANS = 20_000
MOST_BYTES = 16 << 20  # of documents
DATABASE = "traces.db"
T = TypeVar("T")


class Keeper:
    """Belongs to the event loop; call `start` in it, and `aclose`."""

    def __init__(self, folder: Path) -> None:
        """Raises StoreError."""
        self.dropped = 0
        self._store = SegmentStore(folder / DATABASE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stoker-traces")
        self._spans: list[Span] = []
        self._rows: list[Row] = []
        self._bytes = 0
        self._given: list[tuple[list[Row], asyncio.Future[None]]] = []
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._task(self._tidy_often())

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        with contextlib.suppress(StoreError):
            await self.flush()
        await self._run(self._store.close)
        self._thread.shutdown()

    def take(self, spans: Sequence[Span]) -> None:
        """What the server itself notes."""
        room = MOST_SPANS - len(self._spans)
        self._spans += spans[:room]
        self.dropped += max(0, len(spans) - room)
        self._soon()

    def hear(self, document: Document) -> None:
        """What came to the daemon's address: it names no place."""
        row = _row("", document)
        if self._bytes + len(row.document) > MOST_BYTES:
            self.dropped += 1
            return
        self._bytes += len(row.document)
        self._rows.append(row)
        self._soon()

    async def put(self, place: Place, found: Sequence[Document]) -> None:
        """Durable when this is done. Raises StoreError. Those who wait share one commit."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._given.append(([_row(place.partition, each) for each in found], future))
        with contextlib.suppress(StoreError):  # the future has it
            await self.flush()
        await future

    async def flush(self) -> None:
        """All that came until now is on the disk. Raises StoreError. Goes on where its caller is cancelled."""
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def read(self, function: Callable[[SegmentStore], T]) -> T:
        """What a function finds on the disk, in the thread. Raises StoreError."""
        await self.flush()
        return await self._run(function, self._store)

    async def _flush(self) -> None:
        async with self._writing:
            given, self._given = self._given, []
            spans, self._spans = self._spans, []
            rows, self._rows, self._bytes = self._rows, [], 0
            if not (given or spans or rows):
                return
            error: StoreError | None = None
            try:
                await self._run(self._write, spans, [*rows, *(row for each, _ in given for row in each)])
            except StoreError as failed:
                self.dropped += len(spans) + len(rows)
                error = failed
            for _, future in given:
                if not future.done():
                    future.set_exception(error) if error else future.set_result(None)
            if error is not None:
                raise error

    def _write(self, spans: Sequence[Span], rows: Sequence[Row]) -> None:
        def made() -> Iterator[Row]:
            yield from rows
            for span in spans:
                place = Place(span.region, span.account).partition
                for document in documents(span):
                    yield _row(place, document)

        self._store.put(made())

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH, self._due)

    def _due(self) -> None:
        self._timer = None
        self._task(self._quietly())

    async def _quietly(self) -> None:
        with contextlib.suppress(StoreError):  # counted
            await self.flush()

    def _task(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tidy_often(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self._run(self._store.tidy)
            await asyncio.sleep(TIDY)

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _row(place: str, document: Document) -> Row:
    at = int(document["start_time"] * 1e3)
    progress = int(bool(document.get("in_progress")))
    return Row(document["trace_id"], document["id"], place, at, progress, wire.encode(document))
