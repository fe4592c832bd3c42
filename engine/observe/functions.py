"""The metrics of functions, namespace AWS/Lambda, of the stream of outcomes: the values that AWS publishes, under its
names and dimensions.

What comes between two minutes' ends is tallied by version and by how it was called; names and dimensions are made of
that when somebody wants the metrics. An outcome costs a row in a list, and its part of a few passes over many of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .metrics import MINUTE, Metrics, Series
from .outcomes import OutcomeBatch
from .points import Point, of_counts, of_values
from .records import DeploymentInfo

NAMESPACE = "AWS/Lambda"
TOGETHER = 1_000  # records of a deployment that are tallied at once, at most
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


class _Called(NamedTuple):
    """A version, how it was called ("" by its own ARN), and when."""

    region: str
    account: str
    name: str
    version: str
    alias: str
    minute: int


_Row = tuple[float, int, str, str, int]  # of a record: at, took, status, alias, provisioned


@dataclass(slots=True)
class _Tally:
    arn: str
    invocations: int = 0
    errors: int = 0
    throttles: int = 0
    provisioned: int = 0
    spilled: int = 0
    duration: Point = field(default_factory=lambda: Point(buckets={}))  # milliseconds

    def add(self, took: Sequence[int], statuses: Sequence[str], provisioned: Sequence[int]) -> None:
        self.invocations += len(took)
        self.errors += len(took) - statuses.count("success")
        if any(provisioned):
            self.provisioned += provisioned.count(PROVISIONED)
            self.spilled += provisioned.count(SPILLED)
        self.duration.merge(of_values([each / 1e6 for each in took]))


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


@dataclass(slots=True)
class _Waiting:
    """What a deployment's records said that are not tallied yet."""

    of: DeploymentInfo
    rows: list[_Row] = field(default_factory=list)


class FunctionMetrics:
    """A subscriber to outcomes; belongs to the event loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tallies: dict[_Called, _Tally] = {}
        self._events: dict[_Event, _Counted] = {}
        self.durations: dict[str, Point] = {}  # by function ARN, since the server's start: milliseconds
        self._waiting: dict[int, _Waiting] = {}  # by the deployment's identity
        self._ran: dict[int, DeploymentInfo] = {}  # since the last sample, by identity
        metrics.collect(self._made)

    def __call__(self, batch: OutcomeBatch) -> None:
        of = batch.deployment
        waiting = self._waiting.get(id(of))
        if waiting is None:
            waiting = self._waiting[id(of)] = _Waiting(of)
        if batch.records:
            self._ran[id(of)] = of
            waiting.rows += [(r.at, r.took, r.status, r.alias, r.provisioned) for r in batch.records]
            if len(waiting.rows) >= TOGETHER:
                self._settle(waiting)
        for throttle in batch.throttles:
            self._tally(of, int(throttle.at // MINUTE), throttle.alias).throttles += 1

    def _settle(self, waiting: _Waiting) -> None:
        rows, waiting.rows = waiting.rows, []
        if not rows:
            return
        at, took, statuses, aliases, provisioned = zip(*rows, strict=True)
        first = _minute(min(at), max(took))
        if first == _minute(max(at), 0) and len(set(aliases)) == 1:  # as it is mostly
            self._tally(waiting.of, first, aliases[0]).add(took, statuses, provisioned)
            return
        apart: dict[tuple[int, str], list[_Row]] = {}
        for row in rows:
            apart.setdefault((_minute(row[0], row[1]), row[3]), []).append(row)
        for (minute, alias), found in apart.items():
            _, took, statuses, _, provisioned = zip(*found, strict=True)
            self._tally(waiting.of, minute, alias).add(took, statuses, provisioned)

    def _tally(self, of: DeploymentInfo, minute: int, alias: str) -> _Tally:
        key = _Called(of.region, of.account, of.function_name, of.version, alias, minute)
        return self._tallies.get(key) or self._tallies.setdefault(key, _Tally(of.function_arn))

    def gather(self) -> None:
        """Add what came until now."""
        self._metrics.gather()

    def keep_only(self, there: Callable[[str], bool]) -> None:
        """Now and then: forget the durations of functions that are no more."""
        for arn in [arn for arn in self.durations if not there(arn)]:
            del self.durations[arn]

    def _made(self, metrics: Metrics) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            self._settle(each)
        tallies, self._tallies = self._tallies, {}
        for called, tally in tallies.items():
            done, at = tally.invocations, called.minute * MINUTE
            if done:
                self.durations.setdefault(tally.arn, Point(buckets={})).merge(tally.duration)
            found = {
                "Invocations": of_counts(0, done),
                "Errors": of_counts(done - tally.errors, tally.errors),
                "Throttles": of_counts(done, tally.throttles),
                "ProvisionedConcurrencyInvocations": of_counts(0, tally.provisioned),
                "ProvisionedConcurrencySpilloverInvocations": of_counts(0, tally.spilled),
            }
            for dimensions in _dimensions(called.name, called.version, called.alias):
                place = (called.region, called.account, NAMESPACE)
                for name, point in found.items():
                    if point.count:
                        metrics.merge(Series(*place, name, dimensions, "Count"), point, at)
                if tally.duration.count:
                    metrics.merge(Series(*place, "Duration", dimensions, "Milliseconds"), tally.duration, at)
        events, self._events = self._events, {}
        for event, counted in events.items():
            point = counted.settle()
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


def _minute(at: float, took: int) -> int:
    """In which an invocation began, which is the one that it belongs to."""
    return int((at - took / 1e6) // 60_000)


def _dimensions(name: str, version: str, alias: str) -> list[tuple[tuple[str, str], ...]]:
    """All that an invocation counts for."""
    own = ("FunctionName", name)
    if alias:
        qualifier = alias.rsplit(":", maxsplit=1)[-1]
        resource = ("Resource", f"{name}:{qualifier}")
        return [(), (own,), (own, resource), (("ExecutedVersion", version), own, resource)]
    resource = ("Resource", name if version == "$LATEST" else f"{name}:{version}")
    return [(), (own,), (own, resource)]
