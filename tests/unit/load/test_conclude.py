"""Figures of a record: the knee near what a target can serve, and nowhere else because of one slow stage; confidence
intervals that hold what they promise, for seconds that differ, and say nothing where they cannot."""

from __future__ import annotations

import math
import random
from collections import Counter

import msgspec
import pytest
from virtual import Station, run_open

from engine.load import conclude
from engine.load.conclude import estimates, knee, stages
from engine.load.generate.arrivals import Stages, ramp
from engine.load.generate.record import Interval, Record, Tally
from engine.load.result import QUANTILES, Knee, StageResult

MS = 1_000_000


def ramped(schedule: Stages, capacity: float) -> Knee | None:
    """What is found of a ramp against one server in simulated time."""
    record = run_open(Station(service=1 / capacity), schedule, Record(stages=schedule.stages))
    return knee(stages(record, schedule.stages, 0.0))


def stage(rate: float, p99: float = 1.0, **more: object) -> StageResult:
    """Ten seconds, all answered. p99 in ms."""
    count, p99 = round(rate * 10), round(p99 * MS)
    made = StageResult(
        begin=0.0, end=10.0, rate=rate, offered=count, ok=count, failed=0, throttled=0,
        p50=MS // 2, p99=p99, p999=p99, most=p99,
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("capacity", [50.0, 200.0, 500.0])
@pytest.mark.slow
def test_it_lies_near_what_a_server_can_serve(capacity: float, seed: int) -> None:
    dwell = 2 + 400 / capacity  # of few requests in a stage, chance makes much
    found = ramped(ramp(0.1 * capacity, 1.5 * capacity, 0.1 * capacity, dwell, seed=seed), capacity)
    assert found is not None
    assert found.lost is not None
    assert 0.75 <= found.kept / capacity <= 1.05
    assert found.lost == pytest.approx(found.kept + 0.1 * capacity)
    assert "p99" in found.why


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.slow
def test_a_ramp_above_the_capacity_from_its_start_has_none(seed: int) -> None:
    found = ramped(ramp(300, 600, 50, 4, seed=seed), 200)
    assert found is not None
    assert (found.kept, found.lost) == (0, 300)
    assert "longer and longer" in found.why


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_ramp_below_the_capacity_keeps_all(seed: int) -> None:
    assert ramped(ramp(20, 120, 20, 4, seed=seed), 200) == Knee(120, None, "")


def test_one_slow_stage_is_no_limit() -> None:
    for slow in range(8):
        ramp_ = [stage(100 * n, 80 if n == slow + 1 else 1) for n in range(1, 10)]
        assert knee(ramp_) == Knee(900, None, "")


def test_slow_first_stages_set_no_low_limit_and_hide_no_knee() -> None:
    """Workers that sleep between calls; then one that is busy is quicker; then too much."""
    p99s = [3, 3, 2, 1, 1, 1, 4, 40, 400]
    found = knee([stage(100 * n, p99) for n, p99 in enumerate(p99s, 1)])
    assert found == Knee(700, 800, "p99 40.0 ms, more than 5 times the 3.00 ms of the first stages")


def test_what_is_not_answered_is_not_kept_however_quick_the_rest_is() -> None:
    found = knee(
        [stage(100), stage(200), stage(300, ok=2900, throttled=100), stage(400, ok=3000, throttled=1000)]
    )
    assert found == Knee(200, 300, "96.7 % of what was offered was answered rightly")


def test_fewer_arrivals_than_scheduled_are_no_failure() -> None:
    """Poisson's own variation."""
    assert knee([stage(100, offered=950, ok=950), stage(200)]) == Knee(200, None, "")


def test_a_run_that_was_cut_short_ends_where_it_was() -> None:
    assert knee([stage(100), stage(200), stage(300, offered=0, ok=0, p50=0, p99=0)]) == Knee(200, None, "")


def test_what_is_no_ramp_has_none() -> None:
    assert knee([]) is None
    assert knee([stage(100)]) is None
    assert knee([stage(100), stage(100)]) is None
    assert knee([stage(100), stage(1000), stage(100)]) is None
    assert knee([stage(100, offered=0, ok=0), stage(200, offered=0, ok=0)]) is None


MEDIAN = 100_000


def second(draw: random.Random, requests: int = 150, level: float = 0.0) -> Interval:
    """Log-normal latencies, all of them slower or faster together by the second's level."""
    mean = math.log(MEDIAN) + (draw.gauss(0, level) if level else 0.0)
    values = Tally(round(draw.lognormvariate(mean, 0.5)) for _ in range(requests))
    return Interval(offered=requests, ended=Counter(ok=requests), latency=values)


def test_the_value_is_that_of_all_requests_and_lies_within() -> None:
    draw = random.Random(1)
    run = [second(draw, 2000, 0.1) for _ in range(10)]
    whole = Tally()
    for it in run:
        whole.merge(it.latency)
    found = estimates(run)
    assert found.keys() == {*QUANTILES, "goodput"}
    assert [found[name].value for name in QUANTILES] == whole.quantiles(*QUANTILES.values())
    assert all(it.low <= it.value <= it.high for it in found.values())
    assert found["p50"].low < found["p50"].high


@pytest.mark.parametrize("seconds", [5, 12])
@pytest.mark.slow
def test_nineteen_of_twenty_hold_the_truth_when_seconds_differ(
    seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The median of all seconds that there could be is known here. Intervals of single requests would be five times
    too narrow; those of five seconds would be, too, without Student's t."""
    monkeypatch.setattr(conclude, "REPLICATES", 400)
    draw = random.Random(seconds)
    runs = 150
    held = 0
    for seed in range(runs):
        found = estimates([second(draw, 40, 0.4) for _ in range(seconds)], seed)["p50"]
        held += found.low <= MEDIAN <= found.high
    print(f"{held} of {runs} intervals of {seconds} seconds hold the true median")
    assert 0.90 <= held / runs <= 0.995


def test_more_seconds_make_narrower_intervals() -> None:
    draw = random.Random(3)
    few, many = (estimates([second(draw, 100, 0.2) for _ in range(n)])["p50"] for n in (8, 128))
    assert 2.5 < (few.high - few.low) / (many.high - many.low) < 9  # four by the root, and more by Student


def test_goodput_is_right_answers_per_second() -> None:
    run = [Interval(offered=10, ended=Counter(ok=ok, error=10 - ok)) for ok in (4, 8, 6, 6, 6, 6)]
    found = estimates(run)
    assert found.keys() == {"goodput"}  # no request has a latency
    assert found["goodput"].value == 6
    assert 4 <= found["goodput"].low < 6 < found["goodput"].high <= 8


def test_nothing_is_said_of_too_few() -> None:
    draw = random.Random(4)
    run = [second(draw, 100) for _ in range(5)]
    assert estimates(run[:4]) == {}
    assert estimates([]) == {}
    assert estimates(run).keys() == {"p50", "p90", "goodput"}  # of 500, five are beyond the p99
    assert estimates([*run, *run]).keys() == {"p50", "p90", "p99", "goodput"}


def test_seconds_without_requests_are_seconds() -> None:
    run = [second(random.Random(5), 300), *(Interval() for _ in range(5))]
    found = estimates(run)
    assert found["goodput"].value == 50
    assert found["p50"].low == found["p50"].high == found["p50"].value


def test_the_same_seed_is_the_same_interval() -> None:
    draw = random.Random(6)
    run = [second(draw, 100, 0.2) for _ in range(8)]
    assert estimates(run, 1) == estimates(run, 1)
    assert estimates(run, 1) != estimates(run, 2)
