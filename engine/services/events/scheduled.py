"""Rules with schedules: what is due is put on the disk for the rule's targets, by the wall clock and no more than once.

A rule whose time came while no server ran is not made up for, as on AWS. A clock that jumps forward makes it due once,
whatever it passed; one that jumps back by less than BACK does not make it due again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import Callable

from ... import wire
from ...durable.folder import StoreError
from ...durable.queue import QueueFull
from ...routing.schedules import Rate, parse
from .catalog import DEFAULT, Bus, Catalog
from .putting import Putting, iso

LOOK = 20.0  # seconds at most between two looks at the clock
BACK = 3 * 3600.0  # seconds
AGAIN = 1.0  # until what could not be put is tried again


class Scheduled:
    def __init__(self, catalog: Catalog, putting: Putting, clock: Callable[[], float] = time.time) -> None:
        """clock: epoch seconds."""
        self._catalog = catalog
        self._putting = putting
        self._clock = clock
        self._due: dict[tuple[Bus, str], tuple[str, float | None]] = {}  # by rule: what it was of, and when
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._seen = clock()

    def start(self) -> None:
        self.look()
        self._task = asyncio.ensure_future(self._run())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def changed(self) -> None:
        """A rule is another one now."""
        self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self.look()
            await self.fire()
            first = min((when for _, when in self._due.values() if when is not None), default=math.inf)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(LOOK, max(0.0, first - self._clock())))

    def look(self) -> None:
        """When each rule is due, by what it is now."""
        now = self._clock()
        if now < self._seen - BACK:
            self._due.clear()
        self._seen = max(now, self._seen) if now >= self._seen - BACK else now
        found: dict[tuple[Bus, str], tuple[str, float | None]] = {}
        for place in self._catalog.places():
            bus = Bus(place, DEFAULT)
            for name, record in self._catalog.rules(bus).items():
                expression = record.get("ScheduleExpression")
                if expression and record["State"] != "DISABLED":
                    what = f"{expression} {record['_since']}"
                    known = self._due.get((bus, name))
                    if known is None or known[0] != what:
                        known = what, self._next(expression, record["_since"], now)
                    found[bus, name] = known
        self._due = found

    def _next(self, expression: str, since: float, after: float) -> float | None:
        schedule = parse(expression)
        return schedule.next(after, since) if isinstance(schedule, Rate) else schedule.next(after)

    async def fire(self) -> None:
        """What is due by now, each once, with the time that it was due at."""
        now = self._clock()
        for (bus, name), (what, when) in list(self._due.items()):
            if when is None or when > now:
                continue
            record = self._catalog.rules(bus).get(name)
            if record is None:
                continue
            event = {
                "version": "0", "id": str(uuid.uuid4()), "detail-type": "Scheduled Event", "source": "aws.events",
                "account": bus.place.account, "time": iso(when), "region": bus.place.region,
                "resources": [bus.rule(name)], "detail": {},
            }  # fmt: skip
            try:
                for queued in self._putting.queued(bus, name, wire.encode(event)):
                    await queued
            except (QueueFull, StoreError):
                await asyncio.sleep(AGAIN)
                continue
            self._due[bus, name] = what, self._next(record["ScheduleExpression"], record["_since"], now)
