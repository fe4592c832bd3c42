"""The generator in simulated time: it asks when it should whatever the target does, and leaves nothing out."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from virtual import LoopTimer, Station, run_open, simulate

from engine.load.generate.arrivals import Arrival, Stage, Stages, steady
from engine.load.generate.generator import (
    ClosedLoop,
    FineTimer,
    MakeTimer,
    OpenLoop,
    PolledTimer,
    Sender,
)
from engine.load.generate.payloads import Fixed, Template, expectation
from engine.load.generate.record import Record, Response

ECHO = expectation("echo")
MS = 1_000_000


def opened(
    target: Sender, schedule: Any, *, drain: float = 60, warmup: float = 0, payloads: Any = None
) -> Record:
    return run_open(target, schedule, Record(warmup), payloads=payloads, drain=drain)


def closed(target: Sender, callers: int, duration: float) -> Record:
    loop = ClosedLoop(target, callers, duration, Fixed(b"1"), ECHO, Record(), LoopTimer)
    simulate(loop.run(60))
    return loop.record


@pytest.mark.slow
@pytest.mark.promise(80)
def test_a_stall_is_seen_by_an_open_loop_and_not_by_a_closed_one() -> None:
    """One second of each ten: a tenth of all who come wait for up to a second; a closed loop meets ten stalls in a
    hundred seconds and otherwise asks the quicker the quicker it is answered."""
    stalling = {"service": 0.001, "every": 10, "stall": 1}
    honest = opened(Station(**stalling), steady(100, 100, seed=1))
    timer = closed(Station(**stalling), 1, 100)
    print(f"p99 in an open loop {honest.latency.quantiles(0.99)[0] / MS:.0f} ms, ", end="")
    print(f"in a closed one {timer.latency.quantiles(0.99)[0] / MS:.0f} ms")
    assert honest.latency.quantiles(0.99)[0] > 850 * MS
    assert timer.latency.quantiles(0.99)[0] < 2 * MS
    assert timer.latency.quantiles(1.0)[0] > 900 * MS  # it met the stalls all the same


@pytest.mark.promise(80)
def test_requests_go_out_when_they_are_due() -> None:
    """However long the target takes: here, for ever."""
    target = Station(service=1e6)
    schedule = steady(1000, 3, seed=7)
    record = opened(target, schedule, drain=1)
    begin = target.sent[0][0] - next(iter(schedule))[0]
    assert [at - begin for at, _, _ in target.sent] == pytest.approx([at for at, _ in schedule], abs=2e-9)
    assert record.lag.quantiles(1.0)[0] <= 1
    assert record.ended == {"timeout": len(target.sent)}
    assert record.most_in_flight == len(target.sent)
    assert len(record.latency) == 0


@pytest.mark.promise(82)
def test_each_request_is_counted_once_and_in_its_second() -> None:
    schedule = Stages([Stage(0, 1, 10), Stage(1, 2, 30)], process="constant")
    record = opened(Station(service=0.001), schedule, warmup=1)
    assert [it.offered for it in record.intervals] == [10, 30]
    assert [dict(it.ended) for it in record.intervals] == [{"ok": 10}, {"ok": 30}]
    assert (record.sent, record.offered, record.ended, record.in_flight) == (40, 30, {"ok": 30}, 0)
    assert len(record.latency) == len(record.lag) == 30


def test_each_stage_has_what_was_intended_for_it() -> None:
    """Stages need not end with a second."""
    schedule = Stages([Stage(0, 0.5, 10), Stage(0.5, 2, 30)], process="constant")
    record = run_open(Station(service=0.001), schedule, Record(stages=schedule.stages))
    assert [(it.offered, dict(it.ended), len(it.latency)) for it in record.stages] == [
        (5, {"ok": 5}, 5), (45, {"ok": 45}, 45),
    ]  # fmt: skip


def test_waiting_in_the_targets_line_is_latency() -> None:
    """Twice as many as it can serve: the n-th waits for n/2 services."""
    record = opened(Station(service=0.02), steady(100, 1, process="constant"))
    assert record.latency.quantiles(1.0)[0] == pytest.approx(1.01e9, rel=0.002)
    assert record.latency.quantiles(0.5)[0] == pytest.approx(0.51e9, rel=0.02)


class Scripted:
    """Answers by a script, over and over, at once or after a while."""

    def __init__(self, *responses: Response, after: float = 0.0) -> None:
        self.responses = itertools.cycle(responses)
        self.after = after

    def send(self, payload: bytes, function: int, done: Callable[[Response], None]) -> None:
        if self.after:
            asyncio.get_running_loop().call_later(self.after, done, next(self.responses))
        else:
            done(next(self.responses))


@pytest.mark.promise(82)
def test_every_ending_has_its_place() -> None:
    responses = [
        Response("ok", b"1", cold=True, parts={"queue": 1, "execute": 3}), Response("ok", b"1", cold=False),
        Response("ok", b"2"),
        Response("error", why="it raised"), Response("throttle", why="429"), Response("timeout", why="3 s"),
        Response("failure", why="refused"),
    ]  # fmt: skip
    record = opened(Scripted(*responses, after=0.01), steady(70, 1, process="constant"))
    assert record.ended == {"ok": 20, "error": 20, "throttle": 10, "timeout": 10, "failure": 10}
    assert (len(record.cold), len(record.warm), len(record.refused), len(record.latency)) == (10, 10, 10, 60)
    assert record.reasons["error"] == {"not what was sent: '2'": 10, "it raised": 10}
    assert record.reasons["throttle"] == {"429": 10}
    assert {name: tally.quantiles(0.5)[0] for name, tally in record.parts.items()} == {
        "queue": 1,
        "execute": 3,
    }


def test_each_function_has_a_check_of_its_own() -> None:
    """Functions that are more than the checks begin with the first again."""
    schedule = steady(300, 10, seed=1, functions=4)
    target = Station(service=0.0001)
    record = run_open(target, schedule, check=[lambda sent, came: "", lambda sent, came: "of an odd one"])
    odd = sum(function % 2 for _, _, function in target.sent)
    assert 0 < odd < len(target.sent)
    assert record.ended == {"ok": len(target.sent) - odd, "error": odd}
    assert record.reasons == {"error": {"of an odd one": odd}}


def test_a_target_may_answer_at_once_or_twice() -> None:
    class Twice:
        def send(self, payload: bytes, function: int, done: Callable[[Response], None]) -> None:
            done(Response("ok", payload))
            done(Response("error"))

    assert opened(Twice(), steady(100, 1, process="constant")).ended == {"ok": 100}
    assert closed(Scripted(Response("ok", b"1"), after=0.1), 3, 1).ended == {"ok": 30}


def test_a_payload_that_cannot_be_made_ends_the_run_and_says_so() -> None:
    class Broken:
        def make(self, number: int, function: int) -> bytes:
            raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing"):
        opened(Scripted(Response("ok", b"1")), steady(10, 1), payloads=Broken())


def test_an_empty_schedule_is_over_at_once() -> None:
    assert opened(Scripted(Response("ok")), steady(0, 1)).sent == 0


def test_the_same_seed_sends_the_same() -> None:
    def sent(seed: int) -> list[tuple[float, bytes, int]]:
        target = Station(service=0.001)
        opened(target, steady(200, 2, seed=seed, functions=3), payloads=Template('"{{uuid}}"', seed))
        return target.sent

    assert sent(1) == sent(1)
    assert sent(1) != sent(2)


def test_the_answers_reasons_are_bounded() -> None:
    record = Record()
    for number in range(10_000):
        record.send(0, 0)
        record.receive(0, 1, Response("error", why=f"reason {number}"))
    assert sum(record.reasons["error"].values()) == 10_000
    assert len(record.reasons["error"]) <= 21


@pytest.mark.parametrize("kind", [FineTimer, PolledTimer])
class TestRealTimers:
    def test_it_rings_at_its_time_and_not_before(self, kind: MakeTimer) -> None:
        async def main() -> list[int]:
            rang: list[int] = []
            over = asyncio.Event()

            def callback() -> None:
                rang.append(time.monotonic_ns())
                over.set()

            timer = kind(asyncio.get_running_loop(), callback)
            wanted = timer.now() + 3 * MS
            timer.set(wanted + 3600 * 1000 * MS)
            timer.set(wanted)
            await asyncio.wait_for(over.wait(), 10)
            timer.close()
            return [at - wanted for at in rang]

        [late] = asyncio.run(main())
        assert late >= 0

    def test_a_time_that_has_passed_rings_at_once(self, kind: MakeTimer) -> None:
        async def main() -> None:
            over = asyncio.Event()
            timer = kind(asyncio.get_running_loop(), over.set)
            timer.set(-5)
            await asyncio.wait_for(over.wait(), 10)
            timer.close()

        asyncio.run(main())

    def test_it_rings_no_more_once_it_is_closed(self, kind: MakeTimer) -> None:
        async def main() -> None:
            rang: list[int] = []
            timer = kind(asyncio.get_running_loop(), lambda: rang.append(1))
            timer.set(timer.now() - 1)
            timer.close()
            over = asyncio.Event()
            other = kind(asyncio.get_running_loop(), over.set)
            other.set(other.now() + MS)
            await asyncio.wait_for(over.wait(), 10)
            other.close()
            assert not rang

        asyncio.run(main())

    def test_a_run_in_real_time(self, kind: MakeTimer) -> None:
        class Slow:
            """An endless schedule would do as well: arrivals are asked for one by one."""

            duration, functions, stages = 0.2, 1, ()

            def __iter__(self) -> Iterator[Arrival]:
                return iter(steady(500, 0.2, seed=1))

        async def main() -> Record:
            loop = OpenLoop(
                Scripted(Response("ok", b"1"), after=0.001), Slow(), Fixed(b"1"), ECHO, Record(), kind
            )
            await loop.run(10)
            return loop.record

        record = asyncio.run(main())
        assert record.ended == {"ok": len(list(steady(500, 0.2, seed=1)))}
        assert record.latency.quantiles(0.0)[0] >= MS
