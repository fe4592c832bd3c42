"""When an event runs again: AWS's rules, and how a loop of invocations is known."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from engine.routing import retry
from engine.routing.event import function_of, queue_of
from engine.routing.recursion import MOST, begin, hop


def test_the_functions_errors_are_retried_as_often_as_configured() -> None:
    delays = retry.DELAYS
    assert [retry.after_failure({}, n, 0.0, delays) for n in (1, 2, 3)] == [60.0, 120.0, retry.EXHAUSTED]
    assert retry.after_failure({"MaximumRetryAttempts": 0}, 1, 0.0, delays) == retry.EXHAUSTED
    assert retry.after_failure({"MaximumRetryAttempts": 1}, 1, 0.0, (7.0,)) == 7.0
    assert retry.after_failure({}, 2, 0.0, (7.0,)) == 7.0, "the last delay stands for those that follow"


def test_what_would_come_too_late_is_not_waited_for() -> None:
    config = {"MaximumEventAgeInSeconds": 100}
    assert retry.after_failure(config, 1, 40.0, retry.DELAYS) == 60.0
    assert retry.after_failure(config, 1, 40.1, retry.DELAYS) == retry.TOO_OLD
    assert retry.after_fault(config, 8, 0.0) == retry.TOO_OLD
    assert retry.max_age({}) == 21_600


def test_throttles_and_system_errors_back_off_from_a_second_to_five_minutes() -> None:
    assert [retry.back_off(n) for n in (1, 2, 3, 9, 10, 10_000)] == [1, 2, 4, 256, 300, 300]
    assert retry.after_fault({}, 3, 0.0) == 4.0


def test_a_chain_counts_each_of_its_functions() -> None:
    one, two = "arn:aws:lambda:r:a:function:one", "arn:aws:lambda:r:a:function:two"
    trace = begin(bytes(range(16)), 1e9, False)
    assert trace.startswith("Root=1-3b9aca00-000102")
    for n in range(MOST + 3):
        trace, before = hop(trace, one)
        assert before == n
        trace, before = hop(quote(trace, safe="-=;:"), two)  # as an SDK may write it
        assert before == n
    assert trace.count("Lineage=") == 1 and trace.startswith("Root=1-3b9aca00-")
    _, before = hop(trace, "arn:aws:lambda:r:a:function:three")
    assert before == 0


@pytest.mark.parametrize("lineage", ["", "x", "a:b|:|c:-1", "a:99999999999999", "|||", "ffffffff:16:2"])
def test_a_lineage_that_is_none_counts_nothing(lineage: str) -> None:
    trace, before = hop(f"Root=1-2-3;Lineage={lineage}", "arn")
    assert before == 0 and trace.startswith("Root=1-2-3;Lineage=")


def test_a_long_chain_is_forgotten_from_its_beginning() -> None:
    trace = "Root=1-2-3"
    for n in range(500):
        trace, _ = hop(trace, f"arn{n}")
    assert len(trace) < 1000
    assert hop(trace, "arn499")[1] == 1


def test_queues_are_named_after_their_functions() -> None:
    assert function_of(queue_of("111111111111/eu-west-1", "a.b_c-d")) == ("111111111111/eu-west-1", "a.b_c-d")
