"""Two places on one engine: the same names, each its own functions, limits, variables, logs and events."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import limits
from engine.aws.faults import Fault
from engine.aws.names import LATEST, Place
from engine.calls.reaper import Reaper
from engine.durable.queue import Queues
from engine.durable.queue_rows import QueueRows
from engine.durable.records import Records
from engine.durable.state import States
from engine.durable.store import Store, checksum
from engine.hosting.interpreters import OWN
from engine.hosting.invoker import Result
from engine.hosting.layout import Layouts
from engine.hosting.outside import Outside
from engine.hosting.packages import Packages, pack
from engine.hosting.placements import Hosting
from engine.observe.counters import Counters
from engine.observe.outcomes import OutcomeBatch, Outcomes
from engine.observe.records import FunctionOutput
from engine.routing.earlier import EventRows
from engine.routing.endings import Endings
from engine.routing.event import AcceptedEvent
from engine.routing.events import Events
from engine.runtime import Runtime

HERE, THERE = Place("eu-west-1", "111111111111"), Place("us-east-1", "222222222222")
SOURCE = """
import os, time
os.write(1, f"init of {os.environ['AWS_REGION']}\\n".encode())
def handler(event, context):
    if isinstance(event, dict) and "note" in event:
        with open(event["note"], "a") as file: file.write(os.environ["AWS_REGION"] + "\\n")
    if event == "fail": raise ValueError("asked for")
    while isinstance(event, dict) and not os.path.exists(event.get("until", "/")): time.sleep(0.005)
    names = ("AWS_REGION", "AWS_DEFAULT_REGION", "OWNER")
    return [*(os.environ[name] for name in names), context.invoked_function_arn]
"""


class Hosted:
    """Hosting over a real engine, in the running loop."""

    def __init__(self, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.store = Store(
            folder / "state", [Records(HERE.partition), QueueRows(), EventRows(HERE.partition)]
        )
        self.queues = Queues(self.store)
        self.states = States(self.store)
        self.packages = Packages(folder / "code")
        source = folder / "app.py"
        source.write_text(SOURCE)
        self.digest = self.packages.add(pack(source)).digest
        self.batches: list[OutcomeBatch] = []
        self.output: list[FunctionOutput] = []
        self.counters = Counters()
        self.outcomes = Outcomes(loop)
        self.outcomes.subscribe(self.batches.append)
        self.outcomes.subscribe(self.counters)
        self.outside = Outside(loop, self.output.append)
        self.runtime = Runtime(
            payload_limit=limits.EVENT_BYTES, logs=self.outside, pin=False, spin=0.0,
            waiting_bytes=limits.WAITING_BYTES,
        )  # fmt: skip
        self.reaper = Reaper(self.runtime.dispatch, loop, self.runtime.data_epoll, self.runtime.spin_ns)
        layouts = Layouts(self.packages, folder / "opt", lambda place: {"OWNER": place.account}, {OWN: ""}, 4)
        self.hosting = Hosting(self.states, self.runtime, self.reaper, layouts, self.outcomes, 600.0, loop)

    def put(self, place: Place, name: str = "f", **members: Any) -> None:
        record = {
            "FunctionName": name, "Version": LATEST, "FunctionArn": place.function(name), "MemorySize": 128,
            "Timeout": 20, "Handler": "app.handler", "Runtime": OWN, "_digest": self.digest, **members,
        }  # fmt: skip
        with self.states.of(place.partition).change() as change:
            change.put("function", name, LATEST, record)

    async def invoke(self, place: Place, event: Any = None, name: str = "f") -> Result:
        """Raises Fault."""
        invoker = self.hosting.of(place).invoker
        future: asyncio.Future[Result | Fault] = asyncio.get_running_loop().create_future()
        invoker.invoke(invoker.route(name, None), json.dumps(event).encode(), future.set_result, None)
        result = await asyncio.wait_for(future, 20)
        if isinstance(result, Fault):
            raise result
        return result

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.runtime.close_processes, 1.0)
        self.reaper.close()
        self.runtime.close(0.0)
        self.queues.close()
        self.store.close()


def run(folder: Path, body: Callable[[Hosted], Awaitable[None]]) -> None:
    async def inside() -> None:
        hosted = Hosted(folder)
        try:
            await body(hosted)
        finally:
            await hosted.close()

    asyncio.run(inside())


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)


def test_the_same_name_in_two_places(tmp_path: Path) -> None:
    async def body(hosted: Hosted) -> None:
        for place in (HERE, THERE):
            hosted.put(place)
        for place in (HERE, THERE):
            result = await hosted.invoke(place)
            assert json.loads(result.payload) == [
                place.region, place.region, place.account, place.function("f"),
            ]  # fmt: skip
        with hosted.states.of(HERE.partition).change() as change:
            change.delete("function", "f", LATEST)
        await asyncio.sleep(0.05)
        with pytest.raises(Fault, match="Function not found"):
            await hosted.invoke(HERE)
        assert not (await hosted.invoke(THERE)).failed
        # What each printed outside of invocations is in its own place's stream.
        lines = {(p.region, p.account, "/aws/lambda/f", f"init of {p.region}\n") for p in (HERE, THERE)}
        await until(lambda: {(o.region, o.account, o.log_group, o.text) for o in hosted.output} == lines)
        assert len({o.log_stream for o in hosted.output}) == 2

    run(tmp_path, body)


def test_limits_are_a_places_own(tmp_path: Path) -> None:
    async def body(hosted: Hosted) -> None:
        for place in (HERE, THERE):
            hosted.put(place)
        here = hosted.hosting.of(HERE).invoker
        with hosted.states.of(HERE.partition).change() as change:
            change.put("concurrency", "f", "", {"ReservedConcurrentExecutions": 0})
        await asyncio.sleep(0.05)
        with pytest.raises(Fault, match="Rate Exceeded"):
            await hosted.invoke(HERE)
        assert not (await hosted.invoke(THERE)).failed
        # All that one place may run at once is reserved: the other one's is not touched.
        hosted.put(HERE, "g")
        with hosted.states.of(HERE.partition).change() as change:
            change.put("concurrency", "f", "", {"ReservedConcurrentExecutions": here._account_limit})
        await asyncio.sleep(0.05)
        with pytest.raises(Fault, match="Rate Exceeded"):
            await hosted.invoke(HERE, name="g")
        assert not (await hosted.invoke(THERE)).failed
        with hosted.states.of(HERE.partition).change() as change:
            change.delete("concurrency", "f", "")
        await asyncio.sleep(0.05)
        assert not (await hosted.invoke(HERE, name="g")).failed
        hosted.outcomes.flush()
        assert hosted.counters.read()[HERE.function("f")]["throttles"] == {
            "ReservedFunctionConcurrentInvocationLimitExceeded": 1
        }
        assert hosted.counters.read()[HERE.function("g")]["throttles"] == {
            "ConcurrentInvocationLimitExceeded": 1
        }

    run(tmp_path, body)


def test_what_was_reserved_is_given_back_whole(tmp_path: Path) -> None:
    """Of a function that was never invoked before, too."""

    async def body(hosted: Hosted) -> None:
        invoker = hosted.hosting.of(HERE).invoker
        state = hosted.states.of(HERE.partition)
        for reserved in (5, 7, None, 3, None):
            with state.change() as change:
                if reserved is None:
                    change.delete("concurrency", "f", "")
                else:
                    change.put("concurrency", "f", "", {"ReservedConcurrentExecutions": reserved})
            await asyncio.sleep(0.02)
            assert invoker._reserved == (reserved or 0)

    run(tmp_path, body)


def test_outcomes_are_published_and_counted(tmp_path: Path) -> None:
    async def body(hosted: Hosted) -> None:
        hosted.put(HERE)
        hosted.put(HERE, "absent", Handler="absent.handler")
        hosted.put(HERE, "slow", Timeout=1)
        hosted.put(HERE, "other", Runtime="java8")
        for event, failed in ((None, False), (None, False), ("fail", True)):
            assert (await hosted.invoke(HERE, event)).failed is failed
        assert (await hosted.invoke(HERE, name="absent")).failed
        assert (await hosted.invoke(HERE, {"until": str(tmp_path / "never")}, "slow")).failed
        never_ran = await hosted.invoke(HERE, name="other")
        assert never_ran.failed and never_ran.record is None
        await until(lambda: len(hosted.counters.read()) == 4)
        counts = hosted.counters.read()
        assert counts[HERE.function("f")] == {
            "invocations": 3, "errors": {"failure": 1, "error": 0, "timeout": 0}, "throttles": {}, "cold_starts": 1,
            "duration_ns": counts[HERE.function("f")]["duration_ns"], "events": {},
        }  # fmt: skip
        assert counts[HERE.function("f")]["duration_ns"] > 0
        assert counts[HERE.function("absent")]["errors"] == {"failure": 0, "error": 1, "timeout": 0}
        assert counts[HERE.function("slow")]["errors"] == {"failure": 0, "error": 0, "timeout": 1}
        assert counts[HERE.function("slow")]["duration_ns"] >= 9e8
        assert counts[HERE.function("other")]["errors"] == {"failure": 0, "error": 1, "timeout": 0}
        groups = {b.deployment.function_name: b.deployment.log_group for b in hosted.batches}
        assert groups == {
            "f": "/aws/lambda/f", "absent": "/aws/lambda/absent", "slow": "/aws/lambda/slow", "other": "",
        }  # fmt: skip

    run(tmp_path, body)


OLD_EVENTS = """
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, attempts INTEGER NOT NULL, not_before REAL NOT NULL,
                     value BLOB NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE kinds (name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO kinds VALUES ('events', 1); PRAGMA user_version=2;
"""


def test_an_event_runs_in_its_place_and_an_old_one_in_the_servers(tmp_path: Path) -> None:
    """Old: as it was stored when a server had one place, and when events had a table of their own."""
    note = tmp_path / "note"
    payload = json.dumps({"note": str(note)}).encode()
    (tmp_path / "state").mkdir()
    tables = sqlite3.connect(tmp_path / "state" / "stoker.db")
    tables.executescript(OLD_EVENTS)
    stored = [
        ["f", None, payload, bytes(16), 2e9, None],
        ["f", None, payload, bytes(16), 2e9, None, THERE.partition],
    ]
    for attempts, fields in enumerate(stored):
        value = msgspec.msgpack.encode(fields)
        columns = (attempts, 0.0, value, checksum(value))
        tables.execute("INSERT INTO events (attempts, not_before, value, sum) VALUES (?, ?, ?, ?)", columns)
    late = (0, 9e9, value, checksum(value))
    tables.execute("INSERT INTO events (attempts, not_before, value, sum) VALUES (?, ?, ?, ?)", late)
    tables.commit()
    tables.close()

    async def body(hosted: Hosted) -> None:
        for place in (HERE, THERE):
            hosted.put(place)
        assert hosted.queues.row_count == 3
        events = Events(
            hosted.queues, hosted.hosting, Endings(hosted.counters, hosted.output.append), workers=4
        )
        events.start()
        ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        event = AcceptedEvent("f", None, THERE.partition, bytes(range(16)), 2e9)
        events.accept(event, payload, ended.set_result)
        assert await asyncio.wait_for(ended, 10) is None
        await until(lambda: note.exists() and len(note.read_text().split()) == 3)
        assert sorted(note.read_text().split()) == sorted([HERE.region, THERE.region, THERE.region])
        # The clock stood at 9e9 when the third was to run again: it waits no longer than an event ever does.
        await until(lambda: hosted.queues.row_count == 1)
        assert hosted.queues.counts(hosted.queues.queues("lambda")[0]).delayed == 1
        ends = {place: hosted.counters.read()[place.function("f")]["events"] for place in (HERE, THERE)}
        assert ends == {HERE: {"Success": 1}, THERE: {"Success": 2}}
        events.close()

    run(tmp_path, body)
