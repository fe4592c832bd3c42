"""Rules with schedules by a clock that a test moves, and that jumps."""

from __future__ import annotations

import asyncio
import calendar
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.aws.names import Place
from engine.aws.service import Caller
from engine.durable.changes import Changes
from engine.durable.queue import Queues
from engine.durable.queue_rows import QueueRows
from engine.durable.records import Records
from engine.durable.state import States
from engine.durable.store import Store
from engine.services.events.archived import ArchivedEvents, ArchivedRows
from engine.services.events.archives import Archives
from engine.services.events.buses import Buses
from engine.services.events.catalog import Catalog
from engine.services.events.delivery import Job
from engine.services.events.putting import Putting
from engine.services.events.rules import RuleOperations
from engine.services.events.scheduled import Scheduled

PLACE = Place("us-east-1", "000000000000")
CALLER = Caller(PLACE)
LINE = "events:000000000000/us-east-1/default/r/1"


def epoch(text: str) -> float:
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M")))


class Opened:
    """One life of the buses, without what delivers."""

    def __init__(self, folder: Path, now: float) -> None:
        self.now = now
        self.store = Store(folder, [Records(), QueueRows(), ArchivedRows()])
        self.queues = Queues(self.store)
        self.changes = Changes("test")
        catalog = Catalog(States(self.store), self.changes)
        putting = Putting(catalog, Buses(catalog), Archives(catalog, ArchivedEvents(self.store)), self.queues)
        self.scheduled = Scheduled(catalog, putting, lambda: self.now)
        self.rules = RuleOperations(catalog, self.scheduled.look)
        self.scheduled.look()

    async def put(self, expression: str, **more: Any) -> None:
        await self.rules.put_rule({"Name": "r", "ScheduleExpression": expression, **more}, CALLER)
        target = {"Id": "1", "Arn": "arn:aws:sqs:us-east-1:000000000000:q"}
        await self.rules.put_targets({"Rule": "r", "Targets": [target]}, CALLER)

    async def fired(self, now: float) -> list[str]:
        """The times of what came due."""
        self.now = now
        self.scheduled.look()
        await self.scheduled.fire()
        found = []
        while rows := self.queues.lease(LINE):
            job = msgspec.msgpack.decode(rows[0].value, type=Job)
            event = json.loads(job.event)
            assert (event["detail-type"], event["source"]) == ("Scheduled Event", "aws.events")
            assert event["resources"] == ["arn:aws:events:us-east-1:000000000000:rule/r"]
            found.append(event["time"][11:16])
            await self.queues.settle([rows[0].id])
        return found

    def close(self) -> None:
        self.changes.close()
        self.queues.close()
        self.store.close()


def run(folder: Path, body: Callable[[Opened], Awaitable[None]], now: float) -> None:
    async def within() -> None:
        opened = Opened(folder, now)
        try:
            await body(opened)
        finally:
            opened.close()

    asyncio.run(within())


@pytest.mark.promise(123)
def test_a_rule_is_due_once_at_each_of_its_times(tmp_path: Path) -> None:
    begin = epoch("2026-01-01 10:00")

    async def body(it: Opened) -> None:
        await it.put("cron(0/15 * * * ? *)")
        assert await it.fired(begin + 60) == []
        assert await it.fired(begin + 15 * 60) == ["10:15"]
        assert await it.fired(begin + 15 * 60 + 30) == []
        assert await it.fired(begin + 45 * 60) == ["10:30"]  # a clock that jumped: once
        assert await it.fired(begin + 60 * 60) == ["11:00"]
        assert await it.fired(begin + 31 * 60) == []  # back, by less than three hours: not again
        assert await it.fired(begin + 60 * 60) == []
        assert await it.fired(begin + 75 * 60) == ["11:15"]
        assert await it.fired(begin - 86_400) == []  # back by a day: it was wrong before
        assert await it.fired(begin - 86_400 + 15 * 60) == ["10:15"]

    run(tmp_path / "s", body, begin)


@pytest.mark.promise(123)
def test_what_came_due_while_no_server_ran_is_not_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = epoch("2026-01-01 10:00")
    monkeypatch.setattr("engine.services.events.catalog.time.time", lambda: begin)

    async def first(it: Opened) -> None:
        await it.put("rate(10 minutes)")
        assert await it.fired(begin + 599) == []
        assert await it.fired(begin + 600) == ["10:10"]

    async def second(it: Opened) -> None:
        assert await it.fired(begin + 2 * 3600 + 60) == []
        assert await it.fired(begin + 2 * 3600 + 600) == ["12:10"]  # in the phase of its beginning

    run(tmp_path / "s", first, begin)
    run(tmp_path / "s", second, begin + 2 * 3600 + 60)


def test_a_rule_that_is_disabled_is_not_due_and_a_changed_one_is_when_it_says_now(tmp_path: Path) -> None:
    begin = epoch("2026-01-01 10:00")

    async def body(it: Opened) -> None:
        await it.put("cron(5 * * * ? *)")
        await it.rules.disable_rule({"Name": "r"}, CALLER)
        assert await it.fired(begin + 5 * 60) == []
        it.now = begin + 6 * 60
        await it.put("cron(7 * * * ? *)")
        assert await it.fired(begin + 7 * 60) == ["10:07"]

    run(tmp_path / "s", body, begin)
