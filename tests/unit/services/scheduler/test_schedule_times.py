"""When a schedule is due: its expression, time zone, start and end, and the moment in its window."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.services.scheduler.timing import (
    InvalidZone,
    begin,
    due,
    moment,
    same_times,
    window,
    zone_of,
)


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def schedule(expression: str, since: str, zone: str = "UTC", **more: Any) -> dict[str, Any]:
    dates = {name: epoch(value) for name, value in more.items() if name in ("StartDate", "EndDate")}
    return {
        "Name": "s", "ScheduleExpression": expression, "ScheduleExpressionTimezone": zone, "_since": epoch(since),
        "State": "ENABLED", "FlexibleTimeWindow": {"Mode": "OFF"}, **more, **dates,
    }  # fmt: skip


def times(record: dict[str, Any], count: int = 10) -> list[str]:
    found: list[str] = []
    at: float | None = begin(record)
    while len(found) < count and at is not None and (at := due(record, at)) is not None:
        found.append(datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M:%S"))
    return found


@pytest.mark.promise(133)
def test_a_rate_begins_at_once_or_at_its_start_and_keeps_its_phase() -> None:
    assert times(schedule("rate(6 hours)", "2026-03-28T20:00:07"), 4) == [
        "03-28 20:00:07", "03-29 02:00:07", "03-29 08:00:07", "03-29 14:00:07",
    ]  # fmt: skip
    record = schedule("rate(1 day)", "2026-03-27T12:00:00", "Europe/Berlin", StartDate="2026-03-28T09:00:00")
    assert times(record, 3) == [
        "03-28 09:00:00",
        "03-29 09:00:00",
        "03-30 09:00:00",
    ]  # 24 hours, not a day's 23
    record = schedule("rate(1 day)", "2026-03-27T12:00:00", EndDate="2026-03-29T12:00:00")
    assert times(record) == ["03-27 12:00:00", "03-28 12:00:00", "03-29 12:00:00"]
    record = schedule("rate(2 minutes)", "2026-01-01T00:04:00", StartDate="2026-01-01T00:00:00")
    assert times(record, 2) == ["01-01 00:00:00", "01-01 00:02:00"], "a start may be five minutes ago"


@pytest.mark.promise(133)
def test_a_cron_expression_is_of_its_zone_between_start_and_end() -> None:
    record = schedule("cron(0 9 ? * MON-FRI *)", "2026-10-30T00:00:00", "America/New_York")
    assert times(record, 3) == [
        "10-30 13:00:00",
        "11-02 14:00:00",
        "11-03 14:00:00",
    ]  # summer's and winter's offset
    record = schedule(
        "cron(0 0 * * ? *)",
        "2026-01-01T00:00:00",
        StartDate="2026-01-03T00:00:00",
        EndDate="2026-01-05T00:00:00",
    )
    assert times(record) == ["01-03 00:00:00", "01-04 00:00:00", "01-05 00:00:00"]
    assert times(schedule("cron(0 0 1 1 ? 2020)", "2026-01-01T00:00:00")) == []


@pytest.mark.promise(133)
def test_what_is_once_has_no_start_and_no_end() -> None:
    dates = {"StartDate": "2027-01-01T00:00:00", "EndDate": "2026-01-01T00:00:00"}
    record = schedule("at(2026-06-01T08:00:00)", "2026-05-01T00:00:00", "Europe/Berlin", **dates)
    assert times(record) == ["06-01 06:00:00"]
    assert times(schedule("at(2026-06-01T08:00:00)", "2026-06-01T08:04:59")) == ["06-01 08:00:00"]
    assert times(schedule("at(2026-06-01T08:00:00)", "2026-06-01T08:06:00")) == [], "long past: never"


@pytest.mark.promise(133)
def test_the_moment_is_in_the_window_and_stays_what_it_is() -> None:
    flexible = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    record = schedule("rate(1 hour)", "2026-01-01T00:00:00", FlexibleTimeWindow=flexible)
    assert window(record) == 900.0
    whens = [1_000.0 * n for n in range(400)]
    found = [moment(record, when) - when for when in whens]
    assert all(0.0 <= each <= 900.0 for each in found)
    assert min(found) < 90.0 and max(found) > 810.0 and len(set(found)) > 390
    assert found == [moment(dict(record), when) - when for when in whens]
    assert moment(schedule("rate(1 hour)", "2026-01-01T00:00:00"), 5.0) == 5.0


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "Europe", "UTC\0", "utc+1"]
)
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(InvalidZone):
        zone_of(name)


def test_what_changes_the_times() -> None:
    record = schedule("rate(1 hour)", "2026-01-01T00:00:00")
    assert same_times(record, {**record, "Description": "other"})
    assert not same_times(record, {**record, "State": "DISABLED"})
    assert not same_times(record, {**record, "EndDate": 5.0})
