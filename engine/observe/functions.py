"""The metrics of functions, namespace AWS/Lambda, of the stream of outcomes: the values that AWS publishes, under its
names and dimensions.

What comes between two minutes' ends is counted by version and by how it was called, in C; names and dimensions are made
of that when somebody wants the metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from .._observe import OutcomeCounts
from .metrics import MINUTE, Metrics, Series
from .outcomes import OutcomeBatch
from .points import Point, of_counts, of_values
from .records import DeploymentInfo

NAMESPACE = "AWS/Lambda"
TOGETHER = 1_000  # values of asynchronous events that are added up at once, at most
PROVISIONED, SPILLED = 1, 2  # what an invocation of a version with provisioned concurrency found
# What becomes of an accepted event, and the metric that counts it.
DROPPED, AGE, RECEIVED = "AsyncEventsDropped", "AsyncEventAge", "AsyncEventsReceived"
RECURSIVE = "RecursiveInvocationsDropped"


class InFlight(NamedTuple):
    """A function that runs. by_version: (version, invocations, warm workers) of those with provisioned concurrency."""

    name: str
    in_flight: int
    reserved: bool
    by_version: tuple[tuple[str, int, int], ...] = ()


class _Event(NamedTuple):
    """What is counted of a function's asynchronous events, and when."""

    region: str
    account: str
    name: str
    metric: str
    minute: int


@dataclass(slots=True)
class _Counted:
    """Values of asynchronous events. values: those that are not in the point yet."""

    point: Point = field(default_factory=lambda: Point(buckets={}))
    values: list[float] = field(default_factory=list)

    def settle(self) -> Point:
        values, self.values = self.values, []
        if values:
            self.point.merge(of_values(values))
        return self.point


class FunctionMetrics:
    """A subscriber to outcomes; belongs to the event loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counts: dict[int, tuple[DeploymentInfo, OutcomeCounts]] = {}  # by the deployment's identity
        self._events: dict[_Event, _Counted] = {}
        self.durations: dict[str, Point] = {}  # by function ARN, since the server's start: milliseconds
        self._ran: dict[int, DeploymentInfo] = {}  # since the last sample, by identity
        metrics.collect(self._made)

    def __call__(self, batch: OutcomeBatch) -> None:
        of = batch.deployment
        _, counts = self._counts.get(id(of)) or self._counts.setdefault(id(of), (of, OutcomeCounts()))
        if batch.ended or batch.quiet:
            self._ran[id(of)] = of
            counts.ended(batch.ended)
            for quiet in batch.quiet:
                counts.quiet(quiet.times)
        if batch.throttles:
            counts.throttled(batch.throttles)

    def gather(self) -> None:
        """Add what came until now: `durations` have it, too."""
        self._made(self._metrics)

    def keep_only(self, there: Callable[[str], bool]) -> None:
        """Now and then: forget the durations of functions that are no more."""
        for arn in [arn for arn in self.durations if not there(arn)]:
            del self.durations[arn]

    def _made(self, metrics: Metrics) -> None:
        counted, self._counts = self._counts, {}
        for of, counts in counted.values():
            place = (of.region, of.account, NAMESPACE)
            for minute, alias, done, errors, throttles, provisioned, spilled, values in counts.take():
                duration = Point(done, *values)
                if done:
                    self.durations.setdefault(of.function_arn, Point(buckets={})).merge(duration)
                found = {
                    "Invocations": of_counts(0, done),
                    "Errors": of_counts(done - errors, errors),
                    "Throttles": of_counts(done, throttles),
                    "ProvisionedConcurrencyInvocations": of_counts(0, provisioned),
                    "ProvisionedConcurrencySpilloverInvocations": of_counts(0, spilled),
                }
                for dimensions in _dimensions(of.function_name, of.version, alias):
                    for name, point in found.items():
                        if point.count:
                            metrics.merge(Series(*place, name, dimensions, "Count"), point, minute * MINUTE)
                    if done:
                        series = Series(*place, "Duration", dimensions, "Milliseconds")
                        metrics.merge(series, duration, minute * MINUTE)
        events, self._events = self._events, {}
        for event, noted in events.items():
            point = noted.settle()
            unit = "Milliseconds" if event.metric == AGE else "Count"
            for dimensions in _dimensions(event.name, "$LATEST", ""):
                series = Series(event.region, event.account, NAMESPACE, event.metric, dimensions, unit)
                metrics.merge(series, point, event.minute * MINUTE)

    def sampled(self, region: str, account: str, running: Iterable[InFlight]) -> None:
        """What runs now, of one place; what began and ended since the last time counts as one. Once a second."""
        place = (region, account, NAMESPACE)
        here = [key for key, of in self._ran.items() if (of.region, of.account) == (region, account)]
        ran = {self._ran.pop(key).function_name for key in here}
        total = unreserved = 0
        for each in running:
            total += each.in_flight
            unreserved += 0 if each.reserved else each.in_flight
            ran.discard(each.name)
            if each.in_flight:
                self._gauge(place, "ConcurrentExecutions", (("FunctionName", each.name),), each.in_flight)
            for version, in_flight, warm in each.by_version:
                dimensions = (("FunctionName", each.name), ("Resource", f"{each.name}:{version}"))
                used = min(in_flight, warm)
                self._gauge(place, "ProvisionedConcurrentExecutions", dimensions, used)
                self._gauge(place, "ProvisionedConcurrencyUtilization", dimensions, used / warm)
        for name in ran:
            self._gauge(place, "ConcurrentExecutions", (("FunctionName", name),), 1)
        total, unreserved = max(total, int(bool(ran))), max(unreserved, int(bool(ran)))
        if total:
            self._gauge(place, "ConcurrentExecutions", (), total)
            self._gauge(place, "ClaimedAccountConcurrency", (), total)
            self._gauge(place, "UnreservedConcurrentExecutions", (), unreserved)

    def _gauge(
        self, place: tuple[str, str, str], name: str, dimensions: tuple[tuple[str, str], ...], value: float
    ) -> None:
        self._metrics.add(Series(*place, name, dimensions, "Count"), value)

    def event(
        self, region: str, account: str, name: str, metric: str, value: float = 1, times: float = 1
    ) -> None:
        """Of a function's asynchronous events, and of what is sent when they end."""
        key = _Event(region, account, name, metric, int(self._metrics.clock() // MINUTE))
        counted = self._events.get(key)
        if counted is None:
            counted = self._events[key] = _Counted()
        if times != 1:
            counted.point.add(value, times)
            return
        counted.values.append(value)
        if len(counted.values) >= TOGETHER:
            counted.settle()


class MappingMetrics:
    """The metrics of event source mappings, of each minute's values together. Belongs to the event loop."""

    def __init__(self, metrics: Metrics, function_of: Callable[[str], str]) -> None:
        """function_of: the name of a mapping's function, by the mapping's ARN; "" where that is not known."""
        self._metrics = metrics
        self._function_of = function_of
        self._minute = 0
        self._values: dict[tuple[str, str], tuple[str, bool, list[float]]] = {}  # function; is it a gauge?
        metrics.collect(self._made)

    def count(self, arn: str, name: str, number: float) -> None:
        """arn: the mapping's."""
        self._note(arn, name, number, False)

    def gauge(self, arn: str, name: str, value: float) -> None:
        """IteratorAge, when a batch of a stream was done, and its kind."""
        self._note(arn, name, value, True)

    def _note(self, arn: str, name: str, value: float, gauge: bool) -> None:
        minute = int(self._metrics.clock() // MINUTE)
        if minute != self._minute:
            self._made(self._metrics)
            self._minute = minute
        known = self._values.get((arn, name))
        if known is None:
            known = self._values[arn, name] = (self._function_of(arn), gauge, [])
        known[2].append(value)
        if len(known[2]) >= TOGETHER:
            self._made(self._metrics)

    def _made(self, metrics: Metrics) -> None:
        noted, self._values = self._values, {}
        for (arn, name), (function, gauge, values) in noted.items():
            region, account = arn.split(":")[3:5]
            of_function = (("FunctionName", function),) if function else ()
            if gauge:
                unit = "Milliseconds" if name == "IteratorAge" else "Count"
                series = [(each, unit) for each in ((), of_function)[: 2 if function else 1]]
            else:
                series = [((("EventSourceMappingUUID", arn.rpartition(":")[2]), *of_function), "Count")]
            for dimensions, unit in series:
                made = Series(region, account, NAMESPACE, name, dimensions, unit)
                metrics.merge(made, of_values(values), self._minute * MINUTE)


def _dimensions(name: str, version: str, alias: str) -> list[tuple[tuple[str, str], ...]]:
    """All that an invocation counts for."""
    own = ("FunctionName", name)
    if alias:
        qualifier = alias.rsplit(":", maxsplit=1)[-1]
        resource = ("Resource", f"{name}:{qualifier}")
        return [(), (own,), (own, resource), (("ExecutedVersion", version), own, resource)]
    resource = ("Resource", name if version == "$LATEST" else f"{name}:{version}")
    return [(), (own,), (own, resource)]
