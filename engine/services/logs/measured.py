"""Metrics in logs: what metric filters take of events, and what events in the embedded metric format (EMF) say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from ... import wire
from ...observe.metrics import MINUTE
from ...observe.points import Point
from .disk import Filter, Raw, utf8
from .pattern import InvalidPattern, compile_pattern, reference

EMF = '"_aws"'
VALUES = 100  # of a metric in one event, and metrics of a directive
DIMENSIONS = 30
Name = tuple[
    str, str, tuple[tuple[str, str], ...], str, int, int
]  # namespace, name, dimensions, unit, span, beginning
_matcher = lru_cache(1024)(compile_pattern)
_reference = lru_cache(4096)(reference)


class MeasuredPoint(msgspec.Struct, array_like=True):
    """stamp: epoch seconds of the span's beginning."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    unit: str
    span: int
    stamp: int
    point: Point


def measured(events: Sequence[Raw], filters: Iterable[Filter]) -> list[MeasuredPoint]:
    """Of events that were written to one group."""
    points: dict[Name, Point] = {}

    def add(
        namespace: str, name: str, of: dict[str, str], unit: str, span: int, at: int, values: Iterable[float]
    ) -> None:
        dimensions = tuple(sorted((each, utf8(value)) for each, value in of.items()))
        key = (namespace, name, dimensions, unit, span, at // 1000 // span * span)
        point = points.get(key)
        if point is None:
            point = points[key] = Point(buckets={})
        for value in values:
            if math.isfinite(value):
                point.add(value)

    for filter in filters:
        try:
            _filtered(filter, events, add)
        except (InvalidPattern, KeyError):  # one of before that is read no more keeps none of the others
            continue
    for at, _, _, message in events:
        if EMF in message:
            for each in _embedded(message):
                add(*each[:5], each[5] if each[5] is not None else at, each[6])
    return [MeasuredPoint(*key, point) for key, point in points.items() if point.count]


Add = Callable[[str, str, dict[str, str], str, int, int, Iterable[float]], None]


def _filtered(filter: Filter, events: Sequence[Raw], add: Add) -> None:
    matches = _matcher(filter.pattern)
    for transformation in filter.members["metricTransformations"]:
        namespace, name = transformation["metricNamespace"], transformation["metricName"]
        unit, default = transformation.get("unit") or "None", transformation.get("defaultValue")
        wanted = transformation["metricValue"]
        for at, _, _, message in events:
            if not matches(message):
                if default is not None:
                    add(namespace, name, {}, unit, MINUTE, at, (default,))
                continue
            value = _number(_reference(filter.pattern, wanted)(message) if wanted.startswith("$") else wanted)
            of = {
                each: _reference(filter.pattern, selector)(message)
                for each, selector in (transformation.get("dimensions") or {}).items()
            }
            found = {each: value for each, value in of.items() if value}
            if value is not None and len(found) == len(of):  # without one of its dimensions it is no metric
                add(namespace, name, found, unit, MINUTE, at, (value,))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _embedded(message: str) -> Iterator[tuple[str, str, dict[str, str], str, int, int | None, list[float]]]:
    """What an event of the embedded metric format says; of another, or a broken one, nothing."""
    try:
        document = wire.fast_decode(message.strip().encode())  # lone surrogates are no names
    except (ValueError, RecursionError):
        return
    about = document.get("_aws") if isinstance(document, dict) else None
    if not isinstance(about, dict) or not isinstance(about.get("CloudWatchMetrics"), list):
        return
    at = about.get("Timestamp")
    when = at if isinstance(at, int) and 0 < at < 1 << 53 else None
    for directive in about["CloudWatchMetrics"][:VALUES]:
        namespace = directive.get("Namespace") if isinstance(directive, dict) else None
        if not isinstance(namespace, str) or not namespace or namespace.startswith("AWS/"):
            continue
        sets = [
            of
            for of in (_dimensions(document, names) for names in directive.get("Dimensions") or [[]])
            if of is not None
        ]
        for metric in (directive.get("Metrics") or [])[:VALUES]:
            name = metric.get("Name") if isinstance(metric, dict) else None
            if not isinstance(name, str) or not name:
                continue
            values = _values(document.get(name))
            span = 1 if values and metric.get("StorageResolution") == 1 else MINUTE
            for of in sets if values else ():
                yield namespace, name, of, str(metric.get("Unit") or "None"), span, when, values


def _dimensions(document: dict[str, Any], names: Any) -> dict[str, str] | None:
    """None: the event does not have them all."""
    if not isinstance(names, list) or len(names) > DIMENSIONS:
        return None
    found = {name: document.get(name) for name in names if isinstance(name, str)}
    if len(found) != len(names) or any(not isinstance(value, str) or not value for value in found.values()):
        return None
    return {name: str(value) for name, value in found.items()}


def _values(value: Any) -> list[float]:
    listed = value if isinstance(value, list) else [value]
    numbers = [float(each) for each in listed if isinstance(each, int | float) and not isinstance(each, bool)]
    return numbers if len(numbers) == len(listed) <= VALUES else []
