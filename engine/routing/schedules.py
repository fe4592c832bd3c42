"""EventBridge's schedules: rate(…), cron(…) with six fields, L, W, LW and #, and at(…); when one is due next. Pure.

A cron expression is minutes, hours, day of the month, month, day of the week (1 is Sunday) and year, of a wall clock.
One of the two days is "?". **Daylight saving**: a local time that is skipped does not come that day; one that comes
twice is due the first time only. So Scheduler documents it; rules are of UTC, which has neither. What is to be once,
at a local time that is skipped, is due as much later as the clock is set forward: AWS documents nothing.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

_RATE = re.compile(r"rate\(\s*([1-9]\d{0,9})\s+(minutes?|hours?|days?)\s*\)")
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", re.ASCII)
_CRON = re.compile(r"cron\(\s*(.*?)\s*\)", re.DOTALL)
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {
    name: n
    for n, name in enumerate(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1
    )
}
_DAYS = {name: n for n, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], 1)}
FIRST_YEAR, LAST_YEAR = 1970, 2199


class InvalidSchedule(ValueError):
    """An expression that AWS refuses."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Every so many seconds from its start on."""

    seconds: int

    def next(self, after: float, start: float) -> float:
        """Epoch seconds, later than `after`. The first is a period after `start`."""
        periods = max(1, int((after - start) // self.seconds) + 1)
        return start + periods * self.seconds


@dataclass(frozen=True, slots=True)
class Cron:
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    month_days: str  # "?": none
    week_days: str

    def next(self, after: float, zone: tzinfo = UTC) -> float | None:
        """Epoch seconds, later than `after`; None: never again."""
        local = datetime.fromtimestamp(after, zone)
        for day in self._days(local.date() - timedelta(days=1)):
            for hour in self.hours:
                for minute in self.minutes:
                    due = _epoch(day, hour, minute, zone)
                    if due is not None and due > after:
                        return due
        return None

    def _days(self, first: date) -> Iterator[date]:
        """From `first` on."""
        for year in range(first.year, LAST_YEAR + 1):
            if year not in self.years:
                continue
            for month in range(first.month if year == first.year else 1, 13):
                if month not in self.months:
                    continue
                days = (
                    _of_month(self.month_days, year, month)
                    if self.week_days == "?"
                    else _of_week(self.week_days, year, month)
                )
                for day in sorted(days):
                    found = date(year, month, day)
                    if found >= first:
                        yield found


@dataclass(frozen=True, slots=True)
class At:
    """Once, at a local time."""

    local: datetime

    def next(self, after: float, zone: tzinfo = UTC) -> float | None:
        """Epoch seconds, later than `after`; None: it was before."""
        due = self.local.replace(tzinfo=zone).timestamp()
        return due if due > after else None


def parse_once(expression: str) -> At | Rate | Cron:
    """at(yyyy-mm-ddThh:mm:ss), too, which rules do not have. Raises InvalidSchedule."""
    found = _AT.fullmatch(expression)
    if found is None:
        return parse(expression)
    try:
        return At(datetime.fromisoformat(found[1]))
    except ValueError:
        raise InvalidSchedule(expression) from None


def parse(expression: str) -> Rate | Cron:
    """Raises InvalidSchedule."""
    if found := _RATE.fullmatch(expression):
        count, unit = int(found[1]), found[2]
        if (count == 1) is unit.endswith("s"):  # "1 minutes" and "5 minute" are refused
            raise InvalidSchedule(expression)
        return Rate(count * _SECONDS[unit.rstrip("s")])
    found = _CRON.fullmatch(expression)
    fields = found[1].upper().split() if found else []
    if len(fields) != 6:
        raise InvalidSchedule(expression)
    minutes, hours, month_days, months, week_days, years = fields
    if (month_days == "?") is (week_days == "?"):
        raise InvalidSchedule(expression)
    try:
        for year in (2027, 2028):  # a leap year, too: what is wrong is found now
            _of_month(month_days, year, 2)
            _of_week(week_days, year, 2)
        return Cron(
            tuple(sorted(_numbers(minutes, 0, 59))),
            tuple(sorted(_numbers(hours, 0, 23))),
            frozenset(_numbers(months, 1, 12, _MONTHS)),
            frozenset(_numbers(years, FIRST_YEAR, LAST_YEAR)),
            month_days,
            week_days,
        )
    except ValueError:
        raise InvalidSchedule(expression) from None


def _numbers(field: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    """Of a field: "*", "5", "1-5", "*/10", "5/10", "1-30/5", and lists of them. Raises ValueError."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        by = _number(step, None) if slash else 1
        if by < 1:
            raise ValueError(part)
        if span == "*":
            first, last = low, high
        else:
            begin, dash, end = span.partition("-")
            first = _number(begin, names)
            last = _number(end, names) if dash else high if slash else first
        if not (low <= first <= high and low <= last <= high):
            raise ValueError(part)
        if first <= last:
            found.update(range(first, last + 1, by))
        else:  # FRI-MON, 22-2: over the end
            found.update(low + (n - low) % (high - low + 1) for n in range(first, last + high - low + 2, by))
    return found


def _number(text: str, names: dict[str, int] | None) -> int:
    if names is not None and text in names:
        return names[text]
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise ValueError(text)
    return int(text)


def _of_month(field: str, year: int, month: int) -> set[int]:
    """Days of a month: numbers, L (the last), L-3, LW (the last weekday), 15W (the weekday nearest the 15th)."""
    last = calendar.monthrange(year, month)[1]
    found: set[int] = set()
    for part in field.split(","):
        if part == "?":
            continue
        if part == "L":
            found.add(last)
        elif part == "LW":
            found.add(_weekday(year, month, last, last))
        elif part.startswith("L-"):
            before = _number(part[2:], None)
            if before > 30:
                raise ValueError(part)
            if before < last:
                found.add(last - before)
        elif part.endswith("W"):
            day = _number(part[:-1], None)
            if not 1 <= day <= 31:
                raise ValueError(part)
            if day <= last:
                found.add(_weekday(year, month, day, last))
        else:
            found.update(day for day in _numbers(part, 1, 31) if day <= last)
    return found


def _weekday(year: int, month: int, day: int, last: int) -> int:
    """The weekday nearest a day, in its month."""
    of_week = calendar.weekday(year, month, day)
    if of_week == 5:
        return day - 1 if day > 1 else day + 2
    if of_week == 6:
        return day + 1 if day < last else day - 2
    return day


def _of_week(field: str, year: int, month: int) -> set[int]:
    """Days of a month by days of the week: numbers and names, 6L (the month's last Friday), L (Saturday), 3#2 (its
    second Tuesday)."""
    first, last = calendar.monthrange(year, month)
    days = {
        n: [day for day in range(1, last + 1) if (first + day - 1) % 7 == (n - 2) % 7] for n in range(1, 8)
    }
    found: set[int] = set()
    for part in field.split(","):
        if part == "?":
            continue
        if part == "L":
            found.update(days[7])
        elif "#" in part:
            name, _, nth = part.partition("#")
            week, number = _number(name, _DAYS), _number(nth, None)
            if not (1 <= week <= 7 and 1 <= number <= 5):
                raise ValueError(part)
            found.update(days[week][number - 1 : number])
        elif part.endswith("L"):
            week = _number(part[:-1], _DAYS)
            if not 1 <= week <= 7:
                raise ValueError(part)
            found.add(days[week][-1])
        else:
            for week in _numbers(part, 1, 7, _DAYS):
                found.update(days[week])
    return found


def _epoch(day: date, hour: int, minute: int, zone: tzinfo) -> float | None:
    """A local time's; None: it is skipped that day. Of one that comes twice, the first."""
    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    epoch = local.timestamp()
    back = datetime.fromtimestamp(epoch, zone)
    return epoch if (back.hour, back.minute) == (hour, minute) else None
