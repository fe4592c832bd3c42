"""What C counts of outcomes is what Python makes of each: the buckets, the minutes, the numbers."""

from __future__ import annotations

import math
import struct
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._observe import OutcomeCounts
from engine.observe.outcomes import Throttle
from engine.observe.points import Point, bucket
from engine.observe.records import InvocationRecord

DAYS = 60_000 * 1440
times = st.floats(0, 20_000 * DAYS) | st.integers(0, 30_000_000).map(lambda minute: minute * 60_000.0)
durations = st.integers(0, 2**62) | st.integers(0, 10**10) | st.integers(0, 63).map(lambda bits: 2**bits - 1)
aliases = st.sampled_from(("", "arn:a", "arn:b", "ärn:ü"))


def record(at: float, took: int, **more: Any) -> InvocationRecord:
    return InvocationRecord("id", at, took, 0, **more)


@pytest.mark.promise(328)
@given(st.lists(durations, min_size=1, max_size=300))
@settings(deadline=None)
def test_the_buckets_are_those_of_points(took: list[int]) -> None:
    took = [each // len(took) for each in took]  # their sum has 64 bits
    counts = OutcomeCounts()
    counts.ended([record(1e14, each) for each in took])
    point, expected = Point(buckets={}), Point(buckets={})
    for _, alias, *_, values in counts.take():
        assert alias == ""
        point.merge(Point(sum(values[3].values()), *values))
    for each in took:
        expected.add(each / 1e6)
    assert point.buckets == expected.buckets
    assert (point.count, point.low, point.high) == (expected.count, expected.low, expected.high)
    assert math.isclose(point.sum, sum(took) / 1e6, rel_tol=1e-12)


def test_each_bucket_begins_where_that_of_points_does() -> None:
    """Around each bound of it, and with what floats make of nanoseconds."""
    edges = {round((64 + sub) / 64 * 2.0**exponent * 1e6) for exponent in range(-20, 31) for sub in range(64)}
    counts = OutcomeCounts()
    for edge in sorted(edges):
        for took in (edge - 1, edge, edge + 1):
            counts.ended([record(6e13, took)])
            ((*_, values),) = counts.take()
            assert list(values[3].items()) == [(bucket(took / 1e6), 1.0)], took


@pytest.mark.promise(328)
@given(st.lists(st.tuples(times, st.integers(0, 10**12), aliases), max_size=200))
@settings(deadline=None)
def test_an_outcome_belongs_to_the_minute_of_its_beginning(outcomes: list[tuple[float, int, str]]) -> None:
    counts = OutcomeCounts()
    expected: dict[tuple[int, str], list[int]] = {}
    for at, took, alias in outcomes:
        counts.ended([record(at, took, alias=alias)])
        expected.setdefault((int((at - took / 1e6) // 60_000), alias), []).append(took)
    taken = {(minute, alias): more for minute, alias, *more in counts.take()}
    assert {key: (more[0], round(more[-1][0] * 1e6)) for key, more in taken.items()} == {
        key: (len(took), round(sum(took) / 1e6 * 1e6)) for key, took in expected.items()
    }


@pytest.mark.promise(328)
@given(st.lists(st.tuples(st.integers(0, 20_000 * DAYS * 1000), st.integers(0, 10**12)), max_size=200))
@settings(deadline=None)
def test_what_ended_quietly_is_counted_as_its_records_would_be(outcomes: list[tuple[int, int]]) -> None:
    quiet, usual = OutcomeCounts(), OutcomeCounts()
    quiet.quiet(b"".join(struct.pack("qq", *each) for each in outcomes))
    usual.ended([record(micros / 1e3, took) for micros, took in outcomes])
    assert quiet.take() == usual.take()
    with pytest.raises(TypeError):
        quiet.quiet("x")  # type: ignore[arg-type]


@pytest.mark.promise(328)
@given(
    st.lists(
        st.tuples(st.sampled_from(("success", "failure", "error", "timeout")), st.integers(0, 2), aliases)
    ),
    st.lists(st.tuples(st.floats(0, 2e9), aliases)),
)
@settings(deadline=None)
def test_the_numbers_are_those_of_the_records(
    outcomes: list[tuple[str, int, str]], throttles: list[tuple[float, str]]
) -> None:
    counts = OutcomeCounts()
    counts.throttled([Throttle(at, "reason", alias) for at, alias in throttles])
    counts.ended([record(6e13 + 1, 5, status=s, provisioned=p, alias=a) for s, p, a in outcomes])
    expected: dict[tuple[int, str], list[int]] = {}
    for status, provisioned, alias in outcomes:
        row = expected.setdefault((1_000_000_000, alias), [0] * 5)
        row[0] += 1
        row[1] += status != "success"
        row[3] += provisioned == 1
        row[4] += provisioned == 2
    for at, alias in throttles:
        expected.setdefault((int(at // 60), alias), [0] * 5)[2] += 1
    assert {(minute, alias): more for minute, alias, *more, _ in counts.take()} == expected
    assert counts.take() == []


@pytest.mark.parametrize(
    "wrong",
    (
        record(math.nan, 1), record(math.inf, 1), record(1e300, 1), record(1.0, 2**70), record(1.0, "x"),  # type: ignore[arg-type]
        record(1.0, 1, alias=None), record(1.0, 1, status=7), record(1.0, 1, provisioned=None), object(),
    ),
)  # fmt: skip
def test_what_is_no_record_is_not_counted(wrong: Any) -> None:
    counts = OutcomeCounts()
    with pytest.raises((ValueError, TypeError, OverflowError, AttributeError)):
        counts.ended([record(6e13, 1), wrong, record(6e13, 1)])
    assert [row[2] for row in counts.take() if row[2]] == [1]
    with pytest.raises(TypeError):
        counts.ended((record(6e13, 1),))  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError, AttributeError)):
        counts.throttled([object()])  # type: ignore[list-item]


def test_no_reference_is_left() -> None:
    alias = "arn:" + "x" * 20
    records = [record(6e13 + n * 1e5, n, alias=alias) for n in range(50)]
    before = sys.getrefcount(alias)
    for _ in range(20):
        counts = OutcomeCounts()
        counts.ended(records)
        rows = counts.take()
        counts.ended(records)
    del counts, rows
    assert sys.getrefcount(alias) == before
