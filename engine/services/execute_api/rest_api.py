"""Requests to REST APIs: their resource and method found, keys and authorizers asked, integrations carried out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlencode

from ... import wire
from ...aws.messages import Request, Response
from ...aws.names import Place
from ...durable.state import Record, State
from ...observe.spans import Spans
from ..apigateway.catalog import API_KEYS, DEPLOYMENTS, PLANS, STAGES
from ..apigateway.gateway_responses import DEFAULTS, TEMPLATES, Default
from ..apigateway.templates import mapped, rendered
from ..urls.payload import JSON, body_of
from . import events, responses, tracing
from .authorizers import Decision, LambdaAuthorizers, signer
from .exchange import Exchange
from .functions import Function, Functions, NotInvoked, Reason, function_of
from .outgoing import UNSENT, Outgoing, Unreachable, filled, kept
from .paths import MATCHES, Match, Paths, split
from .responses import Refused, Reply

_BAD_REPLY = Default(502, "Internal server error", "InternalServerErrorException")
_STATUS = re.compile(r"""["']?statusCode["']?\s*:\s*["']?(\d{3})""")
# A backend's headers that the gateway has for itself.
_REMAPPED = frozenset({"authorization", "date", "server", "www-authenticate"})
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    resource_id: str
    path: str
    record: Json
    integration: Json
    function: Function | None
    authorizer: Json | None
    authorizing: Function | None

    @property
    def kind(self) -> str:
        return str(self.record["authorizationType"])


class RestStage:
    """A stage of a REST API as it is served: what its deployment has."""

    def __init__(self, state: State, place: Place, api: Record, stage: Record) -> None:
        self.place = place
        self.api_id: str = api["id"]
        plain = str(api["name"]).encode("ascii", "ignore").decode()
        self.api_name: str = plain or self.api_id  # as metrics have it
        self.name: str = stage["stageName"]
        self.disabled: bool = bool(api.get("disableExecuteApiEndpoint"))
        self.traced: bool = bool(stage.get("tracingEnabled"))
        self.variables: Mapping[str, str] = stage.get("variables") or {}
        settings: Mapping[str, Json] = stage.get("methodSettings") or {}
        # Methods that have metrics of their own, as PATH/METHOD; "*/*": all.
        self.detailed = {key.strip("/") for key, each in settings.items() if each.get("metricsEnabled")}
        deployment = state.get(DEPLOYMENTS, self.api_id, stage["deploymentId"])
        served: Json = (deployment or {}).get("_snapshot") or {}
        self.responses: Mapping[str, Record] = served.get("responses") or {}
        self.keys: str = served.get("keys") or "HEADER"
        self._binary: list[str] = served.get("binary") or []
        authorizers = served.get("authorizers") or {}
        paths = Paths(
            (resource["path"], self._methods(resource, authorizers))
            for resource in served.get("resources") or ()
            if resource.get("resourceMethods")
        )
        # Of a request's method and path.
        self.match: Callable[[str, str], Match[Method] | None]
        self.match = lru_cache(MATCHES)(partial(_match, paths))

    def _methods(self, resource: Json, authorizers: Mapping[str, Record]) -> dict[str, Method]:
        made = {}
        for name, record in resource["resourceMethods"].items():
            integration = record["methodIntegration"]
            authorizer = authorizers.get(record.get("authorizerId") or "")
            made[name] = Method(
                resource["id"], resource["path"], record, integration,
                function_of(integration, "uri", "credentials", self.variables), authorizer,
                function_of(authorizer, "authorizerUri", "authorizerCredentials", self.variables),
            )  # fmt: skip
        return made

    def signed(self, request: Request, rest: str) -> bool:
        """Must the request be?"""
        found = self.match(request.method, rest)
        return found is not None and found[0].kind == "AWS_IAM"

    def binary(self, content_type: str) -> bool:
        """Is it one of the API's binary media types?"""
        kind = content_type.partition(";")[0].strip().lower()
        main = kind.partition("/")[0]
        return any(each.lower() in (kind, "*/*", f"{main}/*") for each in self._binary)


def _match(paths: Paths[dict[str, Method]], method: str, rest: str) -> Match[Method] | None:
    """The most specific resource has it, or none."""
    methods, parameters = next(paths.matching(split(rest.rstrip("/") or "/")), ({}, {}))
    found = methods.get(method) or methods.get("ANY")
    return None if found is None else (found, parameters)


def stages(state: State, place: Place, api: Record) -> dict[str, RestStage]:
    """An API's, by their names."""
    found = state.owned(STAGES, api["id"]).values()
    return {stage["stageName"]: RestStage(state, place, api, stage) for stage in found}


class RestApis:
    """Carries requests out. Belongs to the event loop."""

    def __init__(self, functions: Functions, outgoing: Outgoing, guarded: bool, spans: Spans | None) -> None:
        self._functions = functions
        self._spans = spans
        self._outgoing = outgoing
        self._guarded = guarded
        self._lambda = LambdaAuthorizers(functions)

    async def serve(self, stage: RestStage, exchange: Exchange, state: State, resets: int) -> Response:
        """resets: how often the cache of the stage's authorizers was emptied."""
        span = tracing.begin(self._spans, exchange, stage.traced, stage.api_name)
        try:
            reply = await self._reply(stage, exchange, state, resets)
        except Refused as refusal:
            reply = refused(refusal, stage.responses, exchange)
        own = (("x-amzn-requestid", str(exchange.id)), ("x-amz-apigw-id", exchange.short))
        response = responses.response(reply, *own, *exchange.trace_headers)
        tracing.end(self._spans, span, exchange, response)
        return response

    async def _reply(self, stage: RestStage, exchange: Exchange, state: State, resets: int) -> Reply:
        if stage.disabled:
            raise Refused("WAF_FILTERED")
        found = stage.match(exchange.request.method, exchange.rest)
        if found is None:
            raise Refused("MISSING_AUTHENTICATION_TOKEN")
        method, exchange.parameters = found
        exchange.route = method.path
        decision = await self._authorize(method, exchange, resets)
        if method.record["apiKeyRequired"]:
            self._check_key(stage, exchange, state, decision)
        kind = method.integration["type"]
        if kind == "MOCK":
            return _mocked(method.integration, exchange)
        function, exchange.called, began = method.function, time.time(), time.perf_counter()
        uri = method.integration.get("uri") or ""
        exchange.target = (
            uri if function is None else function.place.function(function.name, function.qualifier)
        )
        try:
            return await (self._proxied if kind == "HTTP_PROXY" else self._invoked)(stage, method, exchange)
        finally:
            exchange.integration = time.perf_counter() - began

    async def _invoked(self, stage: RestStage, method: Method, exchange: Exchange) -> Reply:
        event = wire.encode(events.rest(exchange, method.resource_id, stage.binary))
        source = exchange.arn(f"{exchange.stage}/{exchange.request.method}{method.path}")
        seconds = method.integration["timeoutInMillis"] / 1e3
        try:
            result = await self._functions.invoke(
                method.function,
                source,
                exchange.place.account,
                event,
                exchange.id.bytes,
                seconds,
                exchange.trace,
            )
        except NotInvoked as error:
            if error.reason in (Reason.LATE, Reason.LARGE):
                raise responses.refused(error) from None
            raise Refused("API_CONFIGURATION_ERROR") from None
        (status, headers, body), encoded = responses.format_1(result.payload, result.failed, JSON)
        accepted = exchange.request.header("accept").partition(",")[0]
        if encoded and stage.binary(accepted or "*/*"):
            try:
                body = body_of(body.decode("latin-1"), True)
            except ValueError:
                raise Refused("BAD_REPLY") from None
        return (
            status,
            [(f"x-amzn-remapped-{name}" if name in _REMAPPED else name, value) for name, value in headers],
            body,
        )

    async def _proxied(self, stage: RestStage, method: Method, exchange: Exchange) -> Reply:
        request, integration = exchange.request, method.integration
        path, query, added = dict(exchange.parameters), dict[str, str](), dict[str, str]()
        kinds = {"path": path, "querystring": query, "header": added}
        for name, expression in (integration.get("requestParameters") or {}).items():
            kind, _, own = name.removeprefix("integration.request.").partition(".")
            value = mapped(expression, exchange.value)
            if value is not None and kind in kinds:
                kinds[kind][own] = value
        both = "&".join(part for part in (request.query, urlencode(query)) if part)
        url = filled(integration["uri"], exchange.variables, path, both)
        lower = {name.lower() for name in added}
        headers = [pair for pair in request.headers if pair[0] not in UNSENT | lower] + list(added.items())
        headers += [("x-amzn-apigateway-api-id", exchange.api_id), *exchange.trace_headers]
        verb = integration["httpMethod"]
        verb = request.method if verb == "ANY" else verb
        seconds = integration["timeoutInMillis"] / 1e3
        try:
            return kept(await self._outgoing.request(verb, url, headers, request.body, seconds))
        except TimeoutError:
            raise Refused("INTEGRATION_TIMEOUT") from None
        except Unreachable:
            raise Refused("INTEGRATION_FAILURE") from None

    # Who may.

    async def _authorize(self, method: Method, exchange: Exchange, resets: int) -> Decision | None:
        """Raises Refused."""
        if method.kind == "AWS_IAM":
            signer(exchange, self._guarded)
        if method.kind != "CUSTOM":
            return None
        authorizer = method.authorizer
        if authorizer is None:
            raise Refused("AUTHORIZER_CONFIGURATION_ERROR")
        sources = [
            each.strip() for each in (authorizer.get("identitySource") or "").split(",") if each.strip()
        ]
        values = [exchange.value(source) for source in sources]
        if None in values or not _valid(authorizer, values):
            raise Refused("UNAUTHORIZED")
        if authorizer["type"] == "TOKEN":
            event: Json = events.token(exchange, values[0] or "")
        else:
            event = events.authorizer_1(exchange, None, method.resource_id)
        decision = await self._lambda.decide(
            exchange, authorizer["id"], method.authorizing, event, False, (resets, *values),
            authorizer["authorizerResultTtlInSeconds"],
        )  # fmt: skip
        decision.check(exchange.method_arn)
        exchange.authorizer = _context(decision)
        return decision

    def _check_key(
        self, stage: RestStage, exchange: Exchange, state: State, decision: Decision | None
    ) -> None:
        """Raises Refused for a request without a key of a usage plan that has the stage."""
        own = (
            exchange.request.header("x-api-key")
            if stage.keys == "HEADER"
            else decision and decision.usage_key
        )
        for id in state.owners(API_KEYS) if own else ():
            key = state.get(API_KEYS, id)
            if key is None or key["value"] != own or not key["enabled"]:
                continue
            for plan_id in state.owners(PLANS):
                plan = state.get(PLANS, plan_id) or {"_keys": (), "apiStages": ()}
                there = ((each.get("apiId"), each.get("stage")) for each in plan["apiStages"])
                if id in plan["_keys"] and (stage.api_id, stage.name) in there:
                    exchange.identity |= {"apiKey": own, "apiKeyId": id}
                    return
        raise Refused("INVALID_API_KEY")


def _valid(authorizer: Json, values: list[str | None]) -> bool:
    """Has a token the form that its authorizer asks for?"""
    expression = authorizer.get("identityValidationExpression")
    return (
        authorizer["type"] != "TOKEN" or not expression or re.match(expression, values[0] or "") is not None
    )


def _context(decision: Decision) -> dict[str, Any]:
    """What an event has of an authorizer's decision: every value as text. Raises Refused for one that is none."""
    context: dict[str, Any] = {"principalId": decision.principal, "integrationLatency": 0}
    for name, value in decision.context.items():
        if isinstance(value, dict | list):
            raise Refused("AUTHORIZER_CONFIGURATION_ERROR")
        if value is not None:
            context[name] = value if isinstance(value, str) else wire.encode(value).decode()
    return context


def _mocked(integration: Json, exchange: Exchange) -> Reply:
    """Raises Refused: it says no status, or one that no response is for."""
    templates = integration.get("requestTemplates") or {}
    kind = exchange.headers.get("content-type", "application/json").partition(";")[0].strip()
    if templates and kind not in templates and integration["passthroughBehavior"] != "WHEN_NO_MATCH":
        raise Refused("UNSUPPORTED_MEDIA_TYPE")
    found = _STATUS.search(
        rendered(templates.get(kind) or templates.get("application/json") or "", exchange.value)
    )
    own = (integration.get("integrationResponses") or {}).values()
    chosen = None if found is None else next(
        (each for each in own if each.get("selectionPattern") and re.fullmatch(each["selectionPattern"], found[1])),
        next((each for each in own if not each.get("selectionPattern")), None),
    )  # fmt: skip
    if chosen is None:
        raise Refused("API_CONFIGURATION_ERROR")
    headers = [JSON]
    for name, expression in (chosen.get("responseParameters") or {}).items():
        value = mapped(expression, exchange.value)
        if name.startswith("method.response.header.") and value is not None:
            headers.append((name.removeprefix("method.response.header.").lower(), value))
    if any(name == "content-type" for name, _ in headers[1:]):
        del headers[0]
    body = rendered((chosen.get("responseTemplates") or {}).get("application/json") or "", exchange.value)
    return int(chosen["statusCode"]), headers, body.encode()


def refused(refusal: Refused, own: Mapping[str, Record], exchange: Exchange | None) -> Reply:
    """A gateway response. own: those that the API has; exchange: None, where there is none."""
    default = DEFAULTS.get(refusal.kind, _BAD_REPLY)
    message = refusal.message or default.message
    fallback = "DEFAULT_4XX" if default.status < 500 else "DEFAULT_5XX"
    record: Json = own.get(refusal.kind) or own.get(fallback) or {}
    status = int(record.get("statusCode") or default.status)
    headers = [JSON, ("x-amzn-errortype", default.name), *refusal.headers]
    if record.get("responseTemplates", TEMPLATES) == TEMPLATES:
        capital = refusal.kind == "ACCESS_DENIED" and not record
        body = wire.encode({"Message" if capital else "message": message})
    else:
        errors = {"context.error.message": message or "", "context.error.responseType": refusal.kind}
        errors["context.error.messageString"] = wire.encode(message).decode()

        def value(name: str) -> str | None:
            return errors[name] if name in errors else exchange.value(name) if exchange else None

        kind, text = next(iter(record["responseTemplates"].items()))
        headers[0] = ("content-type", kind)
        body = rendered(text, value).encode()
    for name, expression in (record.get("responseParameters") or {}).items():
        found = mapped(expression, exchange.value if exchange else lambda name: None)
        if found is not None:
            headers.append((name.removeprefix("gatewayresponse.header.").lower(), found))
    return status, headers, body
