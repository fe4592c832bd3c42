"""Counts of outcomes by function, as a subscriber to them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any

from .outcomes import OutcomeBatch

ERRORS = ("failure", "error", "timeout")  # the handler raised; its process or its init ended; too late


class Counters:
    """By function ARN (a published version has its own), since the server's start."""

    def __init__(self) -> None:
        self._functions: dict[str, dict[str, Any]] = {}
        self._gone = _zero()  # of functions and versions that are no more, together
        self._epoch, self._turn = secrets.token_hex(8), 1
        self._changed: dict[str, int] = {}  # in which turn it did last, in that order

    def __call__(self, batch: OutcomeBatch) -> None:
        counts = self._of(batch.deployment.function_arn)
        duration = cold = 0
        for record in batch.ended:
            duration += record.took
            if record.cold:
                cold += 1
            if record.status != "success":
                counts["errors"][record.status] += 1
        counts["invocations"] += len(batch.ended)
        for quiet in batch.quiet:
            took = quiet.took
            counts["invocations"] += len(took)
            duration += sum(took)
        counts["cold_starts"] += cold
        counts["duration_ns"] += duration
        for throttle in batch.throttles:
            counts["throttles"][throttle.reason] = counts["throttles"].get(throttle.reason, 0) + 1

    def keep_only(self, there: Callable[[str], bool]) -> None:
        """Now and then: ARNs that are not there any more count in the totals only."""
        gone = [arn for arn in self._functions if not there(arn)]
        for arn in gone:
            _add(self._gone, self._functions.pop(arn))
            del self._changed[arn]
        if gone:
            self._epoch = secrets.token_hex(8)

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

    def since(self, mark: str) -> tuple[str, list[str] | None]:
        """A mark for the next time, and the ARNs that something was counted of since this one was given; None: it may
        be any, and some that there were may be no more."""
        turn, self._turn = self._turn, self._turn + 1
        epoch, _, before = mark.partition("-")
        given = f"{self._epoch}-{turn}"
        if epoch != self._epoch or not before.isdecimal():
            return given, None
        found = []
        for arn in reversed(self._changed):
            if self._changed[arn] <= int(before):
                break
            found.append(arn)
        return given, found

    def _of(self, arn: str) -> dict[str, Any]:
        if self._changed.get(arn) != self._turn:
            self._changed.pop(arn, None)
            self._changed[arn] = self._turn
        return self._functions.get(arn) or self._functions.setdefault(arn, _zero())

    def read(self, arns: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """By ARN, of these or of all: invocations, errors by status, throttles (which are no invocations) by reason,
        cold_starts, duration_ns, the handlers' time in all, and events, those accepted asynchronously, by how they
        ended."""
        return {
            arn: {
                **counts,
                "errors": dict(counts["errors"]),
                "throttles": dict(counts["throttles"]),
                "events": dict(counts["events"]),
            }
            for arn in (self._functions if arns is None else arns)
            if (counts := self._functions.get(arn))
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
