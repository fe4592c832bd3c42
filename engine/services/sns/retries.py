"""Delivery policies: when a delivery that failed is tried again. AWS's own for queues and functions, and those that
topics and subscriptions over HTTP have. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .faults import invalid

MAX_RETRIES = 100
MAX_DELAY = 3600.0  # seconds
CONTENT_TYPE = "text/plain; charset=UTF-8"
_HEALTHY: dict[str, Any] = {
    "minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0,
    "numNoDelayRetries": 0, "numMinDelayRetries": 0, "backoffFunction": "linear",
}  # fmt: skip
# To queues and functions: at once, 1 s apart, up to 20 s apart, and then every 20 s, for 23 days.
MANAGED: dict[str, Any] = {
    "minDelayTarget": 1, "maxDelayTarget": 20, "numRetries": 100_015, "numMaxDelayRetries": 100_000,
    "numNoDelayRetries": 3, "numMinDelayRetries": 2, "backoffFunction": "exponential",
}  # fmt: skip
_COUNTS = ("numRetries", "numMaxDelayRetries", "numNoDelayRetries", "numMinDelayRetries")
_MEMBERS = {
    "healthyRetryPolicy", "defaultHealthyRetryPolicy", "throttlePolicy", "defaultThrottlePolicy", "requestPolicy",
    "defaultRequestPolicy",
}  # fmt: skip
_FUNCTIONS = ("linear", "arithmetic", "geometric", "exponential")


def checked(text: str, parameter: str = "") -> dict[str, Any]:
    """A policy as JSON, as a topic has it ("http": what subscriptions have by default) or a subscription. Raises
    Fault."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and parameter:
        found = found.get(parameter)
    if not isinstance(found, dict):
        raise invalid("DeliveryPolicy: failed to parse JSON.")
    for name, member in found.items():
        if name in _MEMBERS and not isinstance(member, dict):
            raise invalid(f"DeliveryPolicy: {name} must be an object")
    merged = {**_HEALTHY, **_healthy(found)}
    for name in (*_COUNTS, "minDelayTarget", "maxDelayTarget"):
        if type(merged[name]) is not int or merged[name] < 0:
            raise invalid(f"DeliveryPolicy: {name} must be a whole number")
    if merged["numRetries"] > MAX_RETRIES:
        raise invalid(f"DeliveryPolicy: numRetries must be less than or equal to {MAX_RETRIES}")
    if sum(merged[name] for name in _COUNTS[1:]) > merged["numRetries"]:
        raise invalid("DeliveryPolicy: the retries of its phases are more than numRetries")
    if not 1 <= merged["minDelayTarget"] <= merged["maxDelayTarget"] <= MAX_DELAY:
        raise invalid(
            "DeliveryPolicy: minDelayTarget must be at least 1, and at most maxDelayTarget, 3600 at most"
        )
    if merged["backoffFunction"] not in _FUNCTIONS:
        raise invalid(f"DeliveryPolicy: backoffFunction must be one of {', '.join(_FUNCTIONS)}")
    rate = _throttle(found)
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or rate <= 0):
        raise invalid("DeliveryPolicy: maxReceivesPerSecond must be a number above 0")
    kind = (found.get("requestPolicy") or found.get("defaultRequestPolicy") or {}).get(
        "headerContentType", ""
    )
    if not isinstance(kind, str) or not kind.isprintable() or not kind.isascii():
        raise invalid("DeliveryPolicy: headerContentType must be a media type")
    return found


def effective(topic: str | None, subscription: str | None = None) -> dict[str, Any]:
    """The policy that holds, from a topic's own and a subscription's own, both as JSON."""
    own: dict[str, Any] = json.loads(topic)["http"] if topic else {}
    overriding: dict[str, Any] = json.loads(subscription) if subscription else {}
    if own.get("disableSubscriptionOverrides"):
        overriding = {}
    found: dict[str, Any] = {
        "defaultHealthyRetryPolicy": {**_HEALTHY, **_healthy(own), **_healthy(overriding)},
        "disableSubscriptionOverrides": bool(own.get("disableSubscriptionOverrides")),
        "defaultRequestPolicy": {
            "headerContentType": CONTENT_TYPE,
            **(own.get("defaultRequestPolicy") or {}),
            **(overriding.get("requestPolicy") or {}),
        },
    }
    rate = _throttle(overriding) or _throttle(own)
    if rate is not None:
        found["defaultThrottlePolicy"] = {"maxReceivesPerSecond": rate}
    return found


def of_subscription(policy: Mapping[str, Any]) -> dict[str, Any]:
    """What holds, with the names that a subscription's has."""
    names = {"defaultHealthyRetryPolicy": "healthyRetryPolicy", "defaultRequestPolicy": "requestPolicy"}
    names["defaultThrottlePolicy"] = "throttlePolicy"
    return {names[name]: value for name, value in policy.items() if name in names}


def delay(policy: Mapping[str, Any], failures: int) -> float | None:
    """Seconds until the next attempt after so many failures; None: there is none."""
    retry = failures - 1  # those that were made
    if retry >= policy["numRetries"]:
        return None
    low, high = float(policy["minDelayTarget"]), float(policy["maxDelayTarget"])
    if retry < policy["numNoDelayRetries"]:
        return 0.0
    retry -= policy["numNoDelayRetries"]
    if retry < policy["numMinDelayRetries"]:
        return low
    retry -= policy["numMinDelayRetries"]
    steps = policy["numRetries"] - sum(policy[name] for name in _COUNTS[1:])
    if retry >= steps:
        return high
    part: float = (retry + 1) / steps
    if policy["backoffFunction"] == "linear":
        return low + (high - low) * part
    if policy["backoffFunction"] == "arithmetic":
        return float(low + (high - low) * part * (part + 1 / steps) / (1 + 1 / steps))
    return float(low * (high / low) ** part)


def _healthy(policy: Mapping[str, Any]) -> Any:
    return policy.get("healthyRetryPolicy") or policy.get("defaultHealthyRetryPolicy") or {}


def _throttle(policy: Mapping[str, Any]) -> Any:
    found = policy.get("throttlePolicy") or policy.get("defaultThrottlePolicy") or {}
    return found.get("maxReceivesPerSecond")
