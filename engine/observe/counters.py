"""Counts of outcomes by function, as a subscriber to them."""

from __future__ import annotations

from typing import Any

from .outcomes import OutcomeBatch

ERRORS = ("failure", "error", "timeout")  # the handler raised; its process or its init ended; too late


class Counters:
    """By function ARN (a published version has its own), since the server's start."""

    def __init__(self) -> None:
        self._functions: dict[str, dict[str, Any]] = {}

    def __call__(self, batch: OutcomeBatch) -> None:
        counts = self._of(batch.deployment.function_arn)
        duration = cold = 0
        for record in batch.records:
            duration += record.took
            if record.cold:
                cold += 1
            if record.status != "success":
                counts["errors"][record.status] += 1
        counts["invocations"] += len(batch.records)
        counts["cold_starts"] += cold
        counts["duration_ns"] += duration
        for throttle in batch.throttles:
            counts["throttles"][throttle.reason] = counts["throttles"].get(throttle.reason, 0) + 1

    def event(self, arn: str, end: str, count: int = 1) -> None:
        """So many of a function's asynchronous events ended in this way."""
        events = self._of(arn)["events"]
        events[end] = events.get(end, 0) + count

    def _of(self, arn: str) -> dict[str, Any]:
        return self._functions.get(arn) or self._functions.setdefault(arn, _zero())

    def read(self) -> dict[str, dict[str, Any]]:
        """By ARN: invocations, errors by status, throttles (which are no invocations) by reason, cold_starts,
        duration_ns, the handlers' time in all, and events, those accepted asynchronously, by how they ended."""
        return {
            arn: {
                **counts,
                "errors": dict(counts["errors"]),
                "throttles": dict(counts["throttles"]),
                "events": dict(counts["events"]),
            }
            for arn, counts in self._functions.items()
        }


def _zero() -> dict[str, Any]:
    return {
        "invocations": 0, "errors": dict.fromkeys(ERRORS, 0), "throttles": {}, "cold_starts": 0, "duration_ns": 0,
        "events": {},
    }  # fmt: skip
