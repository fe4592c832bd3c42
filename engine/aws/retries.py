"""Which calls of the server's own are tried again, and when: AWS's standard mode. Pure, but for its random waits.

AWS SDKs and Tools reference guide, "Retry behavior": three attempts, waits of random(0, 1) x 2^i seconds of at most 20,
and a quota of 500 from which each retry takes 5 (10 after a timeout), so that an endpoint that is down is not flooded.
"""

from __future__ import annotations

import random
from collections.abc import Callable

ATTEMPTS = 3
MOST = 20.0
CAPACITY, COST, SLOW = 500, 5, 10
TRANSIENT = frozenset({500, 502, 503, 504})
# Codes that are worth another attempt, of whatever status.
THROTTLED = frozenset({
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "TooManyRequestsException",
    "ProvisionedThroughputExceededException", "TransactionInProgressException", "RequestLimitExceeded",
    "BandwidthLimitExceeded", "LimitExceededException", "RequestThrottled", "SlowDown", "PriorRequestNotComplete",
    "EC2ThrottledException",
})  # fmt: skip
PASSING = frozenset({"RequestTimeout", "RequestTimeoutException", "InternalError", "InternalFailure"})


def worth(status: int, code: str) -> bool:
    """May a call that was refused so succeed when it is sent again?"""
    return status in TRANSIENT or status == 429 or code in THROTTLED or code in PASSING


class Quota:
    """Of one service's retries."""

    def __init__(self) -> None:
        self._left = CAPACITY

    def take(self, cost: int) -> bool:
        if cost > self._left:
            return False
        self._left -= cost
        return True

    def give(self, cost: int) -> None:
        """A call succeeded, after a retry that took this, or at once (1)."""
        self._left = min(CAPACITY, self._left + cost)


def delay(retry: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds before a call's retry, of which the first is 0."""
    return min(MOST, uniform(0.0, 1.0) * 2.0**retry)
