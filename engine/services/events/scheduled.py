"""Rules with schedules: what is due is put on the disk for the rule's targets, by the wall clock and no more than once.

A rule whose time came while no server ran is not made up for, as on AWS.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

from ... import wire
from ...routing.schedules import Rate, parse
from ...routing.timetable import Timetable
from .catalog import DEFAULT, Bus, Catalog
from .putting import Putting, iso

Key = tuple[Bus, str]


class Scheduled:
    def __init__(self, catalog: Catalog, putting: Putting, clock: Callable[[], float] = time.time) -> None:
        """clock: epoch seconds."""
        self._catalog = catalog
        self._putting = putting
        timetable = Timetable(self._rules, self._what, self._first, self._fire, clock)
        self.start, self.close, self.changed = timetable.start, timetable.close, timetable.changed
        self.look, self.fire = timetable.look, timetable.fire

    def _rules(self) -> Iterator[Key]:
        for place in self._catalog.places():
            bus = Bus(place, DEFAULT)
            for name in self._catalog.rules(bus):
                yield bus, name

    def _what(self, key: Key) -> str | None:
        record = self._catalog.rules(key[0]).get(key[1])
        if record is None or not record.get("ScheduleExpression") or record["State"] == "DISABLED":
            return None
        return f"{record['ScheduleExpression']} {record['_since']}"

    def _first(self, key: Key, now: float, back: bool) -> float | None:
        record = self._catalog.rules(key[0])[key[1]]
        schedule = parse(record["ScheduleExpression"])
        return schedule.next(now, record["_since"]) if isinstance(schedule, Rate) else schedule.next(now)

    async def _fire(self, key: Key, when: float, now: float) -> float | None:
        """An event with the time that it was due at."""
        bus, name = key
        if name not in self._catalog.rules(bus):
            return None
        event = {
            "version": "0", "id": str(uuid.uuid4()), "detail-type": "Scheduled Event", "source": "aws.events",
            "account": bus.place.account, "time": iso(when), "region": bus.place.region,
            "resources": [bus.rule(name)], "detail": {},
        }  # fmt: skip
        invocations = 0
        for queued in self._putting.queued(bus, name, wire.encode(event), trace=self._putting.beginning()):
            await queued
            invocations += 1
        self._putting.metrics.matched(bus, [name], invocations)
        return self._first(key, now, False) if name in self._catalog.rules(bus) else None
