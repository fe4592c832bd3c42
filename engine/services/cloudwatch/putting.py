"""PutMetricData: values, sets of values and statistics, checked, into points that are durable before the response."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.folder import StoreError
from ...observe.metrics import MINUTE, Key, Series
from ...observe.points import Point, of_summary
from . import faults
from .keeper import Keeper
from .naming import dimensions

DATA = 1_000  # of a request
VALUES = 150  # of a datum
LARGEST = 2.0**360
PAST, FUTURE = 14 * 86_400, 2 * 3_600  # seconds
Members = dict[str, Any]


class Putting:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def put_metric_data(self, members: Members, caller: Caller) -> None:
        namespace = members["Namespace"]
        if namespace.startswith("AWS/"):
            raise faults.value(f"The value {namespace} for parameter Namespace is invalid.")
        data = list(members.get("MetricData") or ())
        for each in members.get("EntityMetricData") or ():
            data += each.get("MetricData") or ()
        if not data:
            raise faults.missing("MetricData")
        if len(data) > DATA:
            raise faults.value(f"The collection MetricData must not have a size greater than {DATA}.")
        points = self._points(caller.place, namespace, data)
        try:
            await self._keeper.put(points)
        except StoreError as error:
            raise Fault("InternalServiceFault", str(error)) from error

    def _points(self, place: Place, namespace: str, data: Iterable[Mapping[str, Any]]) -> dict[Key, Point]:
        now = self._keeper.metrics.clock()
        points: dict[Key, Point] = {}
        for number, datum in enumerate(data, 1):
            at = datum.get("Timestamp", now)
            where = f"MetricData.member.{number}"
            if not now - PAST <= at <= now + FUTURE:
                raise faults.value(
                    f"The parameter {where}.Timestamp must specify a time within the past two weeks and no more than "
                    "two hours in the future."
                )
            span = datum.get("StorageResolution", MINUTE)
            if span not in (1, MINUTE):
                raise faults.value(f"The parameter {where}.StorageResolution must be 1 or 60.")
            unit = datum.get("Unit", "None")
            of = dimensions(datum.get("Dimensions"))
            series = Series(place.region, place.account, namespace, datum["MetricName"], of, unit)
            key = (series, span, int(at // span) * span)
            point = _point(datum, where)
            if key in points:
                points[key].merge(point)
            else:
                points[key] = point
        return points


def _point(datum: Mapping[str, Any], where: str) -> Point:
    """Raises Fault."""
    ways = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) is not None]
    if len(ways) != 1:
        if not ways:
            raise faults.missing(f"{where}.Value")
        one, other = (f"{where}.{name}" for name in ways[:2])
        text = f"The parameters {one} and {other} are mutually exclusive and you have specified both."
        raise faults.combination(text)
    if ways[0] == "Value":
        point = Point(buckets={})
        point.add(_number(datum["Value"], f"{where}.Value"))
        return point
    if ways[0] == "StatisticValues":
        given = datum["StatisticValues"]
        count, total, low, high = (
            _number(given[name], f"{where}.StatisticValues.{name}")
            for name in ("SampleCount", "Sum", "Minimum", "Maximum")
        )
        if count <= 0:
            raise faults.value(f"The parameter {where}.StatisticValues.SampleCount must be greater than 0.")
        if low > high:
            raise faults.combination(
                f"The parameter {where}.StatisticValues.Maximum must be greater than or equal to "
                f"{where}.StatisticValues.Minimum."
            )
        return of_summary(count, total, low, high)
    values = datum["Values"]
    counts = datum.get("Counts")
    if not values or len(values) > VALUES:
        raise faults.value(f"The collection {where}.Values must have a size between 1 and {VALUES}.")
    if counts is not None and len(counts) != len(values):
        raise faults.value(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
    point = Point(buckets={})
    for value, times in zip(values, counts or [1.0] * len(values), strict=True):
        if _number(times, f"{where}.Counts") <= 0:
            raise faults.value(f"The parameter {where}.Counts must have values greater than 0.")
        point.add(_number(value, f"{where}.Values"), times)
    return point


def _number(value: float, where: str) -> float:
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise faults.value(f"The value {value} for parameter {where} is invalid.")
    return float(value)
