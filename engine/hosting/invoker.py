"""An invocation of a function by its name: which version answers, under which limits, and what AWS would say.

All of it belongs to the event loop that serves requests; the catalog changes it through `changed`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from .. import limits, wire
from .._native import lib
from ..aws.faults import Fault
from ..aws.names import LATEST, Place
from ..calls.dispatch import Outcome, error_payload, uuid_text
from ..durable.state import Change, State
from ..errors import EngineError, FunctionError, InvalidEvent, TooManyRequests
from ..observe.ended import About, Ended, ended
from ..observe.lines import error_line
from .deployments import Deployment, Fleet

_LOG_SECONDS = 0.05
_EXTRAS: int = lib.STK_EXTRAS


class Usage:
    """A function's invocations in flight, all its versions together. reserved: its own concurrency, or None."""

    __slots__ = ("in_flight", "reserved")

    def __init__(self, reserved: int | None) -> None:
        self.in_flight = 0
        self.reserved = reserved


@dataclass(slots=True)
class Route:
    """Where the invocations of one name and qualifier go."""

    name: str
    usage: Usage
    deployment: Deployment
    arn: str  # as invoked, when that is not the version's own: an alias's
    other: Route | None = None  # of an alias with two versions
    weight: float = 0.0  # the other's share


@dataclass(slots=True)
class Result:
    """An invocation's end. payload: the response, or the error object when `failed`."""

    payload: bytes
    failed: bool
    request_id: str
    version: str
    deployment: Deployment
    ended: Ended | None  # None: it never came up
    at: float  # epoch seconds of its end


# Takes what ended, for its log.
Logs = Callable[[About, list[Ended]], object]
# A Result, or why there is none: AWS's refusal.
OnResult = Callable[["Result | Fault"], None]


class Invoker:
    """Invokes functions of the catalog."""

    def __init__(
        self,
        state: State,
        place: Place,
        fleet: Fleet,
        logs: Logs,
        account_limit: int = limits.CONCURRENCY_MAX,
    ) -> None:
        self._state = state
        self.place = place
        self._fleet = fleet
        self._logs = logs
        self._account_limit = account_limit
        self._usage: dict[str, Usage] = {}
        self._reserved = sum(
            record["ReservedConcurrentExecutions"]
            for owner in state.owners("concurrency")
            if (record := state.get("concurrency", owner))
        )
        self._unreserved = Usage(None)
        self._unlogged: dict[Deployment, list[Ended]] = {}
        self.routes: dict[tuple[str, str | None], Route] = {}

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
            arn = self.place.function(name, qualifier or LATEST)
            raise Fault("ResourceNotFoundException", f"Function not found: {arn}", Type="User")
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
            arn = self.place.function(name, version)
            raise Fault("ResourceNotFoundException", f"Function not found: {arn}", Type="User")
        return record

    def _to(self, name: str, record: Mapping[str, Any], arn: str) -> Route:
        usage = self.usage(name)
        deployment = self._fleet.deployment(record, usage.reserved, self._warm(name, record["Version"]))
        return Route(name, usage, deployment, arn)

    def _warm(self, name: str, version: str) -> int:
        """How many workers provisioned concurrency asks for, of this version or of aliases that mean it."""
        wanted = 0
        for qualifier, record in self._state.owned("provisioned", name).items():
            alias = self._state.get("alias", name, qualifier)
            if (alias["FunctionVersion"] if alias else qualifier) == version:
                wanted += record["RequestedProvisionedConcurrentExecutions"]
        return wanted

    def warmed(self, name: str, qualifier: str) -> int | None:
        """Workers there are of a version, or of the one that an alias means; None: it cannot be started. From any
        thread."""
        alias = self._state.get("alias", name, qualifier)
        return self._fleet.warmed(name, alias["FunctionVersion"] if alias else qualifier)

    def usage(self, name: str) -> Usage:
        found = self._usage.get(name)
        if found is None:
            record = self._state.get("concurrency", name)
            found = self._usage[name] = Usage(record["ReservedConcurrentExecutions"] if record else None)
        return found

    def invoke(
        self, route: Route, event: bytes, answer: OnResult, extras: wire.Extras | None, id: bytes = b""
    ) -> bytes:
        """Run it. `answer` is called exactly once, in the loop, maybe before this returns. The request id, 16 bytes:
        `id`, or a new one. Raises Fault: TooManyRequestsException, when nothing may be accepted now."""
        usage = route.usage
        shared = self._unreserved
        if usage.reserved is not None:
            if usage.in_flight >= usage.reserved:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        elif shared.in_flight >= self._account_limit - self._reserved:
            raise throttled("ConcurrentInvocationLimitExceeded")
        counted = usage if usage.reserved is not None else shared
        usage.in_flight += 1
        if counted is not usage:
            counted.in_flight += 1
        id = id or new_id()
        deployment = route.deployment
        flags = 0
        if route.arn:
            extras = extras or wire.Extras()
            extras.arn = route.arn
        if extras is not None:
            event, flags = wire.attach(extras, event), _EXTRAS

        def answered(told: Outcome | EngineError) -> None:
            usage.in_flight -= 1
            if counted is not usage:
                counted.in_flight -= 1
            answer(self._result(deployment, told, id))

        deployment.submit(event, answered, flags, id)
        return id

    def _result(self, deployment: Deployment, told: Outcome | EngineError, id: bytes) -> Result | Fault:
        version, now = deployment.key[1], time.time()
        request_id = told.request_id if isinstance(told, Outcome) else uuid_text(id)
        entry = deployment.entry
        if not isinstance(told, Outcome):
            if isinstance(told, FunctionError):  # it could not be initialised
                body: dict[str, Any] = {
                    "errorMessage": told.error_message,
                    "errorType": told.error_type,
                    "requestId": "",
                }
                body = {**body, "stackTrace": told.stack_trace}
                failed = self._log_init(deployment, told, request_id, now)
                return Result(wire.encode(body), True, request_id, version, deployment, failed, now)
            return refused(told)
        assert entry is not None
        said = self._log(deployment, told, now)
        if told.status == lib.STK_OK:
            return Result(told.data, False, request_id, version, deployment, said, now)
        try:
            return Result(error_payload(entry, told), True, request_id, version, deployment, said, now)
        except EngineError as error:
            return refused(error)

    def _log(self, deployment: Deployment, outcome: Outcome, at: float) -> Ended:
        entry = deployment.entry
        assert entry is not None
        said = ended(entry, outcome, at * 1e3)
        self._keep(deployment, said)
        return said

    def _log_init(
        self, deployment: Deployment, error: FunctionError, request_id: str, at: float
    ) -> Ended | None:
        """The log of an invocation that an init that failed was the end of. What the init itself wrote is in the log
        already; of that, the result's tail has the error."""
        if not deployment.about.group:  # it did not get so far as to have a log
            return None
        status = "timeout" if error.error_type == "Sandbox.Timedout" else "error"
        said = Ended(
            request_id, at * 1e3, 0, 0, status, error.error_type,
            cold=True, init_ms=deployment.init_ms, init_status=status,
        )  # fmt: skip
        self._keep(deployment, said)
        told = error_line(
            error.error_type, error.error_message, error.stack_trace, int(at * 1e3), deployment.about.form
        )
        return msgspec.structs.replace(said, output=told)

    def _keep(self, deployment: Deployment, said: Ended) -> None:
        if said.cold:
            said.init_at, deployment.began = deployment.began, 0.0
        if not self._unlogged:
            asyncio.get_running_loop().call_later(_LOG_SECONDS, self.flush_logs)
        waiting = self._unlogged.get(deployment)
        if waiting is None:
            self._unlogged[deployment] = [said]
        else:
            waiting.append(said)

    def flush_logs(self) -> None:
        """Hand what ended since the last time to the log."""
        unlogged, self._unlogged = self._unlogged, {}
        for deployment, some in unlogged.items():
            self._logs(deployment.about, some)

    def changed(self, change: Change) -> None:
        """The catalog changed: the next invocation finds what is now true."""
        for table, owner, id, record in change.steps:
            if table == "function" and record is None:
                self._fleet.withdraw(owner, id)
            elif table == "concurrency":
                self._reserve(owner, record)
        self.routes.clear()
        names = {
            owner
            for table, owner, _id, _record in change.steps
            if table in ("function", "alias", "provisioned")
        }
        for name in names:
            self._keep_warm(name)

    def _reserve(self, name: str, record: Mapping[str, Any] | None) -> None:
        usage = self.usage(name)
        self._reserved -= usage.reserved or 0
        usage.reserved = record["ReservedConcurrentExecutions"] if record else None
        self._reserved += usage.reserved or 0

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
        """Now and then: end what nobody asks for."""
        if self._fleet.sweep():
            self.routes.clear()


def new_id() -> bytes:
    """A request id: a version 4 UUID, unique and not secret, without asking the kernel for each."""
    return ((random.getrandbits(128) & _FREE) | _VERSION_4).to_bytes(16)


_FREE = ~((0xF << 76) | (0x3 << 62))
_VERSION_4 = (0x4 << 76) | (0x2 << 62)


def throttled(reason: str) -> Fault:
    return Fault("TooManyRequestsException", "Rate Exceeded.", Reason=reason, Type="User")


def refused(error: EngineError) -> Fault:
    """Why the engine did not run it, as AWS would say it."""
    if isinstance(error, TooManyRequests):
        return throttled("ConcurrentInvocationLimitExceeded")
    if isinstance(error, InvalidEvent):
        return Fault("InvalidRequestContentException", str(error), Type="User")
    return Fault("ServiceException", str(error), Type="Service")
