"""Tallies against the hdrhistogram package: the same counts, the same quantiles."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.load.generate.arrivals import Stage
from engine.load.generate.record import HIGHEST, Record, Response, Tally, upper

hdrh = pytest.importorskip("hdrh.histogram", reason="pip install stoker[load]")
VALUES = st.lists(
    st.one_of(st.integers(0, 5000), st.integers(0, HIGHEST), st.sampled_from([2047, 2048, 4095, 4096, HIGHEST])),
    min_size=1, max_size=60,
)  # fmt: skip
WHICH = (0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0)


@pytest.mark.slow
@settings(max_examples=20)  # each makes histograms of 33,792 counters
@given(VALUES)
def test_quantiles_are_those_of_the_package(values: list[int]) -> None:
    """At whole ranks: between them the package rounds to the nearer one, and a quantile is the next one here."""
    theirs = hdrh.HdrHistogram(1, HIGHEST, 3)
    for value in values:
        theirs.record_value(value)
    tally = Tally(values)
    ranks = [rank / len(values) for rank in range(1, len(values) + 1)]
    assert tally.quantiles(*ranks) == [theirs.get_value_at_percentile(100 * rank) for rank in ranks]
    assert tally.histogram().encode() == theirs.encode()
    assert tally.mean() == pytest.approx(theirs.get_mean_value(), rel=1e-3, abs=1)
    assert Tally.of(theirs).counts == tally.counts


@given(VALUES)
def test_a_value_is_known_to_a_thousandth(values: list[int]) -> None:
    ordered = sorted(values)
    for which in WHICH:
        exact = ordered[max(0, -(-int(which * 1_000_000) * len(ordered) // 1_000_000) - 1)]
        [found] = Tally(values).quantiles(which)
        assert exact <= found <= max(exact * 1.001, exact + 1)


@given(VALUES, VALUES)
def test_merged_is_counted_together(one: list[int], other: list[int]) -> None:
    tally = Tally(one)
    tally.merge(Tally(other))
    assert tally.counts == Tally(one + other).counts
    assert len(tally) == len(one) + len(other)


def test_what_is_out_of_range_counts_as_its_end() -> None:
    assert Tally([-5]).quantiles(1.0) == [0]
    assert Tally([HIGHEST * 2]).quantiles(1.0) == [upper(Tally([HIGHEST]).quantiles(1.0)[0])]


def test_nothing_has_no_latency() -> None:
    assert (len(Tally()), Tally().quantiles(0.5, 0.99), Tally().mean()) == (0, [0, 0], 0.0)


def test_its_memory_is_bounded() -> None:
    """Values over twelve orders of magnitude: 1,024 buckets for each doubling, as an HDR histogram has them."""
    tally = Tally(int(1.0007**n) for n in range(41_000))
    assert len(tally) == 41_000
    assert len(tally.counts) <= 2048 + 31 * 1024


@given(
    st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0]), max_size=4),
    st.lists(
        st.one_of(st.integers(-1000, 7 * 10**9), st.sampled_from([10**9, 10**9 - 1, 5 * 10**8])), max_size=40
    ),
)
def test_a_request_counts_in_its_second_and_its_stage(lengths: list[float], offsets: list[int]) -> None:
    """In whichever order they come: the record looks first where the last one was."""
    ends = [sum(lengths[: number + 1]) for number in range(len(lengths))]
    record = Record(stages=[Stage(end - length, end, 1.0) for end, length in zip(ends, lengths, strict=True)])
    for offset in offsets:
        record.send(offset, 0)
        record.receive(offset, 5, Response("ok"))
    seconds = [max(0, offset) // 10**9 for offset in offsets]
    stages = [sum(offset >= end * 1e9 for end in ends[:-1]) for offset in offsets if lengths]
    for intervals, expected in ((record.intervals, seconds), (record.stages, stages)):
        counts = [expected.count(number) for number in range(len(intervals))]
        assert [it.offered for it in intervals] == [it.ended["ok"] for it in intervals] == counts
        assert [len(it.latency) for it in intervals] == counts
