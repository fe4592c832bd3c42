"""Invoke, from the request's bytes to the response's: ahead of all other operations, with nothing in between."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .. import limits, wire
from .._http import send_all
from ..aws import traces
from ..aws.faults import Fault
from ..aws.messages import Request
from ..aws.model import Model
from ..aws.service import Access
from ..calls.dispatch import uuid_text
from ..hosting.deployments import Deployment
from ..hosting.invoker import Route, new_id
from ..hosting.placements import Hosting, Placement
from ..hosting.results import OnResult, Result
from ..routing import recursion
from ..routing.event import AcceptedEvent
from ..routing.events import Events
from ..services.lambda_ import malformed
from ..services.lambda_.invocation import check_size, extras_of, log_result
from .budget import FREE
from .cycle import ACCEPTED, REMAPPED, InvokeCycle, no_room
from .door import Door
from .pace import Pace, expect
from .quick import Answers, Known, Name, QuickCycle

if TYPE_CHECKING:
    from .protocol import Protocol

EVENT = "Event"
DRY_RUN = "DryRun"
_TYPE, _LOG, _CLIENT = b"x-amz-invocation-type", b"x-amz-log-type", b"x-amz-client-context"
_TRACE, _TENANT, _DURABLE = b"x-amzn-trace-id", b"x-amz-tenant-id", b"x-amz-durable-execution-name"
_AUTHORIZATION, _HOST, _ORIGIN, _SITE = b"authorization", b"host", b"origin", b"sec-fetch-site"
_TOKEN = b"x-amz-security-token"
_PAGE = frozenset({_ORIGIN, _SITE})
_OPTIONS = frozenset({_TYPE, _LOG, _CLIENT, _TRACE, _TENANT, _DURABLE})
_MEMBERS = {
    _TYPE: "InvocationType", _LOG: "LogType", _CLIENT: "ClientContext", _TENANT: "TenantId",
    _DURABLE: "DurableExecutionName",
}  # fmt: skip
_NAMES_KEPT = 1000  # by URL: with its qualifier, one takes 300 bytes
_PLAIN_EVENT = {_TYPE: EVENT.encode()}  # with nothing in it that is still to be checked
_HEADERS = (
    b"content-type: application/json\r\nx-amzn-requestid: %b\r\nx-amzn-remapped-content-length: 0\r\n"
    b"x-amz-executed-version: %b\r\nx-amzn-trace-id: %b\r\n"
)


class Endpoint:
    """Responds to Invoke."""

    def __init__(
        self,
        hosting: Hosting,
        events: Events | None,
        model: Model,
        door: Door,
        body_limit: int = limits.EVENT_BYTES,
    ) -> None:
        """events: None, where no asynchronous ones come in."""
        self.body_limit = body_limit
        self._hosting = hosting
        self._events = events
        self._model = model
        self._door = door
        self._names: dict[tuple[bytes, Placement], Name] = {}
        self._paces: dict[Deployment, Pace] = {}
        self._answers = Answers(hosting, self._respond, self._paces)
        self._hosts: set[bytes] = set()  # Host headers that are this server's
        # To whom the responses of events that became durable together are owed: descriptor, request id, connection.
        self._accepted: list[tuple[int, bytes, Protocol]] = []
        if events is not None:
            events.watchers.append(self._send)
        self._placements: dict[bytes, Placement] = {}  # by the scope of a signature, which is believed

    def invoke(self, cycle: InvokeCycle) -> None:
        """Respond to a request that is complete. Never raises."""
        try:
            self._invoke(cycle)
        except Exception as error:
            self._failed(cycle, error)

    def quickly(self, cycle: QuickCycle, known: Known, body: bytes) -> bool:
        """The same for one that is known. False, with nothing done: what is known is not enough now."""
        if not known.event:
            return self._answers.begin(cycle, known, body)
        if len(body) > FREE:
            return False
        cycle.again()
        placement = known.placement
        try:
            placement.invoker.route(*known.function)
            self._accept(cycle, placement.place.partition, known.function, body or b"{}", None)
        except Exception as error:
            self._failed(cycle, error)
        return True

    def _failed(self, cycle: InvokeCycle, error: Exception) -> None:
        if not isinstance(error, Fault):
            cycle.protocol.loop.call_exception_handler({"message": "an Invoke failed", "exception": error})
            error = Fault("ServiceException", "Internal error", Type="Service")
        self._refuse(cycle, error, str(uuid.uuid4()))

    def look(self, cycle: InvokeCycle) -> bool:
        """May a request whose body is still to come be read? Else this responds."""
        try:
            self._check_page(cycle)
            if self._door.guarded:
                cycle.claim = self._door.look(_request(cycle), "lambda", Access.SIGNED)
        except Fault as fault:
            self._refuse(cycle, fault, str(uuid.uuid4()))
            return False
        return True

    def refuse(self, cycle: InvokeCycle, fault: Fault) -> None:
        """Respond with that."""
        self._refuse(cycle, fault, str(uuid.uuid4()))

    def _check_page(self, cycle: InvokeCycle) -> None:
        host = origin = site = b""
        for name, value in cycle.headers:
            if name == _HOST:
                host = value
            elif name == _ORIGIN:
                origin = value
            elif name == _SITE:
                site = value
        self._door.browsers.check(host.decode("latin-1"), origin.decode("latin-1"), site.decode("latin-1"))

    def _invoke(self, cycle: InvokeCycle) -> None:
        options: dict[bytes, bytes] = {}
        authorization = host = b""
        page = False
        for name, value in cycle.headers:
            if name == _HOST:
                host = value
            elif name == _AUTHORIZATION:
                authorization = value
            elif name in _OPTIONS:
                options[name] = value
            elif name in _PAGE:
                page = True
        if page or host not in self._hosts:
            self._check_page(cycle)
            if len(self._hosts) < _NAMES_KEPT:
                self._hosts.add(host)
        body = cycle.taken()
        placement = self._placement(cycle, authorization, body)
        function = self._names.get((cycle.url, placement))
        if function is None or (options and options != _PLAIN_EVENT):
            function = self._function(cycle.url, placement, options)
        kind = options.get(_TYPE, b"").decode() if options else ""
        limit = limits.ASYNC_BYTES if kind == EVENT else limits.EVENT_BYTES
        check_size(limit + 1 if cycle.too_large else len(body), limit, "InvokeFunction")
        route = placement.invoker.route(*function)
        extras = _extras(options) if options else None
        if kind == DRY_RUN:
            cycle.respond(204, [(b"x-amzn-requestid", str(uuid.uuid4()).encode()), REMAPPED], b"")
            return
        if cycle.key is not None and not self._door.guarded and b"X-Amz-Credential=" not in cycle.url:
            self._know(cycle, Known(placement, function, kind == EVENT), route)
        if kind == EVENT:
            self._accept(cycle, placement.place.partition, function, body or b"{}", extras)
            return
        request_id = new_id()
        sampled = route.deployment.sampled
        if extras is not None and extras.trace:
            extras.trace = traces.completed(extras.trace, request_id, time.time(), sampled)
            recursion.check(placement, function[0], extras)
        elif cycle.protocol.client is None:  # a function's, by the Unix socket, that nothing traced
            extras = recursion.traced(placement, function[0], extras, request_id, sampled)
        elif sampled:
            extras = extras or wire.Extras()
            extras.trace = traces.own(request_id, time.time(), placement.place.function(function[0]))
        trace = b"" if extras is None or not extras.trace else traces.response_header(extras.trace)
        with_tail = options.get(_LOG) == b"Tail"

        def on_result(result: Result | Fault) -> None:
            self._respond(cycle, result, body, uuid_text(request_id), with_tail, trace)

        if route.deployment.reply_bytes == 0:
            placement.invoker.invoke(route, body or b"{}", on_result, extras, request_id)
        else:
            invoke = placement.invoker.invoke
            self._invoke_in_time(
                route.deployment,
                on_result,
                lambda then: invoke(route, body or b"{}", then, extras, request_id),
            )

    def _know(self, cycle: InvokeCycle, found: Known, route: Route) -> None:
        """Another like this one is known by its key."""
        protocol, key = cycle.protocol, cycle.key
        if key is None or not (found.event or self._answers.take(protocol, found.placement.invoker, route)):
            return
        known = protocol.acceptor.known
        if len(known) >= _NAMES_KEPT:
            known.clear()
        known[key] = found

    def _respond(
        self,
        cycle: InvokeCycle,
        result: Result | Fault,
        body: bytes,
        request_id: str,
        with_tail: bool = False,
        trace: bytes = b"",
    ) -> None:
        """As an invocation ended."""
        if isinstance(result, Fault):
            self._refuse(cycle, malformed.explained(result, body), request_id)
            return
        expect(result.deployment, len(result.payload))
        if not cycle.succeed(_headers(result, with_tail, trace), result.payload):
            self._refuse(cycle, no_room(), request_id)

    def _invoke_in_time(
        self, deployment: Deployment, on_result: OnResult, invoke: Callable[[OnResult], object]
    ) -> None:
        """Invokes a function whose responses may be large, at the pace that this allows."""
        pace = self._paces.get(deployment)
        if pace is None:
            pace = self._paces[deployment] = Pace()

        def run(number: int) -> None:
            def ended(result: Result | Fault) -> None:
                began = time.perf_counter()
                on_result(result)
                pace.ended(number, deployment.reply_bytes, time.perf_counter() - began)
                if pace.at_rest:
                    self._paces.pop(deployment, None)

            try:
                invoke(ended)
            except Fault as fault:
                ended(fault)

        pace.begin(run)

    def _placement(self, cycle: InvokeCycle, authorization: bytes, body: bytes) -> Placement:
        """Where the caller's functions are. Raises Fault for one who may not come in."""
        if not self._door.guarded and b"X-Amz-Credential=" not in cycle.url:
            scope = authorization.partition(b",")[0]  # the signature behind it is another one each time
            found = self._placements.get(scope)
            if found is None:
                token = next((value for name, value in cycle.headers if name == _TOKEN), b"")
                found = self._hosting.of(
                    self._door.caller(scope.decode("latin-1"), token.decode("latin-1")).place
                )
                if len(self._placements) >= _NAMES_KEPT:
                    self._placements.clear()
                self._placements[scope] = found
            return found
        request = _request(cycle)
        claim = cycle.claim or self._door.look(request, "lambda", Access.SIGNED)
        if cycle.too_large:
            claim = None  # there is no body to confirm it with, and no more will be done than to say so
        return self._hosting.of(self._door.enter(request, claim, body).place)

    def _accept(
        self,
        cycle: InvokeCycle,
        partition: str,
        function: Name,
        body: bytes,
        extras: wire.Extras | None,
    ) -> None:
        """An asynchronous event: 202 once it cannot be lost any more."""
        assert self._events is not None
        malformed.check(body)
        id = new_id()
        event = AcceptedEvent(*function, partition, id, time.time(), extras)
        self._events.accept(event, body, partial(self._stored, cycle, id))

    def _stored(self, cycle: InvokeCycle, id: bytes, error: BaseException | None) -> None:
        if error is None:
            cycle.accepted(id, self._accepted)
        else:
            message = f"The event could not be stored: {error}"
            self._refuse(cycle, Fault("ServiceException", message, Type="Service"), uuid_text(id))

    def _send(self) -> None:
        """Writes the responses of all events that a commit has made durable."""
        if not self._accepted:
            return
        accepted, self._accepted = self._accepted, []
        before, after = ACCEPTED[0] % accepted[0][2].acceptor.date(), ACCEPTED[1]
        for at, sent in send_all(before, accepted, after):
            _, id, protocol = accepted[at]
            protocol.transport.write((before + uuid_text(id).encode() + after)[sent:])

    def _function(self, url: bytes, placement: Placement, options: dict[bytes, bytes]) -> Name:
        """The function's name and qualifier, checked as the model has it. Raises Fault."""
        path, _, query = url.decode("ascii").partition("?")
        text = unquote(path.split("/")[3])
        members: dict[str, Any] = {"FunctionName": text}
        qualifier = None
        for pair in query.split("&"):
            key, _, value = pair.partition("=")
            if key == "Qualifier":
                qualifier = members["Qualifier"] = unquote(value.replace("+", " "))
        for header, member in _MEMBERS.items():
            if header in options:
                members[member] = options[header].decode("latin-1")
        self._model.validate(self._model.operation("Invoke"), members)
        name = placement.place.parse(text, qualifier)
        if len(self._names) >= _NAMES_KEPT:
            self._names.clear()
        found = self._names[url, placement] = (name.name, name.qualifier)
        return found

    def _refuse(self, cycle: InvokeCycle, fault: Fault, request_id: str) -> None:
        response = self._model.error(fault, request_id)
        cycle.respond(response.status, response.headers, response.body)


def _request(cycle: InvokeCycle) -> Request:
    path, _, query = cycle.url.decode("ascii").partition("?")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in cycle.headers]
    return Request("POST", path, query, headers)


def _headers(result: Result, with_tail: bool, trace: bytes) -> bytes:
    """A response's headers, as lines. trace: "": the invocation's own, as its function makes it."""
    id = result.request_id.encode()
    trace = trace or b"root=1-%08x-%b;sampled=%d" % (
        result.began, id.replace(b"-", b"")[:24], result.deployment.sampled,
    )  # fmt: skip
    lines = _HEADERS % (id, result.version.encode(), trace)
    if result.failed:
        lines += b"x-amz-function-error: Unhandled\r\n"
    if with_tail:
        lines += b"x-amz-log-result: %b\r\n" % log_result(result)
    return lines


def _extras(options: dict[bytes, bytes]) -> wire.Extras | None:
    trace, tenant = options.get(_TRACE, b"").decode("latin-1"), options.get(_TENANT, b"").decode("latin-1")
    return extras_of(options.get(_CLIENT, b""), trace, tenant)
