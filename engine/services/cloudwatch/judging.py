"""What datapoints mean for an alarm: its state and why, as CloudWatch documents it for missing points. Pure."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"
EXTRA = 2  # periods before those that count, for when some of them are missing
COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
TREATMENTS = ("breaching", "notBreaching", "ignore", "missing")


class Judgement(NamedTuple):
    """state: None for one that stays what it is. points: (epoch seconds, value) of those that counted, newest first."""

    state: str | None
    reason: str
    points: list[tuple[int, float]]


def judge(
    alarm: Mapping[str, Any], values: Mapping[int, float], periods: Sequence[int], before: str
) -> Judgement:
    """values: by the beginnings of periods; periods: all of the evaluation range, newest first; before: its state."""
    wanted: int = alarm["EvaluationPeriods"]
    needed: int = alarm.get("DatapointsToAlarm") or wanted
    treat = alarm.get("TreatMissingData") or "missing"
    breaches, words = COMPARISONS[alarm["ComparisonOperator"]]
    threshold: float = alarm["Threshold"]
    points = [(at, values[at]) for at in periods if at in values][:wanted]
    bad = [point for point in points if breaches(point[1], threshold)]
    filled = wanted - len(points)
    if not points and treat in ("missing", "ignore"):
        if treat == "ignore":
            return Judgement(None, "", points)
        unknown = f"{wanted} datapoint{'s were' if wanted > 1 else ' was'} unknown"
        return Judgement(INSUFFICIENT, f"Insufficient Data: {unknown}.", points)
    count, least = len(bad), needed
    if filled and treat == "breaching":
        count += filled
    elif filled and treat == "missing":
        least = min(needed, len(points))
    if count >= least:
        state = ALARM
    elif filled and treat == "ignore" and len(bad) == len(points):
        return Judgement(None, "", points)
    else:
        state = OK
    return Judgement(state, _reason(alarm, state, before, points, bad, filled, words), points)


def _reason(
    alarm: Mapping[str, Any],
    state: str,
    before: str,
    points: Sequence[tuple[int, float]],
    bad: Sequence[tuple[int, float]],
    filled: int,
    words: str,
) -> str:
    shown = list(bad) if state == ALARM else [point for point in points if point not in bad]
    which, total = len(shown), alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm") or total
    if not shown:
        treat = "[Breaching]" if state == ALARM else "[NonBreaching]"
        return (
            f"Threshold Crossed: no datapoints were received for {total} period{'s' * (total > 1)} and {total} missing "
            f"datapoint{'s were' if total > 1 else ' was'} treated as {treat}."
        )
    listed = ", ".join(f"{value} ({_stamp(at)})" for at, value in shown)
    negated = "" if state == ALARM else "not "
    verb = "was" if which == 1 else "were"
    minimum = needed if state == ALARM else total - needed + 1
    text = (
        f"Threshold Crossed: {which} out of the last {total} datapoints [{listed}] {verb} {negated}{words} the "
        f"threshold ({float(alarm['Threshold'])}) (minimum {minimum} datapoint{'s' * (minimum > 1)} for {before} -> "
        f"{state} transition)."
    )
    if filled and state == ALARM and len(bad) < needed:
        text += f" {filled} missing datapoint{'s were' if filled > 1 else ' was'} treated as [Breaching]."
    return text


def _stamp(at: int) -> str:
    return time.strftime("%d/%m/%y %H:%M:%S", time.gmtime(at))
