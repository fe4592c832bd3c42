"""Traces: what is written is read, what is replayed is in order, what is made up has the shape that it should."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traces import write

from engine.load.generate.arrivals import COLUMNS, Invocation, Trace, read, synthesize

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
    ("text", "said"),
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
def test_what_is_no_trace(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text.format(head=",".join(COLUMNS)))
    with pytest.raises(ValueError, match=said):
        Trace(path)


def test_a_speed_and_a_size_that_make_no_sense(tmp_path: Path) -> None:
    write(tmp_path / "trace.csv", [Invocation(0, 1, "a", "f")])
    with pytest.raises(ValueError, match="above 0, not 0"):
        Trace(tmp_path / "trace.csv", speed=0)
    with pytest.raises(ValueError, match="0 functions"):
        synthesize(0, 1, 1)
