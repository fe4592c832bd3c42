"""Two places on one engine: the same names, each its own functions, limits, variables, logs and events."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import msgspec
import pytest
from hosted import HERE, THERE, Hosted, run, until

from engine import limits
from engine.aws.faults import Fault
from engine.aws.names import LATEST
from engine.durable.store import checksum
from engine.observe.functions import FunctionMetrics
from engine.observe.metrics import Metrics
from engine.routing.endings import Endings
from engine.routing.event import AcceptedEvent
from engine.routing.events import Events


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
            assert invoker._unreserved.reserved == limits.CONCURRENCY_MAX - (reserved or 0)

    run(tmp_path, body)


@pytest.mark.promise(93)
def test_nothing_is_kept_of_functions_that_are_no_more(tmp_path: Path) -> None:
    """But what they add to the totals, and what still runs."""

    async def body(hosted: Hosted) -> None:
        invoker = hosted.hosting.of(HERE).invoker
        for name in ("stays", "goes", "runs"):
            hosted.put(HERE, name)
            await hosted.invoke(HERE, name=name)
        running = asyncio.ensure_future(hosted.invoke(HERE, {"until": str(tmp_path / "end")}, "runs"))
        await until(lambda: invoker.usage("runs").in_flight)
        with hosted.states.of(HERE.partition).change() as change:
            change.delete("function", "goes", LATEST)
            change.delete("function", "runs", LATEST)
        await asyncio.sleep(0.05)

        def sweep() -> tuple[set[str], set[str]]:
            hosted.outcomes.flush()
            hosted.hosting.sweep()
            hosted.counters.keep_only(hosted.hosting.has)
            return set(invoker._usage), set(hosted.counters.read())

        assert sweep() == ({"stays", "runs"}, {HERE.function("stays")})
        (tmp_path / "end").touch()
        assert not (await running).failed
        assert sweep() == ({"stays"}, {HERE.function("stays")})
        assert hosted.counters.totals()["invocations"] == 4
        await until(lambda: len(hosted.runtime.supervisor._population.functions) == 1)

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
            hosted.queues,
            hosted.hosting,
            Endings(hosted.counters, FunctionMetrics(Metrics()), hosted.output.append),
            workers=4,
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
