"""Confidence intervals: they hold what they promise, for seconds that differ, and say nothing where they cannot."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from engine.load import estimate
from engine.load.estimate import estimates
from engine.load.generate.record import Interval
from engine.load.generate.tally import Tally
from engine.load.result import QUANTILES

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


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [5, 12])
def test_nineteen_of_twenty_hold_the_truth_when_seconds_differ(
    seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The median of all seconds that there could be is known here. Intervals of single requests would be five times
    too narrow; those of five seconds would be, too, without Student's t."""
    monkeypatch.setattr(estimate, "REPLICATES", 400)
    draw = random.Random(seconds)
    runs = 150
    held = 0
    for seed in range(runs):
        found = estimates([second(draw, 40, 0.4) for _ in range(seconds)], seed)["p50"]
        held += found.low <= MEDIAN <= found.high
    print(f"{held} of {runs} intervals of {seconds} seconds hold the true median")
    assert 0.90 <= held / runs <= 0.995


@pytest.mark.slow
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
