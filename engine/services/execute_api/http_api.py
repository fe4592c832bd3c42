"""Requests to HTTP APIs: routed, authorized, and passed to their integrations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from ... import wire
from ...aws.messages import Request, Response
from ...aws.names import Place
from ...durable.state import Record, State
from ..apigatewayv2.catalog import AUTHORIZERS, DEFAULT, DEPLOYMENTS, INTEGRATIONS, ROUTES, STAGES
from ..urls.payload import body_of
from . import cors, events, responses
from .authorizers import LambdaAuthorizers, signer
from .exchange import Exchange
from .functions import Function, Functions, NotInvoked, function_of
from .outgoing import UNSENT, Outgoing, Unreachable, filled, kept
from .paths import MATCHES, Match, Paths, split
from .responses import Refused, Reply
from .tokens import Tokens, invalid


@dataclass(frozen=True, slots=True)
class Route:
    key: str
    authorization: str
    scopes: list[str] | None
    integration: Mapping[str, Any] | None
    function: Function | None
    authorizer: Mapping[str, Any] | None
    authorizing: Function | None

    def source(self, stage: str, method: str) -> str:
        """What a function's policy is to allow, of the API."""
        return f"{stage}/{DEFAULT if self.key == DEFAULT else method + self.key.partition(' ')[2]}"


class HttpStage:
    """A stage of an HTTP API as it is served."""

    def __init__(self, state: State, place: Place, api: Record, stage: Record) -> None:
        self.place = place
        self.api_id: str = api["ApiId"]
        self.name: str = stage["StageName"]
        self.disabled: bool = bool(api.get("DisableExecuteApiEndpoint"))
        self.variables: Mapping[str, str] = stage.get("StageVariables") or {}
        self.details = partial(detailed, stage)  # has a route metrics of its own?
        found = served(state, api, stage)
        self.cors: Mapping[str, Any] | None = found["cors"]
        by_path: dict[str, dict[str, Route]] = {}
        default: Route | None = None
        for record in found["routes"]:
            made = self._route(record, found)
            if made.key == DEFAULT:
                default = made
            else:
                method, _, path = made.key.partition(" ")
                by_path.setdefault(path, {})[method] = made
        # Of a request's method and path.
        self.match: Callable[[str, str], Match[Route] | None]
        self.match = lru_cache(MATCHES)(partial(_match, Paths(by_path.items()), default))

    def _route(self, record: Record, served: Mapping[str, Any]) -> Route:
        integration = served["integrations"].get((record.get("Target") or "").partition("/")[2])
        authorizer = served["authorizers"].get(record.get("AuthorizerId"))
        return Route(
            record["RouteKey"], record["AuthorizationType"], record.get("AuthorizationScopes"), integration,
            function_of(integration, "IntegrationUri", "CredentialsArn", self.variables), authorizer,
            function_of(authorizer, "AuthorizerUri", "AuthorizerCredentialsArn", self.variables),
        )  # fmt: skip

    def signed(self, request: Request, rest: str) -> bool:
        """Must the request be?"""
        if self.cors and cors.is_preflight(request):
            return False
        found = self.match(request.method, rest)
        return found is not None and found[0].authorization == "AWS_IAM"


def _match(
    paths: Paths[dict[str, Route]], default: Route | None, method: str, rest: str
) -> Match[Route] | None:
    for routes, parameters in paths.matching(split(rest)):
        route = routes.get(method) or routes.get("ANY")
        if route is not None:
            return route, parameters
    return (default, {}) if default is not None else None


def served(state: State, api: Record, stage: Record) -> Record:
    """Routes and what they need: of the API as it is where a stage deploys by itself, or as its deployment has them."""
    api_id = api["ApiId"]
    if stage.get("AutoDeploy"):
        return {
            "routes": list(state.owned(ROUTES, api_id).values()),
            "integrations": state.owned(INTEGRATIONS, api_id),
            "authorizers": state.owned(AUTHORIZERS, api_id),
            "cors": api.get("CorsConfiguration"),
        }
    deployment = state.get(DEPLOYMENTS, api_id, stage.get("DeploymentId") or "")
    nothing: Record = {"routes": [], "integrations": {}, "authorizers": {}, "cors": None}
    return nothing if deployment is None else deployment.get("_snapshot", nothing)


def detailed(stage: Record, route: str) -> bool:
    """Has a route's key metrics of its own?"""
    settings = (stage.get("RouteSettings") or {}).get(route) or {}
    usual = stage.get("DefaultRouteSettings") or {}
    return bool(settings.get("DetailedMetricsEnabled", usual.get("DetailedMetricsEnabled")))


def stages(state: State, place: Place, api: Record) -> dict[str, HttpStage]:
    """An API's, by their names."""
    found = state.owned(STAGES, api["ApiId"]).values()
    return {stage["StageName"]: HttpStage(state, place, api, stage) for stage in found}


class HttpApis:
    """Carries requests out. Belongs to the event loop."""

    def __init__(self, functions: Functions, outgoing: Outgoing, guarded: bool) -> None:
        self._functions = functions
        self._outgoing = outgoing
        self._guarded = guarded
        self._lambda = LambdaAuthorizers(functions)
        self._tokens = Tokens(outgoing)

    async def serve(self, stage: HttpStage, exchange: Exchange, resets: int) -> Response:
        """resets: how often the cache of the stage's authorizers was emptied."""
        request = exchange.request
        if stage.cors and cors.is_preflight(request):
            reply: Reply = (204, cors.preflight(stage.cors, request), b"")
            return responses.response(reply, ("apigw-requestid", exchange.short))
        try:
            reply = await self._reply(stage, exchange, resets)
        except Refused as refusal:
            reply = responses.of_http_api(refusal)
        status, headers, body = reply
        reply = status, cors.applied(stage.cors, request, headers), body
        return responses.response(reply, ("apigw-requestid", exchange.short), *exchange.trace_headers[1:])

    async def _reply(self, stage: HttpStage, exchange: Exchange, resets: int) -> Reply:
        found = None if stage.disabled else stage.match(exchange.request.method, exchange.rest)
        if found is None:
            raise Refused("RESOURCE_NOT_FOUND")
        route, exchange.parameters = found
        exchange.route = route.key
        await self._authorize(route, exchange, resets)
        integration = route.integration
        if integration is None:
            raise Refused("API_CONFIGURATION_ERROR")
        began = time.perf_counter()
        try:
            if integration["IntegrationType"] == "HTTP_PROXY":
                return await self._proxied(integration, exchange)
            return await self._invoked(route, integration, exchange)
        finally:
            exchange.integration = time.perf_counter() - began

    async def _invoked(self, route: Route, integration: Mapping[str, Any], exchange: Exchange) -> Reply:
        second = integration["PayloadFormatVersion"] == "2.0"
        event = wire.encode(events.format_2(exchange) if second else events.format_1(exchange))
        source = exchange.arn(route.source(exchange.stage, exchange.request.method))
        seconds = integration["TimeoutInMillis"] / 1e3
        try:
            result = await self._functions.invoke(
                route.function,
                source,
                exchange.place.account,
                event,
                exchange.id.bytes,
                seconds,
                exchange.trace,
            )
        except NotInvoked as error:
            raise responses.refused(error) from None
        if second:
            return responses.format_2(result.payload, result.failed)
        (status, headers, body), encoded = responses.format_1(result.payload, result.failed)
        try:
            return status, headers, body_of(body.decode("latin-1"), True) if encoded else body
        except ValueError:
            raise Refused("BAD_REPLY") from None

    async def _proxied(self, integration: Mapping[str, Any], exchange: Exchange) -> Reply:
        request, method = exchange.request, integration["IntegrationMethod"]
        url = filled(integration["IntegrationUri"], exchange.variables, exchange.parameters, request.query)
        headers = [(name, value) for name, value in request.headers if name not in UNSENT]
        forwarded = f"by={request.client};for={request.client};host={exchange.domain};proto={request.scheme}"
        headers += [("forwarded", forwarded), ("via", "HTTP/1.1 AmazonAPIGateway")]
        headers += exchange.trace_headers
        try:
            return kept(
                await self._outgoing.request(
                    request.method if method == "ANY" else method, url, headers, request.body,
                    integration["TimeoutInMillis"] / 1e3,
                )
            )  # fmt: skip
        except (TimeoutError, Unreachable):
            raise Refused("INTEGRATION_TIMEOUT") from None

    # Who may.

    async def _authorize(self, route: Route, exchange: Exchange, resets: int) -> None:
        """Raises Refused."""
        if route.authorization == "AWS_IAM":
            exchange.authorizer = {"iam": signer(exchange, self._guarded)}
        elif route.authorization != "NONE":
            if route.authorizer is None:
                raise Refused("AUTHORIZER_CONFIGURATION_ERROR")
            values = [exchange.value(source) for source in route.authorizer["IdentitySource"]]
            sources = [value for value in values if value is not None]
            if len(sources) < len(values):
                raise Refused("UNAUTHORIZED", [("www-authenticate", "Bearer")] if _is_jwt(route) else [])
            if _is_jwt(route):
                await self._by_token(route, exchange, sources[0])
            else:
                await self._by_function(route, route.authorizer, exchange, sources, resets)

    async def _by_token(self, route: Route, exchange: Exchange, text: str) -> None:
        assert route.authorizer is not None
        if not text.isascii() or len(text) > 16_384:
            raise invalid("the token is not valid")
        found = await self._tokens.claims(route.authorizer["JwtConfiguration"], text, route.scopes)
        second = (route.integration or {}).get("PayloadFormatVersion") == "2.0"
        exchange.authorizer = {"jwt": found} if second else found

    async def _by_function(
        self, route: Route, authorizer: Mapping[str, Any], exchange: Exchange, sources: list[str], resets: int
    ) -> None:
        first = authorizer["AuthorizerPayloadFormatVersion"] == "1.0"
        event = events.authorizer_1(exchange, sources) if first else events.authorizer_2(exchange, sources)
        decision = await self._lambda.decide(
            exchange, authorizer["AuthorizerId"], route.authorizing, event, authorizer["EnableSimpleResponses"],
            (resets, *sources), authorizer["AuthorizerResultTtlInSeconds"],
        )  # fmt: skip
        decision.check(exchange.method_arn)
        if (route.integration or {}).get("PayloadFormatVersion") == "2.0":
            exchange.authorizer = {"lambda": decision.context or None}
        else:
            exchange.authorizer = {**decision.context, "principalId": decision.principal}


def _is_jwt(route: Route) -> bool:
    return route.authorization == "JWT"
