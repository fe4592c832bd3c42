"""What a run must keep: read from a few characters, held against what it found."""

from __future__ import annotations

from typing import Any

import pytest
from results import NOTHING

from engine.load.result import Distribution, Result
from engine.load.scenario.criteria import broken, criterion, failing


def found(**more: Any) -> Result:
    values: dict[str, Any] = {
        "stoker": "0", "name": "n", "target": "t", "arrivals": "a", "payload": "p", "seed": 1, "started": "",
        "duration": 10.0, "warmup": 0.0, "offered": 1000, "rate": 100.0, "goodput": 97.0,
        "ended": {"ok": 970, "error": 3, "timeout": 5, "failure": 2, "throttle": 20},
        "latency": Distribution(
            980, 2e6, 1, p50=1_000_000, p90=2_000_000, p99=5_000_000, p999=9_000_000, most=80_000_000
        ),
        **more,
    }  # fmt: skip
    return Result(**values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p99<6ms", ""), ("p99<=5ms", ""), (" p99 <= 5000us ", ""), ("p50>900us", ""), ("p99.9<10ms", ""), ("max<0.1s",
         ""),
        ("p99<5ms", "p99 is 5,000,000 ns, not less than 5,000,000 ns"),
        ("p99<4.9999ms", "p99 is 5,000,000 ns, not less than 4,999,900 ns"),
        ("p90<1ms", "p90 is 2.00 ms, not less than 1.00 ms"),
        ("p50>=2ms", "p50 is 1.00 ms, not at least 2.00 ms"),
        ("max<=50ms", "max is 80.0 ms, not at most 50.0 ms"),
        ("errors<=1%", ""), ("errors<=10", ""), ("errors>9", ""),
        ("errors<1%", "errors is 1 %, not less than 1 %"),
        ("errors<10", "errors is 10, not less than 10"),
        ("errors<=0.5%", "errors is 1 %, not at most 0.5 %"),
        ("throttles<2.1%", ""), ("throttles<=19", "throttles is 20, not at most 19"),
        ("goodput>=97", ""), ("goodput>=97/s", ""), ("goodput>100/s", "goodput is 97/s, not more than 100/s"),
    ],
)  # fmt: skip
def test_a_criterion_is_kept_or_it_is_said_why_not(text: str, message: str) -> None:
    assert criterion(text).broken(found()) == message


@pytest.mark.parametrize(
    ("text", "breaks"),
    [
        ("p99>5ms", False), ("p99>=5ms", True), ("p99>4ms", True), ("goodput<97", False), ("goodput<=97", True),
        ("errors>0", True),
    ],
)  # fmt: skip
def test_what_must_not_be(text: str, breaks: bool) -> None:
    assert bool(failing(text).broken(found())) is breaks


def test_of_nothing_nothing_is_kept() -> None:
    """A run without a single answer has no p99, and not a short one."""
    wanted = [criterion("p99<5ms"), criterion("errors<1%"), criterion("goodput>0")]
    assert broken(wanted, NOTHING) == [
        "p99: nothing was answered", "errors: nothing was sent", "goodput is 0/s, not more than 0/s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write a measure, < or >, and a value: p99<5ms"),
        ("p99", "write a measure"),
        ("p99=5ms", "write a measure"),
        (
            "p98<5ms",
            "there is no measure 'p98'. There are p50, p90, p99, p99.9, max, errors, throttles, goodput",
        ),
        ("p99<5", "write a latency and its unit"),
        ("errors<5ms", "write a share or a number: 1% or 10"),
        ("errors<200%", "write a share"),
        ("goodput>5%", "write a rate: 900/s"),
    ],
)
def test_what_is_no_criterion(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        criterion(text)
    assert message in str(caught.value)
