"""Counts of outcomes by function, as a subscriber to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .outcomes import OutcomeBatch

ERRORS = ("failure", "error", "timeout")  # the handler raised; its process or its init ended; too late


class Counters:
    """By function ARN (a published version has its own), since the server's start."""

    def __init__(self) -> None:
        self._functions: dict[str, dict[str, Any]] = {}
        self._gone = _zero()  # of functions and versions that are no more, together

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

    def keep_only(self, there: Callable[[str], bool]) -> None:
        """Now and then: ARNs that are not there any more count in the totals only."""
        for arn in [arn for arn in self._functions if not there(arn)]:
            _add(self._gone, self._functions.pop(arn))

    def totals(self) -> dict[str, Any]:
        """What all functions that there were add up to, as `read` has it of one."""
        totals = _zero()
        for counts in [self._gone, *self._functions.values()]:
            _add(totals, counts)
        return totals

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


def _add(totals: dict[str, Any], counts: dict[str, Any]) -> None:
    for name, value in counts.items():
        if isinstance(value, dict):
            for reason, number in value.items():
                totals[name][reason] = totals[name].get(reason, 0) + number
        else:
            totals[name] += value


def _zero() -> dict[str, Any]:
    return {
        "invocations": 0, "errors": dict.fromkeys(ERRORS, 0), "throttles": {}, "cold_starts": 0, "duration_ns": 0,
        "events": {},
    }  # fmt: skip
