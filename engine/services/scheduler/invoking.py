"""Schedules by the wall clock: what is due is put on the disk for its target, and with it, in one commit, how far the
schedule has come. So it is invoked once at each of its times, across restarts.

What came due while no server ran is made up for when one runs again: once for each schedule, of the first time that
passed. So it is when the clock jumps forward.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ... import wire
from ...aws.faults import Fault
from ...durable.folder import StoreError
from ...durable.queue import Queues
from ...durable.records import Put
from ...routing.timetable import AGAIN, BACK, Timetable
from .catalog import PROGRESS, Catalog, Key, gone
from .delivery import Job, encode_job, line
from .timing import begin, due, moment, window


class Progress(msgspec.Struct):
    """since: which life of a schedule this is of; after: what is due later is due yet, epoch seconds."""

    since: float
    after: float


class Invoking:
    def __init__(self, catalog: Catalog, queues: Queues, clock: Callable[[], float] = time.time) -> None:
        """clock: epoch seconds."""
        self._catalog, self._queues = catalog, queues
        self._progress: dict[Key, Progress] = {}  # of those that were due
        self._tasks: set[asyncio.Task[None]] = set()
        timetable = Timetable(self._schedules, self._what, self._first, self._fire, clock)
        self.changed, self.look, self.fire = timetable.changed, timetable.look, timetable.fire
        self._timetable = timetable
        for key, _ in catalog.all():
            if record := catalog.state(key.place).get(PROGRESS, key.group, key.name):
                self._progress[key] = msgspec.convert(record, Progress)

    def start(self) -> None:
        self._timetable.start()

    def close(self) -> None:
        self._timetable.close()
        for task in self._tasks:
            task.cancel()

    def _schedules(self) -> Iterator[Key]:
        return (key for key, _ in self._catalog.all())

    def _what(self, key: Key) -> str | None:
        record = self._catalog.find(key)
        if record is None or record["State"] == "DISABLED":
            self._progress.pop(key, None)
            return None
        return f"{record['_since']} {record['FlexibleTimeWindow']} {record['ActionAfterCompletion']}"

    def _first(self, key: Key, now: float, back: bool) -> float | None:
        record = self._catalog.schedule(key)
        progress = self._progress.get(key)
        if progress is None or progress.since != record["_since"]:
            progress = Progress(record["_since"], begin(record))
        elif progress.after > now + BACK and not record["ScheduleExpression"].startswith("at("):
            progress = Progress(record["_since"], now)  # the clock was set back: it was wrong before
        self._progress[key] = progress
        return self._next(key, record)

    def _next(self, key: Key, record: dict[str, Any]) -> float | None:
        """The moment of its next time; one that has none any more is complete."""
        when = due(record, self._progress[key].after)
        if when is not None:
            return moment(record, when)
        was_due = self._progress[key].after != begin(record)
        if was_due and record["ActionAfterCompletion"] == "DELETE":
            task = asyncio.ensure_future(self._delete(key, record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return None

    async def _fire(self, key: Key, when: float, now: float) -> float | None:
        record, progress = self._catalog.find(key), self._progress.get(key)
        if record is None or progress is None or progress.since != record["_since"]:
            return None  # it was deleted or changed: there is another look
        scheduled = due(record, progress.after)
        if scheduled is None:
            return None
        following = Progress(progress.since, max(scheduled, now - window(record)))
        job = Job(key.arn, wire.encode(record["Target"]), scheduled, max(0.0, now - when))
        step = Put(key.place.partition, PROGRESS, key.group, key.name, msgspec.json.encode(following))
        await self._queues.put(line(key), encode_job(job), also=[step])
        self._progress[key] = following
        record = self._catalog.find(key)
        return self._next(key, record) if record is not None and record["_since"] == following.since else None

    async def _delete(self, key: Key, record: dict[str, Any]) -> None:
        """Unless it is another one by then."""
        while True:
            with contextlib.suppress(StoreError, Fault):
                async with self._catalog.changes.lock:
                    known = self._catalog.find(key)
                    same = known is not None and known["_since"] == record["_since"]
                    if same and known is not None and known["ActionAfterCompletion"] == "DELETE":
                        await self._catalog.write(key.place, *gone(key))
                        self._progress.pop(key, None)
                return
            await asyncio.sleep(AGAIN)
