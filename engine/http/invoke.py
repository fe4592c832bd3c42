"""Invoke, from the request's bytes to the response's: ahead of all other operations, with nothing in between."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from .. import limits, wire
from ..aws.faults import Fault
from ..aws.names import Place
from ..aws.service import Response
from ..calls.dispatch import uuid_text
from ..hosting.invoker import Invoker, Result, new_id
from ..observe.ended import tail
from ..services.lambda_ import malformed
from .protocol import Header, InvokeCycle

EVENT = "Event"
DRY_RUN = "DryRun"
_TYPE, _LOG, _CLIENT = b"x-amz-invocation-type", b"x-amz-log-type", b"x-amz-client-context"
_TRACE, _TENANT, _DURABLE = b"x-amzn-trace-id", b"x-amz-tenant-id", b"x-amz-durable-execution-name"
_SAID = frozenset({_TYPE, _LOG, _CLIENT, _TRACE, _TENANT, _DURABLE})
_NAMES_KEPT = 10_000
_REMAPPED: Header = (b"x-amzn-remapped-content-length", b"0")
CLIENT_CONTEXT_BYTES = 3583

# Checks an Invoke's members against the model: FunctionName, Qualifier and the headers' values. Raises Fault.
Check = Callable[[dict[str, Any]], None]
# Takes an asynchronous event: name, qualifier, payload, request id, extras; calls back with None once it is durable.
Accept = Callable[
    [str, str | None, bytes, bytes, wire.Extras | None, Callable[[Exception | None], None]], None
]
# A fault as its response.
Render = Callable[[Fault, str], Response]
# Who signed the request: raises Fault when nobody did. Absent: everybody may.
Verify = Callable[[str, str, str, Sequence[Header], bytes], object]


class Endpoint:
    """Answers Invoke."""

    def __init__(
        self,
        invoker: Invoker,
        place: Place,
        check: Check,
        render: Render,
        accept: Accept,
        verify: Verify | None,
        body_limit: int = limits.EVENT_BYTES,
    ) -> None:
        self.body_limit = body_limit
        self._invoker = invoker
        self._place = place
        self._check = check
        self._render = render
        self._accept = accept
        self._verify = verify
        self._names: dict[bytes, tuple[str, str | None]] = {}

    def invoke(self, cycle: InvokeCycle) -> None:
        """Answer a request that is complete. Never raises."""
        try:
            self._invoke(cycle)
        except Fault as fault:
            self._refuse(cycle, fault, str(uuid.uuid4()))
        except Exception as error:
            cycle.protocol.loop.call_exception_handler({"message": "an Invoke failed", "exception": error})
            self._refuse(
                cycle, Fault("ServiceException", "Internal error", Type="Service"), str(uuid.uuid4())
            )

    def _invoke(self, cycle: InvokeCycle) -> None:
        said = {name: value for name, value in cycle.headers if name in _SAID}
        body = bytes(cycle.body)
        if self._verify is not None:
            path, _, query = cycle.url.decode("ascii").partition("?")
            self._verify("POST", path, query, cycle.headers, body)
        names = self._names.get(cycle.url)
        if names is None or said:
            names = self._named(cycle.url, said)
        kind = said.get(_TYPE, b"").decode() if said else ""
        limit = limits.ASYNC_BYTES if kind == EVENT else limits.EVENT_BYTES
        if cycle.dropped or len(body) > limit:
            message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
            raise Fault("RequestTooLargeException", message, Type="User")
        route = self._invoker.route(*names)
        extras = _extras_of(said) if said else None
        if kind == DRY_RUN:
            cycle.respond(204, [(b"x-amzn-requestid", str(uuid.uuid4()).encode()), _REMAPPED], b"")
            return
        if kind == EVENT:
            self._later(cycle, names, body or b"{}", extras)
            return
        with_tail = said.get(_LOG) == b"Tail"

        request_id = new_id()

        def answered(result: Result | Fault) -> None:
            if isinstance(result, Fault):
                self._refuse(cycle, malformed.explained(result, body), uuid_text(request_id))
            else:
                cycle.succeed(_said(result, with_tail), result.payload)

        self._invoker.invoke(route, body or b"{}", answered, extras, request_id)

    def _later(
        self, cycle: InvokeCycle, names: tuple[str, str | None], body: bytes, extras: wire.Extras | None
    ) -> None:
        """An asynchronous event: answered once it cannot be lost any more."""
        malformed.check(body)
        id = uuid.uuid4()

        def durable(error: Exception | None) -> None:
            if error is None:
                cycle.respond(202, [(b"x-amzn-requestid", str(id).encode()), _REMAPPED], b"")
            else:
                message = f"The event could not be stored: {error}"
                self._refuse(cycle, Fault("ServiceException", message, Type="Service"), str(id))

        self._accept(*names, body, id.bytes, extras, durable)

    def _named(self, url: bytes, said: dict[bytes, bytes]) -> tuple[str, str | None]:
        """The function's name and qualifier, checked as the model has it. Raises Fault."""
        path, _, query = url.decode("ascii").partition("?")
        text = unquote(path.split("/")[3])
        request: dict[str, Any] = {"FunctionName": text}
        qualifier = None
        for pair in query.split("&"):
            key, _, value = pair.partition("=")
            if key == "Qualifier":
                qualifier = request["Qualifier"] = unquote(value.replace("+", " "))
        for header, member in _MEMBERS.items():
            if header in said:
                request[member] = said[header].decode("latin-1")
        self._check(request)
        named = self._place.parse(text, qualifier)
        if len(self._names) >= _NAMES_KEPT:
            self._names.clear()
        found = self._names[url] = (named.name, named.qualifier)
        return found

    def _refuse(self, cycle: InvokeCycle, fault: Fault, request_id: str) -> None:
        response = self._render(fault, request_id)
        cycle.respond(response.status, response.headers, response.body)


_MEMBERS = {
    _TYPE: "InvocationType", _LOG: "LogType", _CLIENT: "ClientContext", _TENANT: "TenantId",
    _DURABLE: "DurableExecutionName",
}  # fmt: skip


_SAID_OF = (
    b"content-type: application/json\r\nx-amzn-requestid: %b\r\nx-amzn-remapped-content-length: 0\r\n"
    b"x-amz-executed-version: %b\r\nx-amzn-trace-id: root=1-%08x-%b;sampled=0\r\n"
)


def _said(result: Result, with_tail: bool) -> bytes:
    """The headers of an answer, as lines."""
    id = result.request_id.encode()
    said = _SAID_OF % (id, result.version.encode(), int(result.at), id.replace(b"-", b"")[:24])
    if result.failed:
        said += b"x-amz-function-error: Unhandled\r\n"
    if with_tail:
        said += b"x-amz-log-result: %b\r\n" % log_result(result)
    return said


def log_result(result: Result) -> bytes:
    """The last 4 KiB of what the invocation logged, base64."""
    if result.ended is None:
        return b""
    return base64.b64encode(tail(result.deployment.about, result.ended, limits.LOG_TAIL_BYTES))


def extras_of(client: bytes, trace: str, tenant: str) -> wire.Extras | None:
    """What an invocation's context says beside the usual. Raises Fault for a client context that is none."""
    extras = wire.Extras(client=_client_context(client) if client else "", trace=trace, tenant=tenant)
    return extras if extras.client or extras.trace or extras.tenant else None


def _extras_of(said: dict[bytes, bytes]) -> wire.Extras | None:
    trace, tenant = said.get(_TRACE, b"").decode("latin-1"), said.get(_TENANT, b"").decode("latin-1")
    return extras_of(said.get(_CLIENT, b""), trace, tenant)


def _client_context(value: bytes) -> str:
    """The client context's JSON. Raises Fault when it is none."""
    if len(value) > CLIENT_CONTEXT_BYTES:
        raise Fault(
            "InvalidRequestContentException",
            f"Client context must be at most {CLIENT_CONTEXT_BYTES} bytes of base64-encoded data",
            Type="User",
        )
    try:
        data = base64.b64decode(value, validate=True)
        if isinstance(wire.decode(data), dict):
            return data.decode()
    except (ValueError, RecursionError, binascii.Error):
        pass
    message = "Client context must be a valid Base64-encoded JSON object."
    raise Fault("InvalidRequestContentException", message, Type="User")
