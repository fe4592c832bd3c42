"""Quantities as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.load.words import nanoseconds, plain, quantity, seconds


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (90, 90), (1.5, 1.5), (0, 0), ("90", 90), ("90s", 90), (" 90 s ", 90), ("1.5m", 90), ("500ms", 0.5),
        ("2h", 7200), (".5", 0.5), ("5.", 5),
    ],
)  # fmt: skip
def test_durations(written: Any, meant: float) -> None:
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
    ("value", "said"),
    [(2000.0, "2,000"), (0.25, "0.25"), (0, "0"), (1e7, "10,000,000"), (1e-9, "1e-09"),
     (2**63 - 1, "9,223,372,036,854,775,807")],
)  # fmt: skip
def test_numbers_without_what_they_need_not(value: float, said: str) -> None:
    assert plain(value) == said


@given(st.integers(0, 10**9), st.sampled_from(["", "s", "ms", "%", "/s", "µs"]))
def test_a_number_and_its_unit(number: int, unit: str) -> None:
    assert quantity(f"{number}{unit}") == quantity(f" {number} {unit}") == (number, unit)
