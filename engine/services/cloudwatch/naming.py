"""Which series a request names: namespace, name, dimensions and unit, and the rules for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...aws.names import Place
from ...observe.metrics import Series
from . import faults
from .index import ANY

UNITS = (
    "None", "Count", "Milliseconds", "Seconds", "Microseconds", "Percent", "Bytes", "Kilobytes", "Megabytes",
    "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Bytes/Second",
    "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second",
    "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second",
)  # fmt: skip
DIMENSIONS = 30
PERIODS = (1, 5, 10, 20, 30)  # seconds, beside the multiples of 60
Dimensions = tuple[tuple[str, str], ...]


def dimensions(listed: Iterable[Mapping[str, Any]] | None) -> Dimensions:
    """Raises Fault."""
    found = {each["Name"]: each["Value"] for each in listed or ()}
    if len(found) > DIMENSIONS:
        raise faults.value(f"The collection Dimensions must not have a size greater than {DIMENSIONS}.")
    return tuple(sorted(found.items()))


def listed(found: Dimensions) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in found]


def series_of(place: Place, metric: Mapping[str, Any], unit: str | None) -> Series:
    """The series that a metric of a request is. Raises Fault."""
    of = dimensions(metric.get("Dimensions"))
    return Series(place.region, place.account, metric["Namespace"], metric["MetricName"], of, unit or ANY)


def check_period(period: int) -> None:
    """Raises Fault."""
    if period not in PERIODS and period % 60:
        raise faults.value(
            f"The parameter Period must be a multiple of 60, or one of {', '.join(map(str, PERIODS))}."
        )
