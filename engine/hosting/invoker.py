"""An invocation of a function by its name: which version runs it, under which limits, and with which result.

All of it belongs to the event loop that serves requests; the catalog changes it through `changed`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import limits, wire
from .._native import lib
from ..aws.faults import Fault
from ..aws.names import LATEST, Place
from ..calls.dispatch import Outcome
from ..durable.state import Change, State
from ..errors import EngineError
from ..observe.functions import InFlight
from ..observe.spans import Arrival, Spans
from .deployments import Deployment, Fleet
from .quota import Quota
from .results import OnResult, Result, result_of, throttle
from .tracing import Tracing
from .usage import Usage

_EXTRAS: int = lib.STK_EXTRAS
# Of an invocation's place: it found no provisioned worker; it is one of those that all functions share.
BESIDE, SHARED = 1, 2
_RESERVED_FULL, _FULL = -1, -2
_REASONS = {
    _RESERVED_FULL: "ReservedFunctionConcurrentInvocationLimitExceeded",
    _FULL: "ConcurrentInvocationLimitExceeded",
}


@dataclass(slots=True)
class Route:
    """Where the invocations of one name and qualifier go."""

    name: str
    usage: Usage
    deployment: Deployment
    arn: str  # as invoked, when that is not the version's own: an alias's
    other: Route | None = None  # of an alias with two versions
    weight: float = 0.0  # the other's share


class Invoker:
    """Invokes the functions of a place."""

    def __init__(
        self,
        state: State,
        place: Place,
        fleet: Fleet,
        account_limit: int = limits.CONCURRENCY_MAX,
        spans: Spans | None = None,
        quota: Quota | None = None,
    ) -> None:
        """quota: what all processes of the server have begun, where there are several."""
        self._tracing = Tracing(spans, place) if spans is not None else None
        self._state = state
        self.place = place
        self._fleet = fleet
        self._account_limit = account_limit
        self._usage: dict[str, Usage] = {}
        self._quota = quota
        self._unreserved = Usage(account_limit - self._all_reserved(), quota=quota)
        self._count(self._unreserved, "")
        self.routes: dict[tuple[str, str | None], Route] = {}
        self.tap: Callable[[str, bytes], object] | None = None  # gets each function's name and event

    def route(self, name: str, qualifier: str | None) -> Route:
        """Where an invocation goes. Raises Fault: ResourceNotFoundException."""
        found = self.routes.get((name, qualifier))
        if found is None or found.deployment.retired:
            found = self.routes[name, qualifier] = self._resolve(name, qualifier)
        if found.other is None or random.random() >= found.weight:
            return found
        if found.other.deployment.retired:
            del self.routes[name, qualifier]
            return self.route(name, qualifier)
        return found.other

    def _resolve(self, name: str, qualifier: str | None) -> Route:
        record = self._state.get("function", name, qualifier or LATEST)
        if record is not None:
            return self._to(name, record, "")
        alias = self._state.get("alias", name, qualifier or "")
        if alias is None:
            raise self._not_found(name, qualifier or LATEST)
        arn = self.place.function(name, qualifier)
        route = self._to(name, self._version(name, alias["FunctionVersion"]), arn)
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        for version, weight in weights.items():
            route.other = self._to(name, self._version(name, version), arn)
            route.weight = weight
        return route

    def _version(self, name: str, version: str) -> Mapping[str, Any]:
        record = self._state.get("function", name, version)
        if record is None:
            raise self._not_found(name, version)
        return record

    def _not_found(self, name: str, version: str) -> Fault:
        text = f"Function not found: {self.place.function(name, version)}"
        return Fault("ResourceNotFoundException", text, Type="User")

    def _to(self, name: str, record: Mapping[str, Any], arn: str) -> Route:
        usage = self.usage(name)
        deployment = self._fleet.deployment(record, usage.reserved, self._warm(name, record["Version"]))
        return Route(name, usage, deployment, arn)

    def _warm(self, name: str, version: str) -> int:
        """How many workers provisioned concurrency keeps, of this version or of aliases that mean it."""
        workers = 0
        for qualifier, record in self._state.owned("provisioned", name).items():
            alias = self._state.get("alias", name, qualifier)
            if (alias["FunctionVersion"] if alias else qualifier) == version:
                workers += record["RequestedProvisionedConcurrentExecutions"]
        return workers

    def warmed(self, name: str, qualifier: str) -> int | None:
        """Workers there are of a version, or of the one that an alias means; None: it cannot be started. From any
        thread."""
        alias = self._state.get("alias", name, qualifier)
        return self._fleet.warmed(name, alias["FunctionVersion"] if alias else qualifier)

    def sampled(self, name: str, qualifier: str | None) -> bool:
        """Are its invocations traced, unless their caller has decided?"""
        try:
            return self.route(name, qualifier).deployment.sampled
        except Fault:
            return False

    def usage(self, name: str) -> Usage:
        found = self._usage.get(name)
        if found is None:
            reserved, provisioned = self._reserved_of(name), self._provisioned_of(name)
            found = self._usage[name] = Usage(reserved, provisioned=provisioned, quota=self._quota)
        self._count(found, name)
        return found

    def _count(self, usage: Usage, name: str) -> None:
        """In the quota from now on, if that has come to know of it."""
        if usage.slot is None and not usage.in_flight:
            usage.slot = self._slot(name)

    def _slot(self, name: str) -> int | None:
        return None if self._quota is None else self._quota.slot((self.place.partition, name))

    def full(self, name: str, most: int) -> Usage | None:
        """What must end before another invocation may begin: the function's own (of which there are its reserved
        concurrency, or `most`), or the place's. None: nothing."""
        usage = self.usage(name)
        if usage.in_flight >= most if usage.reserved is None else usage.total >= usage.reserved:
            return usage
        unreserved = self._unreserved
        if usage.reserved is None and unreserved.total >= (unreserved.reserved or 0):
            return unreserved
        return None

    def _provisioned_of(self, name: str) -> int:
        records = self._state.owned("provisioned", name).values()
        return sum(record["RequestedProvisionedConcurrentExecutions"] for record in records)

    def _reserved_of(self, name: str) -> int | None:
        record = self._state.get("concurrency", name)
        return record["ReservedConcurrentExecutions"] if record else None

    def _all_reserved(self) -> int:
        return sum(self._reserved_of(name) or 0 for name in self._state.owners("concurrency"))

    def enter(self, route: Route) -> int:
        """Takes a place for an invocation, which `leave` gives back: BESIDE and SHARED; negative, of _REASONS: there is
        none."""
        usage = route.usage
        beside = route.deployment.in_flight >= route.deployment.warm
        if not usage.begin(beside):
            return _RESERVED_FULL
        if usage.reserved is not None:
            return beside
        if not self._unreserved.begin(True):
            usage.end(beside)
            return _FULL
        return beside | SHARED

    def leave(self, route: Route, place: int) -> None:
        if place & SHARED:
            self._unreserved.end(True)
        route.usage.end(bool(place & BESIDE))

    def invoke(
        self,
        route: Route,
        event: bytes,
        on_result: OnResult,
        extras: wire.Extras | None,
        id: bytes = b"",
        arrival: Arrival | None = None,
    ) -> bytes:
        """Run it. `on_result` is called exactly once, in the loop, maybe before this returns. The request id, 16 bytes:
        `id`, or a new one. Extras' trace is complete (aws/traces.py), or "". Raises Fault: TooManyRequestsException,
        when nothing may be accepted now."""
        place = self.enter(route)
        if place < 0:
            raise self._throttled(route, _REASONS[place], extras, id, arrival)
        id = id or new_id()
        deployment, alias = route.deployment, route.arn
        flags = 0
        if self.tap is not None:
            self.tap(route.name, event)
        if alias:
            extras = extras or wire.Extras()
            extras.arn = alias
        span = None
        if extras is not None:
            if extras.trace and self._tracing is not None:
                span = self._tracing.begin(deployment, alias, extras, id, arrival)
            event, flags = wire.attach(extras, event), _EXTRAS

        def on_outcome(outcome: Outcome | EngineError) -> None:
            self.leave(route, place)
            result = result_of(deployment, outcome, id, alias, bool(place & BESIDE))
            if span is not None and self._tracing is not None:
                self._tracing.ended(span, outcome, result)
            on_result(result)

        deployment.submit(event, on_outcome, flags, id)
        return id

    def _throttled(
        self, route: Route, reason: str, extras: wire.Extras | None, id: bytes, arrival: Arrival | None
    ) -> Fault:
        if extras is not None and extras.trace and self._tracing is not None and arrival is None:
            self._tracing.throttled(route.deployment, route.arn, extras, id or new_id())
        return throttle(route.deployment, reason, route.arn)

    async def result(
        self,
        name: str,
        qualifier: str | None,
        event: bytes,
        id: bytes,
        extras: wire.Extras | None = None,
        arrival: Arrival | None = None,
    ) -> Result | Fault:
        """`invoke`, awaited. Raises Fault where that does, and for a function that is not there."""
        future: asyncio.Future[Result | Fault] = asyncio.get_running_loop().create_future()

        def on_result(result: Result | Fault) -> None:
            if not future.done():
                future.set_result(result)

        self.invoke(self.route(name, qualifier), event, on_result, extras, id, arrival)
        return await future

    def running(self) -> list[InFlight]:
        """Functions that have invocations, in any process, or workers that are kept warm."""
        if self._quota is not None:
            for name, slot in self._quota.names(self.place.partition):
                if name not in self._usage and self._quota.used(slot):
                    self.usage(name)
        return [
            InFlight(
                name,
                usage.total,
                usage.reserved is not None,
                self._fleet.provisioned(name) if usage.provisioned else (),
            )
            for name, usage in self._usage.items()
            if usage.provisioned or usage.total
        ]

    def changed(self, change: Change) -> None:
        """The catalog changed: the next invocation finds what is now true."""
        self._count(self._unreserved, "")
        for table, owner, id, record in change.steps:
            if table == "function" and record is None:
                self._fleet.withdraw(owner, id)
            elif table == "concurrency":
                self.usage(owner).reserved = self._reserved_of(owner)
                self._unreserved.reserved = self._account_limit - self._all_reserved()
            elif table == "provisioned":
                self.usage(owner).provisioned = self._provisioned_of(owner)
        self.routes.clear()
        for name in {
            owner for table, owner, *_ in change.steps if table in ("function", "alias", "provisioned")
        }:
            self._keep_warm(name)

    def _keep_warm(self, name: str) -> None:
        """What runs follows its new configuration at once; what is to be kept warm starts."""
        for version, record in self._state.owned("function", name).items():
            if self._warm(name, version) or self._fleet.has(name, version):
                self._to(name, record, "")

    def start(self) -> None:
        """At the server's start: what has provisioned concurrency is brought up."""
        for name in self._state.owners("provisioned"):
            self._keep_warm(name)

    def sweep(self) -> None:
        """Now and then: end versions that had no invocation for long, forget functions that are no more."""
        if self._fleet.sweep():
            self.routes.clear()
        for name in [name for name, usage in self._usage.items() if not usage.in_flight]:
            if not self._state.owned("function", name):
                del self._usage[name]


def new_id() -> bytes:
    """A request id: a version 4 UUID, unique and not secret, without asking the kernel for each."""
    return ((random.getrandbits(128) & _FREE) | _VERSION_4).to_bytes(16)


_FREE = ~((0xF << 76) | (0x3 << 62))
_VERSION_4 = (0x4 << 76) | (0x2 << 62)
