"""When a schedule is due: its expression, time zone, StartDate and EndDate. Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from datetime import tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from ...routing.schedules import At, Cron, InvalidSchedule, Rate, parse_once

LATE = 300.0  # seconds that a first time may be in the past, as AWS lets a StartDate be
_TIMES = ("ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "EndDate", "State")


class InvalidZone(ValueError):
    """No time zone of the IANA's."""


@lru_cache(4096)
def zone_of(name: str) -> tzinfo:
    """Raises InvalidZone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidZone(name) from None


@lru_cache(16_384)
def expression_of(text: str) -> At | Rate | Cron:
    """Raises InvalidSchedule."""
    if re.match(r"rate\(\s|rate\(.*\s\)\Z", text):  # rules take these
        raise InvalidSchedule(text)
    return parse_once(text)


def same_times(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Are two schedules due at the same times?"""
    return all(one.get(name) == other.get(name) for name in _TIMES)


def begin(schedule: Mapping[str, Any]) -> float:
    """A new one is due at its times later than this, epoch seconds: one that has just passed counts, but of cron."""
    since: float = schedule["_since"]
    return since if isinstance(expression_of(schedule["ScheduleExpression"]), Cron) else since - LATE - 1.0


def due(schedule: Mapping[str, Any], after: float) -> float | None:
    """When it is due next, later than `after`: epoch seconds. None: never again."""
    expression, zone = (
        expression_of(schedule["ScheduleExpression"]),
        zone_of(schedule["ScheduleExpressionTimezone"]),
    )
    start, end = schedule.get("StartDate"), schedule.get("EndDate")
    if isinstance(expression, At):  # has no start and no end
        return expression.next(after, zone)
    if isinstance(expression, Rate):  # at once, then at its rate
        origin = schedule["_since"] if start is None else start
        found: float | None = origin if after < origin else expression.next(after, origin)
    else:
        found = expression.next(after if start is None else max(after, start - 0.001), zone)
    return None if found is None or (end is not None and found > end) else found


def window(schedule: Mapping[str, Any]) -> float:
    """Seconds after it is due in which it may be invoked."""
    return 60.0 * (schedule["FlexibleTimeWindow"].get("MaximumWindowInMinutes") or 0)


def moment(schedule: Mapping[str, Any], when: float) -> float:
    """When in its window it is invoked that is due at `when`: a random time, the same whenever it is asked for."""
    # To spread invocations, not to keep a secret.
    return when + random.Random(f"{schedule['_since']} {schedule['Name']} {when}").random() * window(schedule)
