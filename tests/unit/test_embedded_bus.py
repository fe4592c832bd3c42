"""engine.bus, engine.on and engine.schedule: each function gets what it is interested in, whatever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import FUNCTIONS, Logs, until

from engine import (
    AsyncEngine,
    Engine,
    EngineClosed,
    Function,
    FunctionNotFound,
    InvalidConfiguration,
    InvalidEvent,
    PayloadTooLarge,
)
from engine.bus_routing import Policy, Router

AT_ONCE: dict[str, Any] = {"retry_delays": (0.0,)}


class Kept:
    """What functions of an engine wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def function(self, engine: Engine, name: str, handler: str = "keep", **options: Any) -> Function:
        return engine.function(
            f"bus:{handler}", code=str(FUNCTIONS), name=name, environment={"KEPT": str(self.path)}, **options
        )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def by(self, name: str) -> list[Any]:
        return [line["event"] for line in self.lines() if line["by"] == name]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "kept")


@pytest.fixture
def logs() -> Logs:
    return Logs()


@pytest.fixture
def engine(logs: Logs) -> Iterator[Engine]:
    with Engine(logs=logs) as made:
        yield made


@pytest.mark.promise(145)
def test_an_event_goes_to_each_function_whose_pattern_it_matches(engine: Engine, kept: Kept) -> None:
    kept.function(engine, "audit")
    ship = kept.function(engine, "ship", concurrency=2)
    engine.on({"source": ["shop"], "total": [{"numeric": [">", 100]}]}, "audit")
    engine.on({"source": [{"prefix": "sh"}], "lines": {"sku": ["a"], "kind": ["parcel"]}}, ship)
    bus = engine.bus()
    assert bus.put({"source": "shop", "total": 50}) == 0
    assert bus.put({"source": "shop", "total": 250}) == 1
    both = {
        "source": "shop",
        "total": 101,
        "lines": [{"sku": "a", "kind": "parcel"}, {"sku": "b", "kind": "pallet"}],
    }
    assert bus.put(both) == 2
    other = {"source": "ship", "lines": [{"sku": "a", "kind": "pallet"}, {"sku": "b", "kind": "parcel"}]}
    assert bus.put(other) == 0, "no two elements of an array together"
    until(lambda: len(kept.lines()) == 3)
    assert kept.by("audit") in (
        [{"source": "shop", "total": 250}, both],
        [both, {"source": "shop", "total": 250}],
    )
    assert kept.by("ship") == [both]


@pytest.mark.promise(145)
def test_a_rule_that_is_removed_matches_no_more(engine: Engine, kept: Kept) -> None:
    rule = engine.on({}, kept.function(engine, "all"))
    assert engine.bus().put({"n": 1}) == 1
    rule.remove()
    rule.remove()
    assert engine.bus().put({"n": 2}) == 0
    until(lambda: kept.by("all") == [{"n": 1}])


@pytest.mark.promise(145)
@pytest.mark.parametrize(
    "wrong, error",
    [
        (lambda e, f: e.on({"a": "b"}, f), InvalidConfiguration),
        (lambda e, f: e.on({"a": [{"numeric": [">"]}]}, f), InvalidConfiguration),
        (lambda e, f: e.on({"a": [1]}, f, retries=-1), InvalidConfiguration),
        (lambda e, f: e.on({"a": [1]}, f, retry_delays=()), InvalidConfiguration),
        (lambda e, f: e.on({"a": [1]}, f, dead_letters=""), InvalidConfiguration),
        (lambda e, f: e.on({"a": [1]}, "nobody"), FunctionNotFound),
        (lambda e, f: e.schedule("rate(1 minutes)", f), InvalidConfiguration),
        (lambda e, f: e.schedule("cron(0 8 * * * *)", f), InvalidConfiguration),
        (lambda e, f: e.schedule("rate(1 hour)", f, zone="Mars/Olympus"), InvalidConfiguration),
        (lambda e, f: e.schedule("rate(1 hour)", f, event=object()), InvalidEvent),
        (lambda e, f: e.bus().put([1, 2]), InvalidEvent),
        (lambda e, f: e.bus().put({"a": object()}), InvalidEvent),
        (lambda e, f: e.bus().put({"a": "b" * 7_000_000}), PayloadTooLarge),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    engine: Engine, kept: Kept, wrong: Callable[[Engine, Function], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        wrong(engine, kept.function(engine, "f"))


@pytest.mark.promise(146)
def test_what_fails_is_tried_again_as_the_same_invocation(engine: Engine, kept: Kept) -> None:
    engine.on({}, kept.function(engine, "flaky", "fail_first"), **AT_ONCE, dead_letters="dead")
    engine.bus().put({"failures": 2})
    until(lambda: len(kept.lines()) == 3)
    assert len({line["request"] for line in kept.lines()}) == 1
    assert engine.queue("dead").receive() == []


@pytest.mark.promise(146)
def test_what_fails_for_good_is_a_dead_letter_with_its_reason(engine: Engine, kept: Kept) -> None:
    engine.on({}, kept.function(engine, "poor", "fail_first"), **AT_ONCE, dead_letters="dead")
    engine.bus().put({"failures": 99})
    (message,) = engine.queue("dead").receive(wait=30)
    letter = message.value
    assert letter["event"] == {"failures": 99}
    assert (letter["function"], letter["condition"], letter["attempts"]) == ("poor", "RetriesExhausted", 3)
    assert letter["error"] == {"errorType": "ValueError", "errorMessage": "attempt 3"}
    assert letter["requestId"] == kept.lines()[0]["request"]
    assert len(kept.lines()) == 3


@pytest.mark.promise(146)
def test_or_it_is_in_the_log(engine: Engine, kept: Kept, logs: Logs) -> None:
    engine.on({}, kept.function(engine, "poor", "fail_first"), retries=0)
    engine.bus().put({"failures": 99})
    text = "[stoker] event given up: RetriesExhausted after 1 failures. Last error: ValueError: attempt 1\n"
    until(lambda: text in logs.of("poor"))


@pytest.mark.promise(146)
def test_one_whose_process_ends_is_tried_again(engine: Engine, kept: Kept) -> None:
    engine.on({}, kept.function(engine, "exits", "exit_first"), **AT_ONCE)
    engine.bus().put({"n": 1})
    until(lambda: len(kept.lines()) == 2)


@pytest.mark.promise(146)
def test_a_retry_that_would_come_too_late_is_not_waited_for(engine: Engine, kept: Kept) -> None:
    poor = kept.function(engine, "poor", "fail_first")
    engine.on({}, poor, retry_delays=(60.0,), max_age=30.0, dead_letters="dead")
    engine.bus().put({"failures": 99})
    (message,) = engine.queue("dead").receive(wait=30)
    assert (message.value["condition"], message.value["attempts"]) == ("EventAgeExceeded", 1)


@pytest.mark.promise(147)
def test_what_was_accepted_in_memory_is_run_before_it_closes(kept: Kept, logs: Logs) -> None:
    with Engine(logs=logs) as engine:
        engine.on({"n": [{"exists": True}]}, kept.function(engine, "f"))
        engine.on({"failures": [1]}, kept.function(engine, "flaky", "fail_first"))
        bus = engine.bus()
        for n in range(50):
            bus.put({"n": n})
        bus.put({"failures": 1})
    assert sorted(event["n"] for event in kept.by("f")) == list(range(50))
    assert "[stoker] 1 events given up: the engine was closed before they were run\n" in logs.of("flaky")
    with pytest.raises(EngineClosed):
        bus.put({"n": 50})
    with pytest.raises(EngineClosed):
        engine.on({}, "f")


@pytest.mark.promise(147)
def test_and_before_the_program_ends(kept: Kept) -> None:
    program = f"""
from engine import Engine
engine = Engine()
engine.on({{}}, engine.function("bus:keep", code={str(FUNCTIONS)!r}, environment={{"KEPT": {str(kept.path)!r}}}))
for n in range(50):
    engine.bus().put({{"n": n}})
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert sorted(line["event"]["n"] for line in kept.lines()) == list(range(50))


@pytest.mark.promise(147)
def test_what_is_on_the_disk_waits_for_its_function(kept: Kept, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Engine(state=state) as engine:
        engine.on({}, kept.function(engine, "flaky", "fail_first"), retry_delays=(0.5,), retries=9)
        for n in range(5):
            engine.bus().put({"failures": 1, "n": n})
        until(kept.lines)
    begun = len(kept.lines())
    with Engine(state=state) as engine:
        engine.bus()
        kept.function(engine, "flaky", "fail_first")
        kept.function(engine, "other")
        engine.on({}, "other")
        engine.bus().put({"failures": 0})
        until(lambda: kept.by("other"))
        assert len(kept.by("flaky")) == begun, "nobody named it"
        engine.on({"none": ["of these"]}, "flaky")
        until(lambda: len(kept.by("flaky")) == 10)
    assert sorted(event["n"] for event in kept.by("flaky")) == sorted([*range(5)] * 2)


PUTS = f"""
import sys
from engine import Engine
state, kept, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
engine = Engine(state=state)
for name in ("one", "two"):
    function = engine.function("bus:keep", code={str(FUNCTIONS)!r}, name=name, environment={{"KEPT": kept}})
    engine.on({{"n": [{{"exists": True}}]}}, function)
bus = engine.bus()
for n in range(first, 1_000_000):
    bus.put({{"n": n}})
    print(n, flush=True)
"""


@pytest.mark.slow
@pytest.mark.promise(147)
def test_what_was_accepted_outlives_kills(kept: Kept, tmp_path: Path) -> None:
    put: list[int] = []
    for run in range(4):
        command = [sys.executable, "-c", PUTS, str(tmp_path / "state"), str(kept.path), str(run * 10_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(random.randint(1, 60))]
            os.kill(process.pid, signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
        put += [int(line) for line in lines if line.endswith("\n")]
    with Engine(state=tmp_path / "state") as engine:
        for name in ("one", "two"):
            engine.on({}, kept.function(engine, name))
        for name in ("one", "two"):
            until(lambda name=name: set(put) <= {event["n"] for event in kept.by(name)})


# Schedules. A clock of their own: in each, `now[0]` is epoch seconds.

START = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def scheduling(
    state: Path | None, kept: Kept, work: Callable[[Router, list[float]], Any], now: list[float]
) -> None:
    """Run `work` with a router of a new engine, at a time of its own, with the function "tick"."""

    async def run() -> None:
        async with AsyncEngine(state=state) as engine:
            await engine.function(
                "bus:keep", code=str(FUNCTIONS), name="tick", environment={"KEPT": str(kept.path)}
            )
            router = Router(engine._queue_store(), engine._runtime, engine._reaping(), lambda: now[0])
            await work(router, now)
            await router.close(30.0)

    asyncio.run(run())


async def pass_to(router: Router, now: list[float], seconds: float) -> None:
    """The clock goes on to START + seconds, and what is due by then is run."""
    now[0] = START + seconds
    router._timetable.look()
    await router._timetable.fire()
    await router._deliveries.idle(30.0)


def times(kept: Kept) -> list[str]:
    return [event["time"][11:19] for event in kept.by("tick")]


@pytest.mark.promise(148)
def test_a_schedule_is_due_at_its_times_and_goes_on_where_it_was(kept: Kept, tmp_path: Path) -> None:
    now = [START]

    async def first(router: Router, now: list[float]) -> None:
        await router.schedule("rate(5 minutes)", "tick", Policy(), None, "UTC", None)
        for seconds in (1, 299, 300, 301, 600, 899):
            await pass_to(router, now, seconds)

    scheduling(tmp_path / "state", kept, first, now)
    assert times(kept) == ["08:05:00", "08:10:00"]
    event = kept.by("tick")[0]
    assert (event["detail-type"], event["source"], event["detail"]) == ("Scheduled Event", "aws.events", {})

    async def later(router: Router, now: list[float]) -> None:
        await router.schedule("rate(5 minutes)", "tick", Policy(), None, "UTC", None)
        await pass_to(router, now, 3010)  # nobody ran at 08:15, …, 08:50
        await pass_to(router, now, 3299)
        await pass_to(router, now, 3300)

    scheduling(tmp_path / "state", kept, later, now)
    assert times(kept)[2:] == ["08:15:00", "08:55:00"], "made up for once, and in its phase"

    async def changed(router: Router, now: list[float]) -> None:
        await router.schedule("rate(1 hour)", "tick", Policy(), None, "UTC", None)
        await pass_to(router, now, 3300 + 3599)
        await pass_to(router, now, 3300 + 3600)

    scheduling(tmp_path / "state", kept, changed, now)
    assert times(kept)[4:] == ["09:55:00"]


@pytest.mark.promise(148)
def test_cron_has_a_zone_and_at_is_once(kept: Kept, tmp_path: Path) -> None:
    now = [START]

    async def work(router: Router, now: list[float]) -> None:
        await router.schedule("cron(30 10 * * ? *)", "tick", Policy(), "daily", "Europe/Berlin", {"n": 1})
        await router.schedule("at(2027-01-15T09:00:00)", "tick", Policy(), "once", "UTC", {"n": 2})
        await router.schedule("at(2027-01-15T07:00:00)", "tick", Policy(), "past", "UTC", {"n": 3})
        for seconds in (3599, 3600, 5399, 5400, 5400 + 86_399):
            await pass_to(router, now, seconds)
        assert kept.by("tick") == [{"n": 2}, {"n": 1}]
        await router.remove("daily")
        await pass_to(router, now, 10 * 86_400)

    scheduling(tmp_path / "state", kept, work, now)
    scheduling(tmp_path / "state", kept, work_again, now)
    assert kept.by("tick") == [{"n": 2}, {"n": 1}]


async def work_again(router: Router, now: list[float]) -> None:
    await router.schedule("at(2027-01-15T09:00:00)", "tick", Policy(), "once", "UTC", {"n": 2})
    await pass_to(router, now, 20 * 86_400)


@pytest.mark.promise(148)
def test_a_clock_that_was_wrong_stops_no_schedule(kept: Kept, tmp_path: Path) -> None:
    now = [START + 365 * 86_400]

    async def wrong(router: Router, now: list[float]) -> None:
        await router.schedule("rate(1 hour)", "tick", Policy(), None, "UTC", None)

    async def right(router: Router, now: list[float]) -> None:
        await router.schedule("rate(1 hour)", "tick", Policy(), None, "UTC", None)
        await pass_to(router, now, 0)
        await pass_to(router, now, 3600)

    scheduling(tmp_path / "state", kept, wrong, now)
    now[0] = START
    scheduling(tmp_path / "state", kept, right, now)
    assert times(kept) == ["09:00:00"]


@pytest.mark.promise(148)
def test_by_the_machines_clock(engine: Engine, kept: Kept) -> None:
    due = datetime.now(UTC) + timedelta(seconds=4)  # so that it is not over before the rule is there
    expression = f"at({due:%Y-%m-%dT%H:%M:%S})"
    rule = engine.schedule(expression, kept.function(engine, "once"), event={"n": 1})
    until(lambda: kept.by("once") == [{"n": 1}])
    rule.remove()


TICKS = f"""
import sys, threading
from engine import Engine
from engine.routing import schedules
schedules._SECONDS["minute"] = 0.125
state, kept = sys.argv[1:]
engine = Engine(state=state)
tick = engine.function("bus:keep", code={str(FUNCTIONS)!r}, name="tick", environment={{"KEPT": kept}})
engine.schedule("rate(1 minute)", tick)
print("up", flush=True)
threading.Event().wait()
"""


@pytest.mark.slow
@pytest.mark.promise(148)
def test_each_time_is_put_once_whatever_kills_it(kept: Kept, tmp_path: Path) -> None:
    for _ in range(4):
        before = len(kept.lines())
        command = [sys.executable, "-c", TICKS, str(tmp_path / "state"), str(kept.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "up\n"
            until(lambda before=before: len(kept.lines()) > before + 1)
            time.sleep(random.random() * 0.2)  # any moment between two of them
            os.kill(process.pid, signal.SIGKILL)
    requests: dict[str, set[str]] = {}
    for line in kept.lines():
        requests.setdefault(line["event"]["id"], set()).add(line["request"])
    assert len(requests) >= 8
    assert all(len(each) == 1 for each in requests.values()), "run again, maybe, but put once"


@pytest.mark.promise(145)
def test_awaited(kept: Kept, tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncEngine(state=tmp_path / "state") as engine:
            function = await engine.function(
                "bus:keep", code=str(FUNCTIONS), name="f", environment={"KEPT": str(kept.path)}, concurrency=2
            )
            rule = await engine.on({"n": [{"numeric": [">=", 0]}]}, function)
            await engine.schedule("rate(5 minutes)", function)
            bus = await engine.bus()
            assert sum(await asyncio.gather(*(bus.put({"n": n}) for n in range(-100, 100)))) == 100
            await rule.remove()
            assert await bus.put({"n": 1}) == 0
        with pytest.raises(EngineClosed):
            await bus.put({"n": 1})
        async with AsyncEngine(state=tmp_path / "state") as engine:
            await engine.function(
                "bus:keep", code=str(FUNCTIONS), name="f", environment={"KEPT": str(kept.path)}
            )
            await engine.on({"none": ["of these"]}, "f")
            while {event["n"] for event in kept.by("f")} != set(range(100)):
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 60))
