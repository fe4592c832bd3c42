"""When a delivery is tried again: AWS's phases, and the policies of topics and subscriptions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.aws.faults import Fault
from engine.services.sns.retries import MANAGED, checked, delay, effective, of_subscription


def delays(**policy: Any) -> list[float | None]:
    found = effective(None, json.dumps({"healthyRetryPolicy": policy}))["defaultHealthyRetryPolicy"]
    return [delay(found, n) for n in range(1, found["numRetries"] + 2)]


@pytest.mark.promise(131)
def test_queues_and_functions_are_tried_for_23_days() -> None:
    first = [delay(MANAGED, n) for n in range(1, 18)]
    assert first[:5] == [0, 0, 0, 1, 1]
    backing_off = [each for each in first[5:15] if each is not None]
    assert backing_off == sorted(backing_off)
    assert (round(backing_off[-1], 6), first[15], first[16]) == (20, 20, 20)
    assert (delay(MANAGED, 100_015), delay(MANAGED, 100_016)) == (20, None)
    total = sum(delay(MANAGED, n) or 0 for n in range(1, 100_016))
    assert 23 * 86_400 < total < 24 * 86_400


@pytest.mark.promise(131)
def test_an_endpoints_phases() -> None:
    assert delays() == [20, 20, 20, None]
    phases = {"numRetries": 6, "numNoDelayRetries": 1, "numMinDelayRetries": 1, "numMaxDelayRetries": 1}
    bounds = {"minDelayTarget": 2, "maxDelayTarget": 8}
    for function in ("linear", "arithmetic", "geometric", "exponential"):
        found = delays(**phases, **bounds, backoffFunction=function)
        assert (found[:2], found[4:]) == ([0, 2], [8, 8, None])
        assert 2 < (found[2] or 0) < (found[3] or 0) < 8
    assert delays(numRetries=0) == [None]


@pytest.mark.promise(131)
def test_a_subscriptions_policy_overrides_its_topics_unless_that_forbids_it() -> None:
    its = {
        "http": {
            "defaultHealthyRetryPolicy": {"numRetries": 7},
            "defaultThrottlePolicy": {"maxReceivesPerSecond": 3},
        }
    }
    own = json.dumps({"healthyRetryPolicy": {"numRetries": 9}, "requestPolicy": {"headerContentType": "x/y"}})
    found = of_subscription(effective(json.dumps(its), own))
    assert found["healthyRetryPolicy"]["numRetries"] == 9
    assert found["requestPolicy"] == {"headerContentType": "x/y"}
    assert found["throttlePolicy"] == {"maxReceivesPerSecond": 3}
    its["http"]["disableSubscriptionOverrides"] = True  # type: ignore[assignment]
    assert effective(json.dumps(its), own)["defaultHealthyRetryPolicy"]["numRetries"] == 7


@pytest.mark.parametrize("text", [
    "[", "[]", '{"healthyRetryPolicy": []}', '{"healthyRetryPolicy": {"numRetries": -1}}',
    '{"healthyRetryPolicy": {"numRetries": 101}}', '{"healthyRetryPolicy": {"numRetries": 1, "numNoDelayRetries": 2}}',
    '{"healthyRetryPolicy": {"minDelayTarget": 30}}', '{"healthyRetryPolicy": {"maxDelayTarget": 3601}}',
    '{"healthyRetryPolicy": {"backoffFunction": "x"}}', '{"throttlePolicy": {"maxReceivesPerSecond": 0}}',
    '{"healthyRetryPolicy": {"numRetries": "1"}}', '{"throttlePolicy": 1}', '{"requestPolicy": 1}',
    '{"requestPolicy": {"headerContentType": 1}}', '{"requestPolicy": {"headerContentType": "a\\r\\nb"}}',
])  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Fault, match="Invalid parameter: DeliveryPolicy"):
        checked(text)
