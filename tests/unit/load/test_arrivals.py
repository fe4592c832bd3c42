"""Schedules: the same for the same seed, as many arrivals as they promise, in order, with the gaps that they promise.
Traces: what is written is read, what is replayed is in order, what is made up has the shape that it should."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traces import write

from engine.load.generate.arrivals import (
    COLUMNS,
    Invocation,
    Stage,
    Stages,
    Trace,
    bursts,
    ramp,
    read,
    steady,
    synthesize,
)


def times(schedule: Stages) -> list[float]:
    return [at for at, _ in schedule]


@given(
    rate=st.floats(0.1, 500), duration=st.floats(0.1, 10), seed=st.integers(0, 99),
    process=st.sampled_from(["poisson", "constant"]), functions=st.integers(1, 5),
)  # fmt: skip
def test_in_order_within_the_duration_and_the_same_again(
    rate: float, duration: float, seed: int, process: Any, functions: int
) -> None:
    schedule = steady(rate, duration, seed=seed, process=process, functions=functions)
    arrivals = list(schedule)
    assert arrivals == sorted(arrivals, key=lambda arrival: arrival[0])
    assert all(0 <= at < duration and 0 <= number < functions for at, number in arrivals)
    assert arrivals == list(steady(rate, duration, seed=seed, process=process, functions=functions))


def test_another_seed_is_another_schedule() -> None:
    assert times(steady(100, 1, seed=1)) != times(steady(100, 1, seed=2))


def test_more_functions_change_no_time() -> None:
    assert times(steady(100, 1, seed=1)) == times(steady(100, 1, seed=1, functions=7))


@pytest.mark.slow
def test_functions_are_drawn_by_their_weights_and_change_no_time() -> None:
    weights = [80, 15, 0, 5]
    arrivals = list(steady(1000, 100, seed=1, functions=4, weights=weights))
    assert [at for at, _ in arrivals] == times(steady(1000, 100, seed=1))
    drawn = Counter(number for _, number in arrivals)
    assert [drawn[n] / len(arrivals) for n in range(4)] == pytest.approx([0.8, 0.15, 0, 0.05], abs=0.006)
    assert drawn[2] == 0
    assert arrivals == list(steady(1000, 100, seed=1, functions=4, weights=[0.8, 0.15, 0, 0.05]))


def test_a_constant_rate_has_equal_gaps() -> None:
    at = times(steady(50, 2, process="constant"))
    assert len(at) == 100
    assert at[0] == 0
    assert {round(b - a, 9) for a, b in itertools.pairwise(at)} == {0.02}


@pytest.mark.slow
def test_poisson_gaps_are_exponential() -> None:
    """Mean and standard deviation of the gaps are both 1/rate, and 1/e of them are longer than that."""
    at = times(steady(1000, 100, seed=3))
    gaps = [b - a for a, b in itertools.pairwise(at)]
    assert len(at) == pytest.approx(100_000, rel=0.015)  # about five standard deviations
    assert statistics.mean(gaps) == pytest.approx(0.001, rel=0.015)
    assert statistics.pstdev(gaps) == pytest.approx(0.001, rel=0.03)
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), rel=0.03)


def test_a_ramp_offers_each_rate_for_as_long() -> None:
    schedule = ramp(100, 300, 100, 2, process="constant")
    assert schedule.stages == [Stage(0, 2, 100), Stage(2, 4, 200), Stage(4, 6, 300)]
    assert schedule.duration == 6
    counts = [sum(stage.begin <= at < stage.end for at in times(schedule)) for stage in schedule.stages]
    assert counts == [200, 400, 600]


def test_bursts_come_at_the_end_of_each_period() -> None:
    schedule = bursts(10, 1000, every=5, length=1, duration=12, process="constant")
    assert [(stage.begin, stage.end, stage.rate) for stage in schedule.stages] == [
        (0, 4, 10), (4, 5, 1000), (5, 9, 10), (9, 10, 1000), (10, 12, 10),
    ]  # fmt: skip
    assert sum(4 <= at < 5 for at in times(schedule)) == 1000


def test_the_whole_is_never_held() -> None:
    assert list(itertools.islice(steady(20_000, 1e9), 3)) == list(itertools.islice(steady(20_000, 1e6), 3))


@pytest.mark.parametrize(
    ("stages", "more", "message"),
    [
        ([], {}, "at least one stage"),
        ([Stage(0, 0, 1)], {}, "cannot follow on 0"),
        ([Stage(0, 1, 1), Stage(2, 3, 1)], {}, "cannot follow on 1"),
        ([Stage(0, math.inf, 1)], {}, "finite"),
        ([Stage(0, 1, -1)], {}, "0 or more, not -1"),
        ([Stage(0, 1, math.nan)], {}, "0 or more, not nan"),
        ([Stage(0, 1, 1)], {"functions": 0}, "at least 1, not 0"),
        ([Stage(0, 1, 1)], {"process": "uniform"}, "not 'uniform'"),
        ([Stage(0, 1, 1)], {"functions": 2, "weights": [1]}, "as many numbers as functions .2."),
        ([Stage(0, 1, 1)], {"functions": 2, "weights": [1, -1]}, "0 or more"),
        ([Stage(0, 1, 1)], {"functions": 2, "weights": [0, 0]}, "not all 0"),
        ([Stage(0, 1, 1)], {"functions": 2, "weights": [1, math.nan]}, "0 or more"),
    ],
)
def test_what_is_no_schedule(stages: list[Stage], more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stages(stages, **more)


def test_what_is_no_ramp_and_no_burst() -> None:
    with pytest.raises(ValueError, match="a ramp goes up"):
        ramp(10, 5, 1, 1)
    with pytest.raises(ValueError, match="shorter than that"):
        bursts(1, 2, every=1, length=1, duration=5)


SIZES = st.tuples(st.integers(1, 40), st.integers(0, 300), st.floats(1, 20_000), st.integers(0, 9))


@given(SIZES)
def test_exactly_so_many_in_order_and_the_same_again(size: tuple[int, int, float, int]) -> None:
    functions, invocations, seconds, _ = size
    made = list(synthesize(*size))
    assert len(made) == invocations
    assert made == sorted(made)
    assert all(0 <= it.begin < seconds for it in made)
    assert made == list(synthesize(*size))
    assert len({it.func for it in made}) == min(functions, invocations)


@given(SIZES)
def test_what_is_written_is_replayed(
    tmp_path_factory: pytest.TempPathFactory, size: tuple[int, int, float, int]
) -> None:
    made = list(synthesize(*size))
    path = tmp_path_factory.mktemp("traces") / "trace.csv"
    assert write(path, iter(made)) == len(made)
    lines = list(read(path))
    assert [it.end for it in lines] == sorted(it.end for it in lines)
    assert Counter((it.app, it.func) for it in lines) == Counter((it.app, it.func) for it in made)
    if not made:
        with pytest.raises(ValueError, match="no invocation"):
            Trace(path)
        return
    trace = Trace(path, speed=60)
    assert [it.func for it in trace.invocations()] == [it.func for it in made]
    arrivals = list(trace)
    assert arrivals == sorted(arrivals, key=lambda arrival: arrival[0])
    assert [trace.names[number][1] for _, number in arrivals] == [it.func for it in made]
    first = made[0].begin
    assert [at for at, _ in arrivals] == pytest.approx([(it.begin - first) / 60 for it in made], abs=1e-9)
    assert trace.duration == pytest.approx((made[-1].begin - first) / 60)


@pytest.mark.slow
def test_the_shape_of_what_is_made_up() -> None:
    """A day: nearly half of the applications are rare, a tenth of the functions makes most of the invocations, and
    durations go over orders of magnitude."""
    made = list(synthesize(600, 60_000, 86_400, seed=5))
    apps = Counter(it.app for it in made)
    functions = Counter(it.func for it in made)
    assert 0.38 < sum(count <= 24 for count in apps.values()) / len(apps) < 0.60
    busiest = sum(count for _, count in functions.most_common(60))
    assert busiest / len(made) > 0.5
    medians = sorted(
        statistics.median(it.duration for it in made if it.func == func)
        for func, _ in functions.most_common(300)
    )
    assert medians[270] / medians[30] > 100


@pytest.mark.slow
def test_some_run_by_a_timer_and_some_in_bursts() -> None:
    made = list(synthesize(300, 60_000, 3600, seed=5))
    regular, bursty = 0, 0
    functions = [func for func, count in Counter(it.func for it in made).items() if count >= 100]
    for func in functions:
        at = [it.begin for it in made if it.func == func]
        gaps = [b - a for a, b in itertools.pairwise(at)]
        variation = statistics.pstdev(gaps) / statistics.mean(gaps)  # 0: a timer; 1: Poisson; more: bursts
        regular += variation < 0.01
        bursty += variation > 1.5
    assert 0.15 < regular / len(functions) < 0.45
    assert 0.15 < bursty / len(functions) < 0.45


def test_one_that_ends_late_is_replayed_when_it_began(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("app,func,end_timestamp,duration\na,quick,11,1\na,quick,21,1\na,slow,100,99\n")
    assert [(it.func, it.begin) for it in Trace(path).invocations()] == [
        ("slow", 1),
        ("quick", 10),
        ("quick", 20),
    ]
    assert list(Trace(path, speed=2)) == [(0, 1), (4.5, 0), (9.5, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must be app,func,end_timestamp,duration"),
        ("app,func\n", "first line must be"),
        ("{head}\na,b,1\n", "line 2: app,func and two numbers of seconds are expected, not 'a,b,1'"),
        ("{head}\na,b,1,x\n", "line 2"),
        ("{head}\na,b,1,-1\n", "line 2"),
        ("{head}\na,b,nan,1\n", "line 2"),
        ("{head}\na,b,1,1,1\n", "line 2"),
        (
            "{head}\na,b,5,1\na,b,4,1\n",
            "line 3: it ended at 4.0, before the line above it: sort by end_timestamp",
        ),
        ("{head}\n", "there is no invocation in it"),
    ],
)
def test_what_is_no_trace(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text.format(head=",".join(COLUMNS)))
    with pytest.raises(ValueError, match=message):
        Trace(path)


def test_a_speed_and_a_size_that_make_no_sense(tmp_path: Path) -> None:
    write(tmp_path / "trace.csv", [Invocation(0, 1, "a", "f")])
    with pytest.raises(ValueError, match="above 0, not 0"):
        Trace(tmp_path / "trace.csv", speed=0)
    with pytest.raises(ValueError, match="0 functions"):
        synthesize(0, 1, 1)
