"""Figures in words: the right unit on either side of each border, and no rounding to none or to all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.load.words import NONE, duration, rate, share


@pytest.mark.parametrize(
    ("ns", "said"),
    [
        (0, "0 ns"), (850, "850 ns"), (999, "999 ns"), (999.5, "1.00 µs"), (1000, "1.00 µs"),
        (12_345, "12.3 µs"), (123_456, "123 µs"), (999_400, "999 µs"), (999_500, "1.00 ms"),
        (1_234_567, "1.23 ms"), (9_996_000, "10.0 ms"), (99_960_000, "100 ms"), (1e9, "1.00 s"),
        (3.6e12, "3,600 s"), (math.inf, NONE), (math.nan, NONE),
    ],
)  # fmt: skip
def test_durations(ns: float, said: str) -> None:
    assert duration(ns) == said


@pytest.mark.parametrize(
    ("per_second", "said"),
    [
        (0, "0/s"), (0.25, "0.25/s"), (0.333, "0.33/s"), (1 / 360, "0.0028/s"), (12.5, "12.5/s"),
        (70, "70/s"), (99.96, "100/s"), (100, "100/s"), (20_000.4, "20,000/s"), (1_234_567, "1,234,567/s"),
        (math.nan, NONE),
    ],
)  # fmt: skip
def test_rates(per_second: float, said: str) -> None:
    assert rate(per_second) == said


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (0, "0 %"), (1e-9, "< 0.01 %"), (0.0001, "0.01 %"), (0.0123, "1.23 %"), (0.5, "50 %"),
        (0.123456, "12.3 %"), (0.9987, "99.87 %"), (1 - 1e-9, "> 99.99 %"), (1, "100 %"), (math.nan, NONE),
    ],
)  # fmt: skip
def test_shares(fraction: float, said: str) -> None:
    assert share(fraction) == said


@given(st.floats(1, 3.6e12))
def test_a_duration_says_what_it_is(ns: float) -> None:
    number, unit = duration(ns).replace(",", "").split(" ")
    size = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]
    assert float(number) * size == pytest.approx(ns, rel=0.006, abs=0.5)
    assert len(number.replace(".", "")) <= 4
    assert float(number) < 1000 or unit == "s"


@given(st.floats(0, 1))
def test_a_share_is_all_or_nothing_only_when_it_is(fraction: float) -> None:
    assert (share(fraction) == "0 %") == (fraction == 0)
    assert (share(fraction) == "100 %") == (fraction == 1)
