"""The server's own calls of AWS operations: to an endpoint, or to a service of its own without HTTP.

Botocore's model of a service says how a request is written and a response read, so any operation of any service can be
called; only the transport is ours (httpcore). Where an operation goes: to the endpoint that AWS_ENDPOINT_URL_SERVICE
names in the server's environment, as SDKs read it; else to this server, if it has the service; else upstream, where
requests for other services are passed on to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore
import msgspec
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest, HeadersDict, create_request_object, prepare_request_dict
from botocore.credentials import Credentials
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from ..errors import EngineError
from .faults import Fault
from .messages import Request, Response
from .model import service_model
from .names import Place
from .registry import Registry
from .service import Caller, Service
from .streams import StreamedService
from .upstream import Unreachable, Upstream

CONNECTIONS = 50
_EXTENSIONS = {"timeout": {"connect": 5.0, "read": 60.0, "write": 60.0, "pool": 30.0}}  # seconds
_SIGNERS = {"s3": S3SigV4Auth}


class CallFailed(EngineError):
    """An operation did not succeed. code: the service's error code, or "EndpointConnectionError" and the like;
    retriable: it may succeed later as it is."""

    def __init__(self, code: str, message: str, *, retriable: bool) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code, self.message, self.retriable = code, message, retriable


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
        self._pool = httpcore.AsyncConnectionPool(max_connections=connections, keepalive_expiry=5.0)

    @property
    def emulated(self) -> bool:
        """Is what has the other services no AWS?"""
        return not self._upstream.resigns

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def call(
        self,
        service: str,
        operation: str,
        members: Mapping[str, Any],
        place: Place,
        *,
        upstream: bool = False,
    ) -> dict[str, Any]:
        """The result's members. service: botocore's name of it ("sqs"). upstream: whoever else has the service. Raises
        CallFailed."""
        model = service_model(service)
        described = model.operation_model(operation)
        endpoint = None if upstream else named_endpoint(service)
        if not endpoint and not upstream and (local := self._local(service)) is not None:
            try:
                return await self._call_local(local, model, described, members, place)
            except Unreachable as reason:
                raise CallFailed("EndpointNotFound", f"{service} {reason}", retriable=True) from reason
        try:
            endpoint = endpoint or await self._upstream.endpoint(service, place.region)
            credentials = await self._upstream.credentials(place)
        except Unreachable as reason:
            text = f"{service} {str(reason).rstrip('.')}, or set {_variable(service)}"
            raise CallFailed("EndpointNotFound", text, retriable=True) from reason
        request = _written(model, described, members, endpoint)
        for name, value in self._upstream.headers(place).items():
            request.headers[name] = value
        _sign(request, model, place, credentials)
        prepared = request.prepare()
        headers = {
            name: value for name, value in prepared.headers.items() if name.lower() != "content-length"
        }
        body = prepared.body.encode() if isinstance(prepared.body, str) else bytes(prepared.body or b"")
        try:
            response = await self._pool.request(
                prepared.method, prepared.url, headers=headers, content=body, extensions=_EXTENSIONS
            )
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise CallFailed(type(error).__name__, f"{endpoint}: {error}", retriable=True) from error
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return _read(model, described, response.status, found, response.content)

    async def _call_local(
        self,
        service: Service,
        model: ServiceModel,
        operation: OperationModel,
        members: Mapping[str, Any],
        place: Place,
    ) -> dict[str, Any]:
        plain = _is_plain_json(operation)
        if plain:
            request = _json_request(model, operation, members, urlsplit(self._own()).netloc)
        else:
            request = await self._request(service, model, operation, members, place)
        try:
            response: Response = await service.call(request, Caller(place))
        except Fault as fault:
            response = service.error(request, fault)
        if plain and response.status < 300:
            result: dict[str, Any] = msgspec.json.decode(response.body) if response.body else {}
            return result
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return _read(model, operation, response.status, found, response.body)

    async def _request(
        self,
        service: Service,
        model: ServiceModel,
        operation: OperationModel,
        members: Mapping[str, Any],
        place: Place,
    ) -> Request:
        endpoint = self._own()
        if isinstance(service, StreamedService) and self._upstream:  # which the request may go on to
            endpoint = await self._upstream.endpoint(model.service_name, place.region)
        written = _written(model, operation, members, endpoint)
        if isinstance(service, StreamedService):
            _sign(written, model, place, await self._upstream.credentials(place))
        sent = written.prepare()
        parts = urlsplit(sent.url)
        body = sent.body.encode() if isinstance(sent.body, str) else bytes(sent.body or b"")
        headers = [(name.lower(), _text(value)) for name, value in sent.headers.items()]
        return Request(sent.method, parts.path or "/", parts.query, [*headers, ("host", parts.netloc)], body)

    def _local(self, service: str) -> Service | None:
        name = str(service_model(service).signing_name)
        return next((each for each in self._registry() if each.signing_name == name), None)


def _is_plain_json(operation: OperationModel) -> bool:
    """Is its request JSON as msgspec writes it, and its response as it reads it? Then botocore is not needed, which
    takes a hundred times as long for the two."""
    try:
        return _plain[operation]
    except KeyError:
        ours = _protocol(operation.service_model) == "json" and not operation.has_streaming_output
        found = ours and not (
            _types(operation.input_shape) & {"timestamp"}
            or _types(operation.output_shape) & {"timestamp", "blob"}
        )
        return _plain.setdefault(operation, found)


_plain: dict[OperationModel, bool] = {}  # botocore keeps one object for each operation


def _types(shape: Shape | None, seen: frozenset[str] = frozenset()) -> set[str]:
    """The names of the types that a shape is made of."""
    if shape is None or shape.name in seen:
        return set()
    seen |= {shape.name}
    members: list[Shape] = []
    if shape.type_name == "structure":
        members = list(shape.members.values())
    elif shape.type_name == "list":
        members = [shape.member]
    elif shape.type_name == "map":
        members = [shape.value]
    return {shape.type_name}.union(*(_types(each, seen) for each in members))


def _json_request(
    model: ServiceModel, operation: OperationModel, members: Mapping[str, Any], host: str
) -> Request:
    metadata = model.metadata
    headers = [
        ("x-amz-target", f"{metadata['targetPrefix']}.{operation.name}"),
        ("content-type", f"application/x-amz-json-{metadata['jsonVersion']}"),
        ("host", host),
    ]
    return Request("POST", "/", "", headers, msgspec.json.encode(members))


def _written(
    model: ServiceModel, operation: OperationModel, members: Mapping[str, Any], endpoint: str
) -> AWSRequest:
    """An operation's request, by the protocol of its model."""
    try:
        written = create_serializer(_protocol(model)).serialize_to_request(dict(members), operation)
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


def _read(
    model: ServiceModel, operation: OperationModel, status: int, headers: dict[str, str], body: bytes
) -> dict[str, Any]:
    """A response's members. Raises CallFailed for an error."""
    # A body that is streamed is no text: the parser leaves alone what is not bytes.
    stream = memoryview(body) if operation.has_streaming_output and status < 300 else body
    try:
        parsed: dict[str, Any] = create_parser(_protocol(model)).parse(
            {"status_code": status, "headers": HeadersDict(headers), "body": stream}, operation.output_shape
        )
    except Exception as error:  # what a parser trips over: the endpoint is none of this service
        raise CallFailed(
            "ResponseParserError", f"status {status}: {error}", retriable=status >= 500
        ) from error
    if status >= 300:
        described = parsed.get("Error") or {}
        code = str(described.get("Code") or status)
        retriable = status >= 500 or status == 429 or "Throttl" in code or code == "RequestLimitExceeded"
        raise CallFailed(code, str(described.get("Message") or ""), retriable=retriable)
    return parsed


def _protocol(model: ServiceModel) -> str:
    return str(model.resolved_protocol if hasattr(model, "resolved_protocol") else model.protocol)


def named_endpoint(service: str) -> str | None:
    """What the environment says instead of this server."""
    return os.environ.get(_variable(service))


def _variable(service: str) -> str:
    return f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
