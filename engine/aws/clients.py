"""The server's own calls of AWS operations: to an endpoint, or to a service of its own without HTTP.

Botocore's model of a service says how a request is written and a response read, so any operation of any service can be
called; the transport is ours, and so are the JSON protocols (plans.py, signing.py), which pollers and targets speak.
Where an operation goes: to the endpoint that AWS_ENDPOINT_URL_SERVICE names in the server's environment, as SDKs read
it; else to this server, if it has the service; else upstream, where requests for other services are passed on to. Over
HTTP a call is tried as AWS's standard mode says (retries.py), with a clock that is the endpoint's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest, HeadersDict, create_request_object, prepare_request_dict
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer, ParserError
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from ..errors import EngineError
from . import retries
from .connections import Connections, Origin, Reply, Stream, TransportError
from .faults import Fault
from .messages import Request, Response
from .names import Place
from .plans import Plan, event_of, plan_of, variables
from .registry import Registry
from .service import Caller, Service
from .signing import Clock, signed_post
from .streams import StreamedService
from .upstream import Unreachable, Upstream

CONNECTIONS = 50
INITIAL = "initial-response"  # the event that a stream begins with
TIMEOUT = 60.0  # seconds for a response: longer than the longest poll, SQS's 20
_TRACE = "x-amzn-trace-id"
_SIGNERS = {"s3": S3SigV4Auth}
# Of an error's code, that its credentials are the reason of it, which may be others by now.
_REFUSED = (
    "ExpiredToken",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidToken",
)


class CallFailed(EngineError):
    """An operation did not succeed. code: the service's error code, or "EndpointConnectionError" and the like;
    retriable: it may succeed later as it is; reply: the response, if there was one."""

    def __init__(self, code: str, message: str, *, retriable: bool, reply: Reply | None = None) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code, self.message, self.retriable = code, message, retriable
        self.reply = reply


class Clients:
    """Calls operations on behalf of places. upstream: has the services that the registry has not. Belongs to the event
    loop."""

    def __init__(
        self,
        registry: Callable[[], Registry],
        upstream: Upstream,
        connections: int = CONNECTIONS,
        own: Callable[[], str] = lambda: "http://localhost",
    ) -> None:
        """connections: at a time, in all. own: this server's URL, which what it returns has in turn."""
        self._own = own
        self._registry = registry
        self._upstream = upstream
        self._connections = Connections(connections)
        self._origins: dict[str, Origin] = {}
        self._clocks: dict[str, Clock] = {}  # by the endpoint's host
        self._quotas: dict[str, retries.Quota] = {}  # by service

    @property
    def emulated(self) -> bool:
        """Is what has the other services no AWS?"""
        return not self._upstream.resigns

    async def credentials(self, place: Place) -> Credentials:
        """Those that its calls are signed with. Raises CallFailed."""
        try:
            return await self._upstream.credentials(place)
        except Unreachable as reason:
            raise CallFailed("NoCredentials", f"AWS {reason}", retriable=True) from reason

    async def aclose(self) -> None:
        self._connections.close()

    async def call(
        self,
        service: str,
        operation: str,
        members: Mapping[str, Any],
        place: Place,
        *,
        upstream: bool = False,
        trace: str = "",
    ) -> dict[str, Any]:
        """The result's members. service: botocore's name of it ("sqs"). upstream: whoever else has the service; trace:
        the request's X-Amzn-Trace-Id. Raises CallFailed."""
        plan = plan_of(service, operation)
        if not (trace.isascii() and trace.isprintable()):  # it is from outside, and goes on as a header
            trace = ""
        endpoint = None if upstream else named_endpoint(service)
        if not endpoint and not upstream and (local := self._local(plan)) is not None:
            try:
                return await self._call_local(local, plan, members, place, trace)
            except Unreachable as reason:
                raise CallFailed("EndpointNotFound", f"{service} {reason}", retriable=True) from reason
        try:
            endpoint = endpoint or await self._upstream.endpoint(service, place.region)
            return await self._call_remote(plan, members, place, endpoint, trace)
        except Unreachable as reason:
            text = f"{service} {str(reason).rstrip('.')}, or set {plan.variable}"
            raise CallFailed("EndpointNotFound", text, retriable=True) from reason

    # Over HTTP.

    async def _call_remote(
        self, plan: Plan, members: Mapping[str, Any], place: Place, endpoint: str, trace: str
    ) -> dict[str, Any]:
        """Tried as often as it makes sense. Raises CallFailed, Unreachable."""
        service = plan.model.service_name
        quota = self._quotas.get(service) or self._quotas.setdefault(service, retries.Quota())
        body = _body(plan, members) if plan.simple else b""
        cost, retry = 0, 0
        while True:
            credentials = await self._upstream.credentials(place)
            again = at_once = False  # is it worth another attempt, and without a wait?
            try:
                reply, clock = await self._exchange(plan, members, body, place, endpoint, credentials, trace)
                result = _result(plan, reply)
                quota.give(cost or 1)
                return result
            except TransportError as error:
                failure = CallFailed(error.name, f"{endpoint}: {error}", retriable=True)
                again, cost = True, retries.SLOW if error.slow else retries.COST
            except CallFailed as failed:
                failure, cost = failed, retries.COST
                if failed.reply is not None:
                    again = retries.worth(failed.reply.status, failed.code)
                    if clock.corrected(failed.code, failed.reply.headers.get("date", "")):
                        again = at_once = True
                    elif any(each in failed.code for each in _REFUSED):
                        again = at_once = retry == 0 and self._upstream.refused(credentials)
            retry += 1
            if not again or retry >= retries.ATTEMPTS or not quota.take(cost):
                raise failure
            await asyncio.sleep(0.0 if at_once else retries.delay(retry - 1))

    async def _exchange(
        self, plan: Plan, members: Mapping[str, Any], body: bytes, place: Place, endpoint: str,
        credentials: Credentials, trace: str,
    ) -> tuple[Reply, Clock]:  # fmt: skip
        """One attempt. Raises TransportError."""
        origin = self._origins.get(endpoint)
        if origin is None:
            origin = self._origins[endpoint] = Origin.of(endpoint)
        clock = self._clocks.get(origin.host) or self._clocks.setdefault(origin.host, Clock())
        more = {**self._upstream.headers(place), **({_TRACE: trace} if trace else {})}
        if plan.simple:
            headers = [*plan.headers, *((name.lower(), value) for name, value in more.items())]
            scope = place.region, plan.signing_name
            path = origin.path or "/"
            sent = signed_post(origin.host, path, headers, body, credentials, scope, clock.stamp())
            return await self._connections.send(origin, sent, TIMEOUT), clock
        request = _written(plan, members, endpoint)
        for name, value in more.items():
            request.headers[name] = value
        _sign(request, plan.model, place, credentials)
        prepared = request.prepare()
        to = Origin.of(prepared.url)
        bare = prepared.method == "HEAD"
        return await self._connections.send(to, _on_the_wire(prepared, to), TIMEOUT, bare=bare), clock

    async def subscribe(
        self, service: str, operation: str, members: Mapping[str, Any], place: Place
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """The events of an operation of a JSON service whose response is a stream of them: their types, and their
        members; first of all INITIAL, with none. Tried once. Raises CallFailed."""
        plan = plan_of(service, operation)
        try:
            endpoint = named_endpoint(service) or await self._upstream.endpoint(service, place.region)
            credentials = await self._upstream.credentials(place)
        except Unreachable as reason:
            raise CallFailed("EndpointNotFound", f"{service} {reason}", retriable=True) from reason
        origin = Origin.of(endpoint)
        clock = self._clocks.get(origin.host) or self._clocks.setdefault(origin.host, Clock())
        more = [(name.lower(), value) for name, value in self._upstream.headers(place).items()]
        scope = place.region, plan.signing_name
        sent = signed_post(
            origin.host, origin.path or "/", [*plan.headers, *more], _body(plan, members), credentials, scope,
            clock.stamp(),
        )  # fmt: skip
        try:
            stream = await self._connections.stream(origin, sent, TIMEOUT)
        except TransportError as error:
            raise CallFailed(error.name, f"{endpoint}: {error}", retriable=True) from error
        try:
            if stream.status >= 300:
                body = b""
                while piece := await stream.chunk():
                    body += piece
                reply = Reply(stream.status, stream.headers, body)
                try:
                    _read(plan, reply)
                except CallFailed as failed:
                    clock.corrected(failed.code, stream.headers.get("date", ""))
                    if any(each in failed.code for each in _REFUSED):
                        self._upstream.refused(credentials)
                    raise
            async for event in _events(service, operation, stream):
                yield event
        except TransportError as error:
            raise CallFailed(error.name, f"{endpoint}: {error}", retriable=True) from error
        finally:
            stream.close()

    # To a service of this server.

    async def _call_local(
        self, service: Service, plan: Plan, members: Mapping[str, Any], place: Place, trace: str
    ) -> dict[str, Any]:
        traced = [(_TRACE, trace)] if trace else []
        if plan.simple:
            headers = [*plan.headers, ("host", "localhost"), *traced]
            request = Request("POST", "/", "", headers, _body(plan, members))
        else:
            request = await self._request(service, plan, members, place)
            request.headers = [*request.headers, *traced]
        try:
            response: Response = await service.call(request, Caller(place))
        except Fault as fault:
            response = service.error(request, fault)
        if plan.simple and response.status < 300:
            return plan.result(response.body)
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return _read(plan, Reply(response.status, found, response.body))

    async def _request(
        self, service: Service, plan: Plan, members: Mapping[str, Any], place: Place
    ) -> Request:
        endpoint = self._own()
        if isinstance(service, StreamedService) and self._upstream:  # which the request may go on to
            endpoint = await self._upstream.endpoint(plan.model.service_name, place.region)
        written = _written(plan, members, endpoint)
        if isinstance(service, StreamedService):
            _sign(written, plan.model, place, await self._upstream.credentials(place))
        sent = written.prepare()
        parts = urlsplit(sent.url)
        headers = [(name.lower(), _text(value)) for name, value in sent.headers.items()]
        host = ("host", parts.netloc)
        return Request(sent.method, parts.path or "/", parts.query, [*headers, host], _content(sent.body))

    def _local(self, plan: Plan) -> Service | None:
        name = plan.signing_name
        return next((each for each in self._registry() if each.signing_name == name), None)


def _body(plan: Plan, members: Mapping[str, Any]) -> bytes:
    try:
        return plan.body(members)
    except (TypeError, ValueError, AttributeError) as error:  # what no request can have
        raise CallFailed("ParamValidation", str(error), retriable=False) from error


def _result(plan: Plan, reply: Reply) -> dict[str, Any]:
    """Raises CallFailed."""
    if plan.simple and reply.status < 300:
        try:
            return plan.result(reply.body)
        except (ValueError, TypeError, AttributeError) as error:  # the endpoint is none of this service
            text = f"status {reply.status}: {error}"
            raise CallFailed("ResponseParserError", text, retriable=False) from error
    return _read(plan, reply)


def _written(plan: Plan, members: Mapping[str, Any], endpoint: str) -> AWSRequest:
    """An operation's request, by the protocol of its model."""
    operation = plan.operation
    try:
        written = create_serializer(plan.protocol).serialize_to_request(dict(members), operation)
    except Exception as error:  # botocore's ParamValidationError, and what its serializers trip over
        raise CallFailed("ParamValidation", str(error), retriable=False) from error
    if (
        "Bucket" in members and "{Bucket}" not in operation.http["requestUri"]
    ):  # the model has it in the host's name
        written["url_path"] = f"/{members['Bucket']}{written['url_path']}"
    prepare_request_dict(written, endpoint)
    return create_request_object(written)


def _sign(request: AWSRequest, model: ServiceModel, place: Place, credentials: Credentials) -> None:
    signer = _SIGNERS.get(model.service_name, SigV4Auth)
    signer(credentials, str(model.signing_name), place.region).add_auth(request)


async def _events(
    service: str, operation: str, stream: Stream
) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
    """Raises CallFailed, TransportError."""
    buffer = EventStreamBuffer()
    while piece := await stream.chunk():
        try:
            buffer.add_data(piece)
            messages = list(buffer)
        except ParserError as error:
            raise CallFailed("ResponseParserError", str(error), retriable=True) from error
        for message in messages:
            kind = str(message.headers.get(":event-type", ""))
            if message.headers.get(":message-type") == "event":
                found = msgspec.json.decode(message.payload or b"{}")
                yield kind, {} if kind == INITIAL else event_of(service, operation, kind)(found)
                continue
            code = str(message.headers.get(":exception-type") or message.headers.get(":error-code"))
            text = str(message.headers.get(":error-message") or message.payload.decode("utf-8", "replace"))
            raise CallFailed(code, text, retriable=True)


def _on_the_wire(request: Any, origin: Origin) -> bytes:
    """A prepared request of botocore's. origin: of its URL."""
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    body = _content(request.body)
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    headers = {"host": origin.host, **headers, "content-length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{request.method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def _read(plan: Plan, reply: Reply) -> dict[str, Any]:
    """A response's members. Raises CallFailed for an error."""
    operation, status, body = plan.operation, reply.status, reply.body
    # A body that is streamed is no text: the parser leaves alone what is not bytes.
    stream = memoryview(body) if operation.has_streaming_output and status < 300 else body
    try:
        parsed: dict[str, Any] = create_parser(plan.protocol).parse(
            {"status_code": status, "headers": HeadersDict(reply.headers), "body": stream},
            operation.output_shape,
        )
    except Exception as error:  # what a parser trips over: the endpoint is none of this service
        text = f"status {status}: {error}"
        raise CallFailed("ResponseParserError", text, retriable=status >= 500, reply=reply) from error
    if status >= 300:
        described = parsed.get("Error") or {}
        code = str(described.get("Code") or status)
        retriable = status >= 500 or "Throttl" in code or retries.worth(status, code)
        raise CallFailed(code, str(described.get("Message") or ""), retriable=retriable, reply=reply)
    return parsed


def named_endpoint(service: str) -> str | None:
    """What the environment says instead of this server."""
    return next((url for name in variables(service) if (url := os.environ.get(name))), None)


def _content(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
