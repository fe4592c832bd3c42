"""Schedules by a clock that a test moves, and that jumps; and across restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.aws.faults import Fault
from engine.aws.names import Place
from engine.aws.service import Caller
from engine.durable.changes import Changes
from engine.durable.queue import Queues
from engine.durable.queue_rows import QueueRows
from engine.durable.records import Records
from engine.durable.state import States
from engine.durable.store import Store
from engine.services.scheduler import catalog as catalogs
from engine.services.scheduler.catalog import Catalog
from engine.services.scheduler.delivery import Job
from engine.services.scheduler.groups import GroupOperations
from engine.services.scheduler.invoking import Invoking
from engine.services.scheduler.operations import ScheduleOperations

CALLER = Caller(Place("us-east-1", "000000000000"))
ARN = "arn:aws:scheduler:us-east-1:000000000000:schedule/default/s"
TARGET = {"Arn": "arn:aws:sqs:us-east-1:000000000000:q", "RoleArn": "arn:aws:iam::000000000000:role/r"}
BEGIN = datetime(2026, 1, 1, 10, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


class Opened:
    """One life of the schedules, without what delivers."""

    def __init__(self, folder: Path, now: float) -> None:
        self.now = now
        self.store = Store(folder, [Records(), QueueRows()])
        self.queues = Queues(self.store)
        self.changes = Changes("test")
        self.catalog = Catalog(States(self.store), self.changes)
        self.invoking = Invoking(self.catalog, self.queues, lambda: self.now)
        self.schedules = ScheduleOperations(self.catalog, lambda key: self.invoking.look())
        self.groups = GroupOperations(self.catalog, self.invoking.look)
        self.invoking.look()

    async def create(self, expression: str, **more: Any) -> None:
        await self.schedules.create_schedule(self.members(expression, **more), CALLER)

    async def update(self, expression: str, **more: Any) -> None:
        await self.schedules.update_schedule(self.members(expression, **more), CALLER)

    def members(self, expression: str, **more: Any) -> dict[str, Any]:
        off = {"Mode": "OFF"}
        return {
            "Name": "s", "ScheduleExpression": expression, "Target": TARGET, "FlexibleTimeWindow": off, **more
        }  # fmt: skip

    async def fired(self, now: float) -> list[str]:
        """The times of what came due."""
        self.now = now
        self.invoking.look()
        await self.invoking.fire()
        found = []
        for queue in self.queues.queues("scheduler"):
            while rows := self.queues.lease(queue):
                job = msgspec.msgpack.decode(rows[0].value, type=Job)
                assert job.schedule == ARN
                found.append(datetime.fromtimestamp(job.scheduled, UTC).strftime("%d %H:%M"))
                await self.queues.settle([rows[0].id])
        return found

    def exists(self) -> bool:
        return any(key.arn == ARN for key, _ in self.catalog.all())

    async def close(self) -> None:
        self.invoking.close()
        self.changes.close()
        self.queues.close()
        self.store.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lives, one after the other, on the same state."""

    def lives(*bodies: Callable[[Opened], Awaitable[None]], at: float = BEGIN) -> None:
        for body in bodies:

            async def within(body: Callable[[Opened], Awaitable[None]] = body) -> None:
                opened = Opened(tmp_path / "state", at)
                monkeypatch.setattr(catalogs.time, "time", lambda: opened.now)
                try:
                    await body(opened)
                finally:
                    await opened.close()

            asyncio.run(within())

    return lives


@pytest.mark.promise(133)
def test_a_schedule_is_due_once_at_each_of_its_times(run: Callable[..., None]) -> None:
    async def body(it: Opened) -> None:
        await it.create("cron(0/15 * * * ? *)")
        assert await it.fired(BEGIN + MINUTE) == []
        assert await it.fired(BEGIN + 15 * MINUTE) == ["01 10:15"]
        assert await it.fired(BEGIN + 15 * MINUTE + 30) == []
        assert await it.fired(BEGIN + 45 * MINUTE) == ["01 10:30"]  # a clock that jumped: once
        assert await it.fired(BEGIN + 60 * MINUTE) == ["01 11:00"]
        assert await it.fired(BEGIN + 31 * MINUTE) == []  # back, by less than three hours: not again
        assert await it.fired(BEGIN + 60 * MINUTE) == []
        assert await it.fired(BEGIN + 75 * MINUTE) == ["01 11:15"]
        assert await it.fired(BEGIN - DAY) == []  # back by a day: it was wrong before
        assert await it.fired(BEGIN - DAY + 15 * MINUTE) == ["31 10:15"]

    run(body)


@pytest.mark.promise(133)
def test_what_came_due_while_no_server_ran_is_made_up_for_once(run: Callable[..., None]) -> None:
    async def first(it: Opened) -> None:
        await it.create("rate(10 minutes)")
        assert await it.fired(BEGIN) == ["01 10:00"]  # at once
        assert await it.fired(BEGIN + 9 * MINUTE) == []
        assert await it.fired(BEGIN + 10 * MINUTE) == ["01 10:10"]

    async def soon(it: Opened) -> None:
        assert await it.fired(BEGIN + 10 * MINUTE) == [], "not a second time"

    async def later(it: Opened) -> None:
        assert await it.fired(BEGIN + 2 * HOUR) == ["01 10:20"]
        assert await it.fired(BEGIN + 2 * HOUR) == []
        assert await it.fired(BEGIN + 2 * HOUR + 10 * MINUTE) == ["01 12:10"]  # in its phase

    async def never_due_before(it: Opened) -> None:
        await it.update("cron(30 12 * * ? *)")

    async def after(it: Opened) -> None:
        assert await it.fired(BEGIN + 4 * HOUR) == ["01 12:30"]

    run(first, soon, later, at=BEGIN)
    run(never_due_before, at=BEGIN + 2 * HOUR + 20 * MINUTE)
    run(after, at=BEGIN + 4 * HOUR)


@pytest.mark.promise(133)
def test_what_is_once_is_once(run: Callable[..., None]) -> None:
    async def first(it: Opened) -> None:
        await it.create("at(2026-01-01T10:05:00)")
        assert await it.fired(BEGIN + 4 * MINUTE) == []
        assert await it.fired(BEGIN + 5 * MINUTE) == ["01 10:05"]
        assert await it.fired(BEGIN + 6 * MINUTE) == []
        await it.update("at(2026-01-01T10:05:00)", Description="the times are the same")
        assert await it.fired(BEGIN + 6 * MINUTE) == []
        assert await it.fired(BEGIN - DAY) == []
        assert await it.fired(BEGIN + 7 * MINUTE) == [], "whatever the clock does"
        assert it.exists()

    async def second(it: Opened) -> None:
        assert await it.fired(BEGIN + 7 * MINUTE) == []
        await it.update("at(2026-01-01T10:09:00)")
        assert await it.fired(BEGIN + 9 * MINUTE) == ["01 10:09"]

    run(first, second)


async def gone(it: Opened) -> None:
    async with asyncio.timeout(10):
        while it.exists():
            await asyncio.sleep(0)


@pytest.mark.promise(133)
def test_one_that_is_complete_is_deleted_if_it_says_so(run: Callable[..., None]) -> None:
    async def once(it: Opened) -> None:
        await it.create("at(2026-01-01T10:05:00)", ActionAfterCompletion="DELETE")
        assert await it.fired(BEGIN + 5 * MINUTE) == ["01 10:05"]
        await gone(it)
        await it.create("rate(1 hour)", ActionAfterCompletion="DELETE", EndDate=BEGIN + 90 * MINUTE)
        assert await it.fired(BEGIN + 10 * MINUTE) == ["01 10:05"]
        assert it.exists()
        assert await it.fired(BEGIN + 66 * MINUTE) == ["01 11:05"]
        await gone(it)
        with pytest.raises(Fault, match="Schedule s does not exist."):
            await it.update("rate(1 hour)")

    async def killed(it: Opened) -> None:
        """Before it was deleted."""
        await it.create("at(2026-01-01T10:05:00)", ActionAfterCompletion="DELETE")
        await it.changes.lock.acquire()
        assert await it.fired(BEGIN + 5 * MINUTE) == ["01 10:05"]
        assert it.exists()

    async def then(it: Opened) -> None:
        assert await it.fired(BEGIN + 5 * MINUTE) == []
        await gone(it)

    run(once, killed, then)


@pytest.mark.promise(133)
def test_a_flexible_window(run: Callable[..., None]) -> None:
    async def body(it: Opened) -> None:
        window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 10}
        await it.create("cron(0 * * * ? *)", FlexibleTimeWindow=window)
        found, moments = [], []
        for minute in range(60, 24 * 60, 1):
            more = await it.fired(BEGIN + minute * MINUTE)
            found += more
            moments += [minute % 60] * len(more)
        hours = [*range(11, 24), *range(10)]
        assert found == [f"0{1 + (hour < 10)} {hour:02}:00" for hour in hours]
        assert all(moment <= 10 for moment in moments) and len(set(moments)) > 3

    run(body)


def test_one_that_is_disabled_is_not_due_nor_made_up_for(run: Callable[..., None]) -> None:
    async def body(it: Opened) -> None:
        await it.create("cron(5 * * * ? *)", State="DISABLED")
        assert await it.fired(BEGIN + 6 * MINUTE) == []
        await it.update("cron(5 * * * ? *)")
        assert await it.fired(BEGIN + 7 * MINUTE) == []
        assert await it.fired(BEGIN + 65 * MINUTE) == ["01 11:05"]
        await it.schedules.delete_schedule({"Name": "s"}, CALLER)
        assert await it.fired(BEGIN + 125 * MINUTE) == []

    run(body)


def test_a_groups_schedules_go_with_it(run: Callable[..., None]) -> None:
    async def body(it: Opened) -> None:
        await it.groups.create_schedule_group({"Name": "g"}, CALLER)
        await it.create("rate(1 minute)", GroupName="g", State="DISABLED")
        await it.groups.delete_schedule_group({"Name": "g"}, CALLER)
        assert list(it.catalog.all()) == []
        with pytest.raises(Fault, match="Schedule group g does not exist."):
            await it.create("rate(1 minute)", GroupName="g")

    run(body)


@pytest.mark.promise(133)
def test_the_clock_that_was_wrong_in_an_earlier_run(run: Callable[..., None]) -> None:
    async def wrong(it: Opened) -> None:
        await it.create("rate(1 hour)", StartDate=BEGIN)
        assert await it.fired(BEGIN + 30 * DAY) == ["01 10:00"]

    async def right(it: Opened) -> None:
        assert await it.fired(BEGIN + MINUTE) == []
        assert await it.fired(BEGIN + HOUR) == ["01 11:00"]

    run(wrong)
    run(right, at=BEGIN + MINUTE)
