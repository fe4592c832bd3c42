"""Figures in words: the right unit on either side of each border, no rounding to none or to all; and quantities as
people write them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.load.words import NONE, duration, nanoseconds, plain, quantity, rate, seconds, share


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0 ns"), (850, "850 ns"), (999, "999 ns"), (999.5, "1.00 µs"), (1000, "1.00 µs"),
        (12_345, "12.3 µs"), (123_456, "123 µs"), (999_400, "999 µs"), (999_500, "1.00 ms"),
        (1_234_567, "1.23 ms"), (9_996_000, "10.0 ms"), (99_960_000, "100 ms"), (1e9, "1.00 s"),
        (3.6e12, "3,600 s"), (math.inf, NONE), (math.nan, NONE),
    ],
)  # fmt: skip
def test_durations(ns: float, expected: str) -> None:
    assert duration(ns) == expected


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [
        (0, "0/s"), (0.25, "0.25/s"), (0.333, "0.33/s"), (1 / 360, "0.0028/s"), (12.5, "12.5/s"),
        (70, "70/s"), (99.96, "100/s"), (100, "100/s"), (20_000.4, "20,000/s"), (1_234_567, "1,234,567/s"),
        (math.nan, NONE),
    ],
)  # fmt: skip
def test_rates(per_second: float, expected: str) -> None:
    assert rate(per_second) == expected


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0, "0 %"), (1e-9, "< 0.01 %"), (0.0001, "0.01 %"), (0.0123, "1.23 %"), (0.5, "50 %"),
        (0.123456, "12.3 %"), (0.9987, "99.87 %"), (1 - 1e-9, "> 99.99 %"), (1, "100 %"), (math.nan, NONE),
    ],
)  # fmt: skip
def test_shares(fraction: float, expected: str) -> None:
    assert share(fraction) == expected


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


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (90, 90), (1.5, 1.5), (0, 0), ("90", 90), ("90s", 90), (" 90 s ", 90), ("1.5m", 90), ("500ms", 0.5),
        ("2h", 7200), (".5", 0.5), ("5.", 5),
    ],
)  # fmt: skip
def test_durations_as_they_are_written(written: Any, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    "written",
    [-1, True, None, float("nan"), float("inf"), 10**400, "", "-1", "1 week", "1e3", "nan", "1us", "s", "1s2",
     "9" * 400, []],
)  # fmt: skip
def test_what_is_no_duration(written: Any) -> None:
    with pytest.raises(ValueError, match="write a duration: 90 .seconds., 90s"):
        seconds(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("800ns", 800), ("50us", 5e4), ("50µs", 5e4), ("50\u03bcs", 5e4), ("5 ms", 5e6), ("1.5s", 1.5e9)],
)
def test_latencies(written: str, meant: float) -> None:
    assert nanoseconds(written) == pytest.approx(meant)


@pytest.mark.parametrize("written", ["5", "5m", "ms", "-5ms", "5%", ""])
def test_what_is_no_latency(written: str) -> None:
    with pytest.raises(ValueError, match="write a latency and its unit: 800ns"):
        nanoseconds(written)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2000.0, "2,000"), (0.25, "0.25"), (0, "0"), (1e7, "10,000,000"), (1e-9, "1e-09"),
     (2**63 - 1, "9,223,372,036,854,775,807")],
)  # fmt: skip
def test_numbers_without_what_they_need_not(value: float, expected: str) -> None:
    assert plain(value) == expected


@given(st.integers(0, 10**9), st.sampled_from(["", "s", "ms", "%", "/s", "µs"]))
def test_a_number_and_its_unit(number: int, unit: str) -> None:
    assert quantity(f"{number}{unit}") == quantity(f" {number} {unit}") == (number, unit)
