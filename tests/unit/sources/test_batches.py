"""Batches by size, window and bytes; how many pollers there may be; how long failures wait."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import limits
from engine.sources import backoff, batches, scale
from engine.sources.batches import Encoded, Gathering


def encoded(id: int, size: int, group: str = "") -> Encoded:
    return Encoded(str(id), group, b'"' + b"x" * size + b'"')


@pytest.mark.promise(157)
def test_a_batch_is_over_by_size_by_time_or_by_bytes() -> None:
    gathering = Gathering(size=3, window=5.0)
    assert gathering.left(100.0) == 5.0  # its time begins with its first record
    gathering.add([10], 101.0)
    assert (gathering.left(103.0), gathering.missing) == (3.0, 2)
    assert gathering.left(107.0) == 0.0
    gathering.add([10], 103.0)
    gathering.add([10], 103.0)
    assert (gathering.left(103.0), gathering.missing) == (0.0, 0)
    large = Gathering(size=100, window=5.0)
    for _ in range(6):
        large.add([limits.MIB], 0.0)
    assert large.left(0.0) == 0.0
    assert Gathering(size=10, window=0.0).left(0.0) == 0.0


@pytest.mark.promise(157)
@given(st.lists(st.integers(0, 3 * limits.MIB), max_size=12), st.integers(1, 5))
def test_batches_hold_every_record_in_order_and_no_more_than_they_may(sizes: list[int], most: int) -> None:
    records = [encoded(n, size) for n, size in enumerate(sizes)]
    found = batches.split(records, most)
    assert [each for batch in found for each in batch] == records
    for batch in found:
        assert 1 <= len(batch) <= most
        assert len(batches.event(batch)) <= limits.EVENT_BYTES
    for batch, later in itertools.pairwise(found):  # none is smaller than it must be
        assert (
            len(batch) == most or len(batches.event([*batch, later[0]])) > limits.EVENT_BYTES - batches.FRAME
        )


def test_an_event_and_its_groups() -> None:
    records = [encoded(n, 1, group) for n, group in enumerate("abcab")]
    assert json.loads(batches.event(records)) == {"Records": ["x"] * 5}
    assert [[each.id for each in group] for group in batches.by_group(records)] == [
        ["0", "3"],
        ["1", "4"],
        ["2"],
    ]


@pytest.mark.promise(159)
def test_pollers_grow_with_a_backlog_and_go_with_it() -> None:
    pollers = scale.Scale(None, 0.0)
    assert pollers.limit == 5
    for tenth in range(1, 601):
        pollers.observe(tenth / 10, True)
    assert pollers.limit == 5 + 300  # a minute later
    for second in range(61, 1000):
        pollers.observe(second, True)
    assert pollers.limit == scale.MOST
    assert pollers.observe(2000.0, False) == 5
    assert pollers.observe(5000.0, True) == 10  # an hour of silence was no backlog
    bounded = scale.Scale(2, 0.0)
    assert bounded.limit == 2
    assert bounded.observe(100.0, True) == 2
    assert scale.Scale(8, 0.0).observe(1.0, True) == 8


@given(st.integers(0, 2000))
def test_failures_wait_longer_but_not_for_ever(failures: int) -> None:
    longest = backoff.delay(failures, lambda low, high: high)
    assert longest <= backoff.MOST
    assert longest <= backoff.delay(failures + 1, lambda low, high: high)
    assert longest / 2 <= backoff.delay(failures) <= longest
