"""When an event runs again, and when it does not: Lambda's rules for asynchronous invocation, and those of targets of
rules and schedules. Pure."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Config = Mapping[str, Any]  # an EventInvokeConfig

RETRIES = 2  # AWS's default, and most
MAX_AGE = 21_600.0  # seconds; AWS's default, and most
DELAYS = (60.0, 120.0)  # seconds before the second and the third attempt
BACK_OFF = (1.0, 300.0)  # seconds after a throttle or a system error, at first and at most

TARGET_RETRIES = 185  # of a target's RetryPolicy: AWS's default, and most
TARGET_MAX_AGE = 86_400.0  # seconds; AWS's default, and most

# Conditions, as AWS's destinations name them, under which an event runs no more.
SUCCESS = "Success"
EXHAUSTED = "RetriesExhausted"
TOO_OLD = "EventAgeExceeded"
NO_CONCURRENCY = "ZeroReservedConcurrency"
RECURSIVE = "RecursiveInvocation"  # ours: AWS names no condition for an event of a loop that it stopped


def max_age(config: Config) -> float:
    """Seconds."""
    return float(config.get("MaximumEventAgeInSeconds", MAX_AGE))


def after_failure(config: Config, failures: int, age: float, delays: Sequence[float]) -> float | str:
    """The function failed so many times: seconds until the next attempt, or the condition why there is none. One that
    would come when the event is too old is not waited for."""
    if failures > config.get("MaximumRetryAttempts", RETRIES):
        return EXHAUSTED
    delay = delays[min(failures, len(delays)) - 1]
    return TOO_OLD if age + delay > max_age(config) else delay


def after_fault(config: Config, faults: int, age: float) -> float | str:
    """It was no error of the function's: seconds until it is tried again, or why it is not."""
    delay = back_off(faults)
    return TOO_OLD if age + delay > max_age(config) else delay


def back_off(times: int) -> float:
    """Seconds to wait after so many throttles or system errors in a row."""
    first, most = BACK_OFF
    return min(most, first * 2.0 ** min(times - 1, 30))


def of_target(policy: Config, attempts: int, age: float, after: float = 0.0) -> float | str:
    """A target that may take it later refused it so many times: seconds until the next attempt, with jitter (not all
    at once) and at least `after`; or which member of its RetryPolicy forbids one."""
    if attempts > policy.get("MaximumRetryAttempts", TARGET_RETRIES):
        return "MaximumRetryAttempts"
    import random  # which is slow to import, for what most programs never ask

    delay = max(after, back_off(attempts) * random.uniform(0.5, 1.0))
    return (
        "MaximumEventAgeInSeconds"
        if age + delay > policy.get("MaximumEventAgeInSeconds", TARGET_MAX_AGE)
        else delay
    )
