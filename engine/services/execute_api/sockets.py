"""WebSocket APIs: who may connect, which route a message is for, and what is done with it; and their @connections."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

from ... import wire
from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.state import Record, State
from ..apigatewayv2.catalog import DEFAULT, STAGES
from ..apigatewayv2.responses import RESPONSES
from ..apigatewayv2.routes import CONNECT, DISCONNECT
from . import socket_events as events
from .authorizers import LambdaAuthorizers, signer
from .exchange import Exchange, short_id
from .functions import Function, Functions, NotInvoked, Reason, function_of
from .http_api import detailed, served
from .responses import Pairs, Refused
from .socket_connection import (
    GOING_AWAY,
    MESSAGE_BYTES,
    Busy,
    Connection,
    NotAccepted,
    refusal,
)

CONNECTIONS = "/@connections/"
FAILED = "Internal server error"
_SELECTION = re.compile(
    r"\$?\{?\$?(request\.(?:body|header|querystring)|context|stageVariables)\.([\w.-]+)\}?"
)
_STATUS = {"GoneException": 410, "LimitExceededException": 429, "PayloadTooLargeException": 413,
           "ForbiddenException": 403, "BadRequestException": 400}  # fmt: skip
_log = logging.getLogger("stoker.apis")


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """responds: what its function returns is sent back."""

    key: str
    authorization: str
    integration: Mapping[str, Any] | None
    function: Function | None
    authorizer: Mapping[str, Any] | None
    authorizing: Function | None
    responds: bool


class SocketStage:
    """A stage of a WebSocket API as it is served."""

    def __init__(self, state: State, place: Place, api: Record, stage: Record) -> None:
        self.place = place
        self.api_id: str = api["ApiId"]
        self.name: str = stage["StageName"]
        self.disabled: bool = bool(api.get("DisableExecuteApiEndpoint"))
        self.variables: Mapping[str, str] = stage.get("StageVariables") or {}
        self.selection: str = api["RouteSelectionExpression"]
        self.details = partial(detailed, stage)  # has a route metrics of its own?
        found = served(state, api, stage)
        made = (self._route(record, found) for record in found["routes"])
        self.routes = {route.key: route for route in made}

    def _route(self, record: Record, found: Mapping[str, Any]) -> SocketRoute:
        integration = found["integrations"].get((record.get("Target") or "").partition("/")[2])
        authorizer = found["authorizers"].get(record.get("AuthorizerId"))
        return SocketRoute(
            record["RouteKey"], record["AuthorizationType"], integration,
            function_of(integration, "IntegrationUri", "CredentialsArn", self.variables), authorizer,
            function_of(authorizer, "AuthorizerUri", "AuthorizerCredentialsArn", self.variables),
            bool(record.get("RouteResponseSelectionExpression")) and bool(record.get(RESPONSES)),
        )  # fmt: skip

    def signed(self, request: Request, rest: str) -> bool:
        """Must the request be?"""
        if rest.startswith(CONNECTIONS):
            return True
        route = self.routes.get(CONNECT)
        return route is not None and route.authorization == "AWS_IAM"

    def route(self, connection: Connection, text: str) -> SocketRoute | None:
        """The one that a message is for."""
        key = selected(self.selection, connection, text)
        found = self.routes.get(key) if key is not None and key not in (CONNECT, DISCONNECT) else None
        return found or self.routes.get(DEFAULT)


def selected(expression: str, connection: Connection, text: str) -> str | None:
    """What a route selection expression means of a message; None: nothing."""
    found = _SELECTION.fullmatch(expression)
    if found is None:
        return None
    if found[1] != "request.body":
        return connection.exchange.value(f"{found[1]}.{found[2]}")
    try:
        value: Any = wire.decode(text.encode())
        for name in found[2].split("."):
            value = value[name]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return (
        value
        if isinstance(value, str)
        else None
        if isinstance(value, dict | list)
        else wire.encode(value).decode()
    )


def stages(state: State, place: Place, api: Record) -> dict[str, SocketStage]:
    """An API's, by their names."""
    found = state.owned(STAGES, api["ApiId"]).values()
    return {stage["StageName"]: SocketStage(state, place, api, stage) for stage in found}


class WebSocketApis:
    """Belongs to the event loop."""

    def __init__(
        self,
        functions: Functions,
        guarded: bool,
        find: Callable[[str, str], SocketStage | None],
        measure: Callable[..., object] = lambda stage, route, **values: None,
    ) -> None:
        """find: a stage as it is now, by its API's id and its name; measure: ApiMetrics.socket."""
        self._measure = measure
        self._functions = functions
        self._guarded = guarded
        self._find = find
        self._lambda = LambdaAuthorizers(functions)
        self._open: dict[tuple[str, str, str], Connection] = {}  # by API, stage and id
        self._ending: set[asyncio.Task[None]] = set()
        self._drained = False

    def connection(self, stage: SocketStage, exchange: Exchange, enter: Callable[[], Caller]) -> Connection:
        """What has an upgraded request's transport from now on."""

        def accept() -> None:
            if self._drained:
                raise refusal(503, "Service Unavailable")
            try:
                exchange.caller = enter()
            except Fault:
                raise refusal(403, "Forbidden") from None

        return Connection(self, exchange, accept)

    def drain(self) -> None:
        """Who is connected is told that the server ends."""
        self._drained = True
        for connection in list(self._open.values()):
            connection.close(GOING_AWAY)

    async def aclose(self) -> None:
        self.drain()
        if self._ending:
            await asyncio.wait(self._ending, timeout=5.0)

    # What connections ask for.

    async def connect(self, connection: Connection) -> Pairs:
        """Raises NotAccepted."""
        exchange = connection.exchange
        connection.accept()
        stage = self._find(exchange.api_id, exchange.stage)
        if stage is None or stage.disabled:
            raise refusal(403, "Forbidden")
        route = stage.routes.get(CONNECT)
        if route is None:
            return []
        self._measure(stage, CONNECT, ConnectCount=1)
        try:
            await self._authorize(route, connection)
        except Refused as refused:
            self._measure(stage, CONNECT, ClientError=1)
            status = 401 if refused.kind == "UNAUTHORIZED" else 500 if "AUTHORIZER" in refused.kind else 403
            message = {401: "Unauthorized", 500: "Internal Server Error"}.get(status, "Forbidden")
            raise refusal(status, message) from None
        try:
            reply = await self._invoked(stage, route, connection, events.connect(connection), exchange.id)
        except NotInvoked as error:
            raise refusal(504 if error.reason is Reason.LATE else 502, FAILED) from None
        status = 200 if reply is None else _status(reply)
        if status == 0:
            raise refusal(502, FAILED)
        if not 200 <= status < 300:
            body = reply.get("body") if reply else None
            given = body.encode() if isinstance(body, str) else b""
            raise NotAccepted((status, [("content-type", "application/json")], given))
        given_back = (reply or {}).get("headers") or {}
        return [("sec-websocket-protocol", str(value)) for name, value in given_back.items()
                if name.lower() == "sec-websocket-protocol"]  # fmt: skip

    def opened(self, connection: Connection) -> None:
        self._open[self._key(connection)] = connection
        if self._drained:
            connection.close(GOING_AWAY)

    async def message(self, connection: Connection, text: str) -> None:
        id = uuid.uuid4()
        short = short_id()
        stage = self._find(connection.exchange.api_id, connection.exchange.stage)
        if stage is None:
            connection.close(GOING_AWAY)
            return
        route = stage.route(connection, text)
        self._measure(stage, route.key if route else "", MessageCount=1, ClientError=int(route is None))
        if route is None:
            self._say(connection, "Forbidden", short)
            return
        event = events.message(connection, route.key, time.time(), short, short_id(), text)
        try:
            reply = await self._invoked(stage, route, connection, event, id)
        except NotInvoked:
            self._say(connection, FAILED, short)
            return
        if reply is None:
            return
        if not _status(reply) and route.responds:
            self._say(connection, FAILED, short)
        elif route.responds and isinstance(reply.get("body"), str):
            self._send(connection, reply["body"])

    def disconnected(self, connection: Connection, code: int, reason: str) -> None:
        self._open.pop(self._key(connection), None)
        task = asyncio.ensure_future(self._disconnect(connection, code, reason))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _disconnect(self, connection: Connection, code: int, reason: str) -> None:
        stage = self._find(connection.exchange.api_id, connection.exchange.stage)
        route = stage.routes.get(DISCONNECT) if stage else None
        if stage is None or route is None:
            return
        event = events.disconnect(connection, time.time(), short_id(), code, reason)
        try:
            await self._invoked(stage, route, connection, event, uuid.uuid4())
        except NotInvoked as error:  # AWS's best effort, too: nobody is there to be told
            _log.info("%s of %s: %s", DISCONNECT, connection.id, error)

    async def _authorize(self, route: SocketRoute, connection: Connection) -> None:
        """Raises Refused."""
        exchange = connection.exchange
        if route.authorization == "AWS_IAM":
            signer(exchange, self._guarded)
        elif route.authorization == "CUSTOM":
            if route.authorizer is None:
                raise Refused("AUTHORIZER_CONFIGURATION_ERROR")
            sources = (source.removeprefix("route.") for source in route.authorizer["IdentitySource"])
            if any(exchange.value(source) is None for source in sources):
                raise Refused("UNAUTHORIZED")
            arn = exchange.arn(f"{exchange.stage}/{CONNECT}")
            event = events.authorizer(connection, arn)
            id = route.authorizer["AuthorizerId"]
            decision = await self._lambda.decide(exchange, id, route.authorizing, event, False, (), 0)
            decision.check(arn)
            context = {name: value if isinstance(value, str) else wire.encode(value).decode()
                       for name, value in decision.context.items() if value is not None}  # fmt: skip
            connection.authorizer = {"principalId": decision.principal, "integrationLatency": 0, **context}

    async def _invoked(
        self,
        stage: SocketStage,
        route: SocketRoute,
        connection: Connection,
        event: Mapping[str, Any],
        id: uuid.UUID,
    ) -> dict[str, Any] | None:
        """A function's reply, {} for one that failed; None: there is none. Raises NotInvoked."""
        integration = route.integration
        if integration is None:
            raise NotInvoked(Reason.ABSENT)
        if integration["IntegrationType"] == "MOCK":
            return None
        exchange = connection.exchange
        source = exchange.arn(f"{exchange.stage}/{route.key}")
        seconds = integration["TimeoutInMillis"] / 1e3
        began = time.perf_counter()
        try:
            result = await self._functions.invoke(
                route.function, source, stage.place.account, wire.encode(event), id.bytes, seconds
            )
            if result.failed:
                raise NotInvoked(Reason.BROKEN)
        except NotInvoked:
            self._measure(stage, route.key, ExecutionError=1)
            raise
        took = (time.perf_counter() - began) * 1e3
        try:
            reply = wire.decode(result.payload)
        except (ValueError, RecursionError):
            reply = {}
        reply = reply if isinstance(reply, dict) else {}
        self._measure(stage, route.key, IntegrationLatency=took, IntegrationError=int(_status(reply) >= 400))
        return reply

    def _say(self, connection: Connection, message: str, id: str) -> None:
        told = {"message": message, "connectionId": connection.id, "requestId": id}
        self._send(connection, wire.encode(told).decode())

    @staticmethod
    def _send(connection: Connection, text: str) -> None:
        try:
            connection.send(text)
        except Busy:
            connection.close(GOING_AWAY)

    @staticmethod
    def _key(connection: Connection) -> tuple[str, str, str]:
        return connection.exchange.api_id, connection.exchange.stage, connection.id

    # @connections.

    def manage(self, stage: SocketStage, request: Request, rest: str) -> Response:
        """PostToConnection, GetConnection and DeleteConnection."""
        try:
            return self._managed(stage, request, unquote(rest.removeprefix(CONNECTIONS)))
        except Fault as fault:
            return failed(fault)

    def _managed(self, stage: SocketStage, request: Request, id: str) -> Response:
        """Raises Fault."""
        connection = self._open.get((stage.api_id, stage.name, id))
        if connection is None:
            raise Fault("GoneException", "Gone")
        if request.method == "POST":
            if len(request.body) > MESSAGE_BYTES:
                raise Fault("PayloadTooLargeException", "Payload too large")
            try:
                connection.send(request.body.decode())
            except UnicodeDecodeError:
                raise Fault("BadRequestException", "Data is no text") from None
            except Busy:
                raise Fault("LimitExceededException", "The client does not read") from None
            return Response(200, [], b"")
        if request.method == "DELETE":
            connection.close(GOING_AWAY, "Connection closed by the API")
            return Response(204, [], b"")
        if request.method != "GET":
            raise Fault("ForbiddenException", "Forbidden")
        first = connection.exchange
        shown = {
            "connectedAt": _iso(connection.connected_at),
            "identity": {"sourceIp": first.request.client, "userAgent": first.headers.get("user-agent", "")},
            "lastActiveAt": _iso(connection.last_active),
        }
        return Response(200, [(b"content-type", b"application/json")], wire.encode(shown))


def failed(fault: Fault) -> Response:
    """In the form that the clients of @connections read."""
    headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", fault.code.encode())]
    return Response(
        _STATUS.get(fault.code, 403), headers, wire.encode({"message": fault.message or fault.code})
    )


def _status(reply: Mapping[str, Any]) -> int:
    """0: it says none."""
    try:
        status = int(reply["statusCode"])
    except (KeyError, ValueError, TypeError):
        return 0
    return status if 100 <= status < 600 else 0


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(at * 1000) % 1000:03d}Z"
