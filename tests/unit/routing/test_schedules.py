"""Schedules: AWS's own examples, month ends, leap days, daylight saving; and any expression against brute force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import schedule_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.routing.schedules import At, Cron, InvalidSchedule, Rate, parse, parse_once


def times(expression: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    """The next ones, as local times."""
    schedule, at = parse(expression), datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).timestamp()
    assert isinstance(schedule, Cron)
    found = []
    for _ in range(count):
        due = schedule.next(at, ZoneInfo(zone))
        if due is None:
            break
        found.append(datetime.fromtimestamp(due, ZoneInfo(zone)).isoformat(" ", "minutes"))
        at = due
    return found


@pytest.mark.promise(123)
@pytest.mark.parametrize(
    "expression, after, expected",
    [
        ("cron(0 10 * * ? *)", "2026-01-31 10:00", ["2026-02-01 10:00", "2026-02-02 10:00"]),
        ("cron(15 12 * * ? *)", "2026-01-31 12:14", ["2026-01-31 12:15", "2026-02-01 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", "2026-01-02 18:00", ["2026-01-05 18:00", "2026-01-06 18:00"]),
        ("cron(0 8 1 * ? *)", "2026-01-01 08:00", ["2026-02-01 08:00", "2026-03-01 08:00"]),
        ("cron(0/15 * * * ? *)", "2026-01-01 00:07", ["2026-01-01 00:15", "2026-01-01 00:30"]),
        ("cron(0/30 20-2 ? * MON-FRI *)", "2026-01-02 23:00", ["2026-01-02 23:30", "2026-01-05 00:00"]),
        ("cron(0 0 L * ? *)", "2028-02-01 00:00", ["2028-02-29 00:00", "2028-03-31 00:00"]),
        ("cron(0 0 L-2 * ? *)", "2027-02-01 00:00", ["2027-02-26 00:00", "2027-03-29 00:00"]),
        ("cron(0 0 LW * ? *)", "2026-01-01 00:00", ["2026-01-30 00:00", "2026-02-27 00:00"]),  # 31st: Saturday
        ("cron(0 0 1W * ? *)", "2026-07-02 00:00", ["2026-08-03 00:00", "2026-09-01 00:00"]),  # not in July
        ("cron(0 0 15W * ? *)", "2026-08-01 00:00", ["2026-08-14 00:00", "2026-09-15 00:00"]),
        ("cron(0 0 31W * ? *)", "2026-05-01 00:00", ["2026-05-29 00:00", "2026-07-31 00:00"]),
        ("cron(0 0 ? * 6L *)", "2026-01-01 00:00", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("cron(0 0 ? * 3#2 *)", "2026-01-01 00:00", ["2026-01-13 00:00", "2026-02-10 00:00"]),
        ("cron(0 0 ? * 1#5 *)", "2026-01-01 00:00", ["2026-03-29 00:00", "2026-05-31 00:00"]),
        ("cron(0 0 ? * L *)", "2026-01-01 00:00", ["2026-01-03 00:00", "2026-01-10 00:00"]),
        ("cron(0 0 29 2 ? *)", "2026-01-01 00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("cron(0 0 31 * ? *)", "2026-01-31 00:00", ["2026-03-31 00:00", "2026-05-31 00:00"]),
        ("cron(0 0 1 JAN,JUL ? 2026-2027)", "2026-02-01 00:00", ["2026-07-01 00:00", "2027-01-01 00:00"]),
        ("cron(0 0 1 JAN,JUL ? 2026-2027)", "2027-01-01 00:00", ["2027-07-01 00:00"]),
        ("cron(0 0 30 2 ? *)", "2026-01-01 00:00", []),
        ("cron(0 0 1 1 ? 2020)", "2026-01-01 00:00", []),
    ],
)  # fmt: skip
def test_when_it_is_due_next(expression: str, after: str, expected: list[str]) -> None:
    found = [each.removesuffix("+00:00") for each in times(expression, after, max(2, len(expected)))]
    assert found == expected


@pytest.mark.promise(123)
def test_a_local_time_that_is_skipped_does_not_come_and_one_that_comes_twice_comes_once() -> None:
    daily = "cron(30 2 * * ? *)"
    assert times(daily, "2026-03-07 12:00", 2, "America/New_York") == [
        "2026-03-09 02:30-04:00", "2026-03-10 02:30-04:00",  # the 8th has no 02:30
    ]  # fmt: skip
    twice = "cron(30 1 * * ? *)"
    assert times(twice, "2026-10-31 12:00", 2, "America/New_York") == [
        "2026-11-01 01:30-04:00", "2026-11-02 01:30-05:00",
    ]  # fmt: skip
    # Half an hour of daylight saving.
    assert times("cron(15 2 * * ? *)", "2026-10-03 12:00", 1, "Australia/Lord_Howe") == [
        "2026-10-05 02:15+11:00"
    ]
    assert times("cron(0 9 * * ? *)", "2026-03-07 12:00", 2, "America/New_York") == [
        "2026-03-08 09:00-04:00", "2026-03-09 09:00-04:00",
    ]  # fmt: skip


# Each expression's next ten times, as local times with their offsets: daylight saving, leap days, month ends.
TEN = [
    (
        "cron(30 2 * * ? *)", "2026-03-06 12:00", "America/New_York",  # the 8th has no 02:30
        "2026-03-07 02:30-05:00 " + " ".join(f"2026-03-{day:02} 02:30-04:00" for day in range(9, 18)),
    ),
    (
        "cron(0/30 1-2 ? 3 1L *)", "2026-03-01 00:00", "Europe/Berlin",  # the hour from 2 to 3 is not there
        "2026-03-29 01:00+01:00 2026-03-29 01:30+01:00 2027-03-28 01:00+01:00 2027-03-28 01:30+01:00 "
        "2028-03-26 01:00+01:00 2028-03-26 01:30+01:00 2029-03-25 01:00+01:00 2029-03-25 01:30+01:00 "
        "2030-03-31 01:00+01:00 2030-03-31 01:30+01:00",
    ),
    (
        "cron(0,30 2 ? 10 1L *)", "2026-10-01 00:00", "Europe/Berlin",  # that hour is there twice
        "2026-10-25 02:00+02:00 2026-10-25 02:30+02:00 2027-10-31 02:00+02:00 2027-10-31 02:30+02:00 "
        "2028-10-29 02:00+02:00 2028-10-29 02:30+02:00 2029-10-28 02:00+02:00 2029-10-28 02:30+02:00 "
        "2030-10-27 02:00+02:00 2030-10-27 02:30+02:00",
    ),
    (
        "cron(0 12 29 2 ? *)", "2026-01-01 00:00", "Asia/Kolkata",
        " ".join(f"{year}-02-29 12:00+05:30" for year in range(2028, 2068, 4)),
    ),
    (
        "cron(0 9 L * ? *)", "2027-12-31 09:00", "America/New_York",
        "2028-01-31 09:00-05:00 2028-02-29 09:00-05:00 2028-03-31 09:00-04:00 2028-04-30 09:00-04:00 "
        "2028-05-31 09:00-04:00 2028-06-30 09:00-04:00 2028-07-31 09:00-04:00 2028-08-31 09:00-04:00 "
        "2028-09-30 09:00-04:00 2028-10-31 09:00-04:00",
    ),
    (
        "cron(0 9 LW * ? *)", "2026-01-01 00:00", "Australia/Lord_Howe",
        "2026-01-30 09:00+11:00 2026-02-27 09:00+11:00 2026-03-31 09:00+11:00 2026-04-30 09:00+10:30 "
        "2026-05-29 09:00+10:30 2026-06-30 09:00+10:30 2026-07-31 09:00+10:30 2026-08-31 09:00+10:30 "
        "2026-09-30 09:00+10:30 2026-10-30 09:00+11:00",
    ),
    (
        "cron(0 0 31 * ? *)", "2026-01-31 00:00", "UTC",
        "2026-03-31 00:00+00:00 2026-05-31 00:00+00:00 2026-07-31 00:00+00:00 2026-08-31 00:00+00:00 "
        "2026-10-31 00:00+00:00 2026-12-31 00:00+00:00 2027-01-31 00:00+00:00 2027-03-31 00:00+00:00 "
        "2027-05-31 00:00+00:00 2027-07-31 00:00+00:00",
    ),
    (
        "cron(59 23 ? * 6#5 *)", "2026-01-01 00:00", "Pacific/Auckland",
        "2026-01-30 23:59+13:00 2026-05-29 23:59+12:00 2026-07-31 23:59+12:00 2026-10-30 23:59+13:00 "
        "2027-01-29 23:59+13:00 2027-04-30 23:59+12:00 2027-07-30 23:59+12:00 2027-10-29 23:59+13:00 "
        "2027-12-31 23:59+13:00 2028-03-31 23:59+13:00",
    ),
]  # fmt: skip


@pytest.mark.promise(123)
@pytest.mark.parametrize("expression, after, zone, expected", TEN)
def test_the_next_ten_times(expression: str, after: str, zone: str, expected: str) -> None:
    assert " ".join(times(expression, after, 10, zone)) == expected


@pytest.mark.promise(123)
@pytest.mark.parametrize(
    "local, zone, expected",
    [
        ("2026-11-29T12:00:01", "UTC", "2026-11-29T12:00:01+00:00"),
        ("2028-02-29T23:59:59", "Asia/Tokyo", "2028-02-29T14:59:59+00:00"),
        ("2026-03-08T02:30:00", "America/New_York", "2026-03-08T07:30:00+00:00"),  # skipped: 03:30 EDT
        ("2026-11-01T01:30:00", "America/New_York", "2026-11-01T05:30:00+00:00"),  # twice: the first
    ],
)
def test_what_is_due_once(local: str, zone: str, expected: str) -> None:
    at = parse_once(f"at({local})")
    assert isinstance(at, At)
    due = at.next(0.0, ZoneInfo(zone))
    assert due is not None and datetime.fromtimestamp(due, UTC).isoformat() == expected
    assert at.next(due, ZoneInfo(zone)) is None


@pytest.mark.parametrize(
    "expression",
    [
        "at()", "at(2026-02-30T00:00:00)", "at(2026-01-01T24:00:00)", "at(2026-01-01)", "at(2026-01-01T00:00:00Z)",
        "at(2026-01-01T00:00)", "at(2026-01-01 00:00:00)", "at(0000-01-01T00:00:00)", " at(2026-01-01T00:00:00)",
    ],
)  # fmt: skip
def test_what_is_no_time(expression: str) -> None:
    with pytest.raises(InvalidSchedule):
        parse_once(expression)
    with pytest.raises(InvalidSchedule):
        parse(expression)


@pytest.mark.promise(123)
def test_rates_keep_their_phase() -> None:
    assert parse("rate(1 minute)") == Rate(60)
    assert parse("rate(12 hours)") == Rate(43_200)
    assert parse("rate(7 days)") == Rate(604_800)
    rate = Rate(300)
    assert rate.next(1000.0, 1000.0) == 1300.0
    assert rate.next(1300.0, 1000.0) == 1600.0
    assert rate.next(500.0, 1000.0) == 1300.0
    assert rate.next(1_000_000.0, 1000.0) == 1000.0 + 300 * 3331


@pytest.mark.parametrize(
    "expression",
    [
        "", "rate(0 minutes)", "rate(1 minutes)", "rate(5 minute)", "rate(5 seconds)", "rate(-1 minutes)", "rate(5)",
        "cron(0 0 * * * *)", "cron(0 0 ? * ? *)", "cron(0 0 * * ?)", "cron(60 0 * * ? *)", "cron(0 24 * * ? *)",
        "cron(0 0 0 * ? *)", "cron(0 0 32 * ? *)", "cron(0 0 1 13 ? *)", "cron(0 0 ? * 8 *)", "cron(0 0 ? * MON#6 *)",
        "cron(0 0 1 1 ? 1969)", "cron(0 0 W * ? *)", "cron(0/0 0 * * ? *)", "cron(a 0 * * ? *)", "cron(0 0 FRI * ? *)",
        "cron(0 0 32W * ? *)", "cron(0 0 ? * 9L *)",
    ],
)  # fmt: skip
def test_what_is_refused(expression: str) -> None:
    with pytest.raises(InvalidSchedule):
        parse(expression)


def part(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda two: f"{two[0]}-{two[1]}")
    step = st.tuples(st.just("*") | number.map(str) | span, st.integers(1, 7)).map(
        lambda two: f"{two[0]}/{two[1]}"
    )
    return st.lists(number.map(str) | span | step, min_size=1, max_size=2).map(",".join)


MONTH_DAYS = st.lists(
    st.sampled_from(["L", "LW", "L-3"]) | st.integers(1, 31).map(lambda day: f"{day}W") | part(1, 31),
    min_size=1, max_size=2,
).map(",".join)  # fmt: skip
WEEK_DAYS = st.lists(
    st.sampled_from(["MON", "SUN-TUE", "L", "FRI#2"])
    | st.tuples(st.integers(1, 7), st.integers(1, 5)).map(lambda two: f"{two[0]}#{two[1]}")
    | st.integers(1, 7).map(lambda day: f"{day}L")
    | part(1, 7),
    min_size=1, max_size=2,
).map(",".join)  # fmt: skip
ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/St_Johns",
]
# Around changes of the clock, a year's end, and February.
BEGINS = ["2026-03-06", "2026-03-27", "2026-10-02", "2026-10-23", "2026-10-30", "2026-12-30", "2028-02-26"]


@pytest.mark.promise(123)
@settings(max_examples=8, deadline=None)
@given(
    part(0, 59), st.just("*") | part(0, 4) | part(0, 23), (MONTH_DAYS | st.just("*")).map(lambda day: (day, "?"))
    | WEEK_DAYS.map(lambda day: ("?", day)), st.just("*") | st.just("JAN-MAR,OCT") | part(1, 12),
    st.sampled_from(ZONES), st.sampled_from(BEGINS),
)  # fmt: skip
def test_any_expression_is_due_when_brute_force_says(
    minutes: str, hours: str, days: tuple[str, str], months: str, zone: str, begin: str
) -> None:
    expression = f"cron({minutes} {hours} {days[0]} {months} {days[1]} *)"
    where, at = ZoneInfo(zone), datetime.fromisoformat(begin).replace(tzinfo=UTC)
    expected = list(reference.minutes_due(expression, at, 6, where))
    schedule, found = parse(expression), []
    assert isinstance(schedule, Cron)
    due: float | None = at.timestamp()
    while (due := schedule.next(due, where)) is not None and due <= (at + timedelta(days=6)).timestamp():
        found.append(datetime.fromtimestamp(due, UTC))
    assert found == expected
