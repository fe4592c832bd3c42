"""Points: what they add up to, and how near their percentiles are."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from engine.observe.points import (
    Point,
    bounds,
    bucket,
    decode,
    encode,
    merged,
    of_summary,
    percentile,
    rank,
    trimmed,
)

NUMBERS = st.floats(-1e100, 1e100, allow_nan=False)


def point_of(values: list[float]) -> Point:
    point = Point(buckets={})
    for value in values:
        point.add(value)
    return point


@given(NUMBERS)
def test_a_value_lies_in_its_bucket(value: float) -> None:
    low, high = bounds(bucket(value))
    assert low <= value <= high
    assert high - low <= abs(value) / 32


@given(NUMBERS, NUMBERS)
def test_buckets_are_in_the_order_of_their_values(one: float, other: float) -> None:
    assert one > other or bucket(one) <= bucket(other)


@given(
    st.lists(st.floats(0.001, 1e9), min_size=1, max_size=200), st.sampled_from([1, 25, 50, 90, 99, 99.9, 100])
)
def test_a_percentile_is_at_most_a_bucket_off(values: list[float], percent: float) -> None:
    wanted = sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]
    assert abs(percentile(point_of(values), percent) - wanted) <= wanted / 32


@given(st.lists(NUMBERS | st.integers(-(10**9), 10**9) | st.booleans(), min_size=1, max_size=9))
def test_what_was_added_is_read_back(values: list[float]) -> None:
    point = point_of(values)
    assert decode(encode(point)) == point


@given(st.lists(NUMBERS, max_size=50), st.lists(NUMBERS, max_size=50))
def test_merged_is_as_added(one: list[float], other: list[float]) -> None:
    whole, parts = point_of(one + other), merged([point_of(one), point_of(other)])
    assert (whole.count, whole.low, whole.high, whole.buckets) == (
        parts.count, parts.low, parts.high, parts.buckets,
    )  # fmt: skip
    assert decode(encode(whole)) == whole


def test_a_trimmed_sum_and_a_rank() -> None:
    values = [random.Random(7).uniform(10, 1000) for _ in range(5000)]
    point = point_of(values)
    count, total = trimmed(point, 0, 4500)
    wanted = sum(sorted(values)[:4500])
    assert count == 4500 and abs(total - wanted) < wanted / 100
    assert abs(rank(point, 505) - sum(value <= 505 for value in values)) < 60


def test_a_summary_has_no_percentiles_unless_it_is_one_value() -> None:
    assert not of_summary(10, 55, 1, 10).whole
    assert of_summary(10, 50, 5, 5).whole
