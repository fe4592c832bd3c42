"""The events that functions behind APIs get: payload formats 2.0 and 1.0, and those of authorizers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ...aws.messages import Request
from ..urls.payload import HOP_BY_HOP, body_members, cookies_of, head, http_of, text_of, time_of
from .exchange import Exchange

_IDENTITY = dict.fromkeys(
    (
        "accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType",
        "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "sourceIp", "user", "userAgent", "userArn",
    )
)  # fmt: skip
Json = dict[str, Any]


def format_2(exchange: Exchange) -> Json:
    """An HTTP API's event in payload format 2.0. What is not there is left out."""
    event = _head_2(exchange)
    context = _context_2(exchange)
    if exchange.authorizer is not None:
        context["authorizer"] = exchange.authorizer
    event["requestContext"] = context
    body = body_members(exchange.request, exchange.headers.get("content-type", ""))
    if "body" in body:
        event["body"] = body["body"]
    return event | _bound(exchange) | {"isBase64Encoded": body["isBase64Encoded"]}


def _head_2(exchange: Exchange) -> Json:
    cookies = cookies_of(exchange.headers)
    headers = {name: value for name, value in exchange.headers.items() if name != "cookie"}
    return head(exchange.request, exchange.path, exchange.route, cookies, headers)


def _context_2(exchange: Exchange) -> Json:
    return {
        "accountId": exchange.place.account,
        "apiId": exchange.api_id,
        "domainName": exchange.domain,
        "domainPrefix": exchange.api_id,
        "http": http_of(exchange.request, exchange.path, exchange.headers),
        "requestId": exchange.short,
        "routeKey": exchange.route,
        "stage": exchange.stage,
        "time": time_of(exchange.now),
        "timeEpoch": int(exchange.now * 1000),
    }


def _bound(exchange: Exchange) -> Json:
    bound: Json = {}
    if exchange.parameters:
        bound["pathParameters"] = exchange.parameters
    if exchange.variables:
        bound["stageVariables"] = dict(exchange.variables)
    return bound


def format_1(exchange: Exchange) -> Json:
    """An HTTP API's event in payload format 1.0."""
    resource = exchange.route.partition(" ")[2] or exchange.route
    event = {"version": "1.0", **_proxy(exchange, resource, exchange.path, lambda kind: True)}
    context = event["requestContext"]
    context["resourceId"] = exchange.route
    context["requestId"] = exchange.short
    context["authorizer"] = exchange.authorizer or {"claims": None, "scopes": None}
    return event


def rest(exchange: Exchange, resource_id: str, binary: Callable[[str], bool]) -> Json:
    """A REST API's event. binary: is a body of this content type, or one that is to be accepted, binary?"""
    event = _proxy(exchange, exchange.route, _behind_stage(exchange), lambda kind: False, binary)
    context = event["requestContext"]
    context["resourceId"] = resource_id
    if exchange.authorizer is not None:
        context["authorizer"] = exchange.authorizer
    return event


def _behind_stage(exchange: Exchange) -> str:
    return "/" + "/".join(exchange.path.split("/")[2:])


def _proxy(
    exchange: Exchange,
    resource: str,
    path: str,
    by_type: Callable[[str], bool],
    binary: Callable[[str], bool] = lambda kind: False,
) -> Json:
    """by_type: does a body's content type say by itself whether it is text?"""
    request = exchange.request
    query, many = multi_query(request.query)
    headers, several = multi_headers(exchange)
    kind = exchange.headers.get("content-type", "")
    body, encoded = _body(request, kind, by_type(kind), binary(kind))
    return {
        "resource": resource,
        "path": path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": several,
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": many or None,
        "requestContext": _context_1(exchange, resource),
        "pathParameters": exchange.parameters or None,
        "stageVariables": dict(exchange.variables) or None,
        "body": body,
        "isBase64Encoded": encoded,
    }


def _body(request: Request, kind: str, by_type: bool, binary: bool) -> tuple[str | None, bool]:
    if not request.body:
        return None, False
    text = (
        None
        if binary
        else text_of(kind, request.body)
        if by_type
        else request.body.decode("utf-8", "replace")
    )
    if text is None:
        return base64.b64encode(request.body).decode(), True
    return text, False


def _context_1(exchange: Exchange, resource: str) -> Json:
    request = exchange.request
    identity = {**_IDENTITY, **exchange.identity, "sourceIp": request.client}
    identity["userAgent"] = exchange.headers.get("user-agent")
    return {
        "accountId": exchange.place.account,
        "apiId": exchange.api_id,
        "domainName": exchange.domain,
        "domainPrefix": exchange.api_id,
        "extendedRequestId": exchange.short,
        "httpMethod": request.method,
        "identity": identity,
        "path": exchange.path,
        "protocol": "HTTP/1.1",
        "requestId": str(exchange.id),
        "requestTime": time_of(exchange.now),
        "requestTimeEpoch": int(exchange.now * 1000),
        "resourcePath": resource,
        "stage": exchange.stage,
    }


def multi_query(query: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """A query's parameters: the last of each name, and all of them."""
    many: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        many.setdefault(name, []).append(value)
    return {name: values[-1] for name, values in many.items()}, many


def multi_headers(exchange: Exchange) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The headers, likewise. Their names come in lower case: they are written as clients of HTTP/1.1 write them."""
    many: dict[str, list[str]] = {}
    for name, value in exchange.request.headers:
        if name.lower() not in HOP_BY_HOP:
            many.setdefault(name.title(), []).append(value)
    for name in ("x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"):
        many[name.title()] = [exchange.headers[name]]
    many = dict(sorted(many.items()))
    return {name: values[-1] for name, values in many.items()}, many


def authorizer_2(exchange: Exchange, sources: list[str]) -> Json:
    """The event of an HTTP API's authorizer in payload format 2.0. sources: the values of its identity sources."""
    event = _head_2(exchange)
    version = {"version": event.pop("version"), "type": "REQUEST", "routeArn": exchange.method_arn}
    context = _context_2(exchange)
    return version | {"identitySource": sources} | event | {"requestContext": context} | _bound(exchange)


def authorizer_1(exchange: Exchange, sources: list[str] | None, resource_id: str | None = None) -> Json:
    """That of payload format 1.0; sources: None, resource_id: the resource's, of a REST API's."""
    resource = exchange.route if resource_id else exchange.route.partition(" ")[2] or exchange.route
    query, many = multi_query(exchange.request.query)
    headers, several = multi_headers(exchange)
    joined = {} if sources is None else {
        "version": "1.0", "identitySource": ",".join(sources), "authorizationToken": ",".join(sources)
    }  # fmt: skip
    context = _context_1(exchange, resource) | {"resourceId": resource_id or exchange.route}
    return {
        "type": "REQUEST",
        "methodArn": exchange.method_arn,
        **joined,
        "resource": resource,
        "path": _behind_stage(exchange) if resource_id else exchange.path,
        "httpMethod": exchange.request.method,
        "headers": headers,
        "multiValueHeaders": several,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": many,
        "pathParameters": exchange.parameters,
        "stageVariables": dict(exchange.variables),
        "requestContext": context,
    }


def token(exchange: Exchange, value: str) -> Mapping[str, str]:
    """The event of a REST API's TOKEN authorizer."""
    return {"type": "TOKEN", "authorizationToken": value, "methodArn": exchange.method_arn}
