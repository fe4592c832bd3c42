"""cron(…) by brute force: every minute is asked whether it is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def minutes_due(expression: str, begin: datetime, days: int, zone: tzinfo = UTC) -> Iterator[datetime]:
    """In UTC. A local time that comes twice is due the first time."""
    fields = expression[5:-1].split()
    seen = set()
    at = begin.astimezone(UTC)
    for _ in range(days * 1440):
        at += timedelta(minutes=1)
        local = at.astimezone(zone)
        wall = local.replace(tzinfo=None)
        if wall not in seen and due(fields, wall):
            yield at
        seen.add(wall)


def due(fields: list[str], wall: datetime) -> bool:
    minute, hour, month_day, month, week_day, year = fields
    return (
        _one(minute, wall.minute, 0, 59)
        and _one(hour, wall.hour, 0, 23)
        and _one(month, wall.month, 1, 12, MONTHS)
        and _one(year, wall.year, 1970, 2199)
        and any(_month_day(part, wall) for part in month_day.split(","))
        and any(_week_day(part, wall) for part in week_day.split(","))
    )


def _one(field: str, value: int, low: int, high: int, names: list[str] | None = None) -> bool:
    for n, name in enumerate(names or (), 1):
        field = field.replace(name, str(n))
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = map(int, span.split("-"))
        else:
            first, last = int(span), high if step else int(span)
        cycle = (
            list(range(first, last + 1))
            if first <= last
            else [*range(first, high + 1), *range(low, last + 1)]
        )
        if value in cycle and cycle.index(value) % int(step or 1) == 0:
            return True
    return False


def _last(wall: datetime) -> int:
    return ((wall.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)).day


def _month_day(part: str, wall: datetime) -> bool:
    last = _last(wall)
    if part in ("?", "*"):
        return True
    if part == "L":
        return wall.day == last
    if part.startswith("L-"):
        return wall.day == last - int(part[2:])
    if part.endswith("W"):
        day = last if part == "LW" else int(part[:-1])
        if day > last:
            return False
        weekdays = [n for n in range(1, last + 1) if wall.replace(day=n).weekday() < 5]
        return wall.day == min(
            weekdays,
            key=lambda n: (abs(n - day), n > day if wall.replace(day=day).weekday() == 5 else n < day),
        )
    return _one(part, wall.day, 1, 31)


def _week_day(part: str, wall: datetime) -> bool:
    number = wall.isoweekday() % 7 + 1
    for n, name in enumerate(DAYS, 1):
        part = part.replace(name, str(n))
    if part in ("?", "*"):
        return True
    if part == "L":
        return number == 7
    if "#" in part:
        day, nth = map(int, part.split("#"))
        return number == day and (wall.day - 1) // 7 + 1 == nth
    if part.endswith("L"):
        return number == int(part[:-1]) and wall.day + 7 > _last(wall)
    return _one(part, number, 1, 7)
