"""The events that functions behind WebSocket APIs get, and those of their authorizers."""

from __future__ import annotations

from typing import Any

from ..urls.payload import time_of
from .events import multi_headers, multi_query
from .exchange import Exchange
from .socket_connection import Connection

Json = dict[str, Any]
CONNECT, DISCONNECT, MESSAGE = "CONNECT", "DISCONNECT", "MESSAGE"


def context(connection: Connection, kind: str, route: str, now: float, id: str, **more: Any) -> Json:
    """A request context. id: the event's; more: members that only its kind has."""
    first = connection.exchange
    identity = {"sourceIp": first.request.client}
    if agent := first.headers.get("user-agent"):
        identity["userAgent"] = agent
    found = {
        "routeKey": route, **more, "eventType": kind, "extendedRequestId": id, "requestTime": time_of(now),
        "messageDirection": "IN", "stage": first.stage, "connectedAt": int(connection.connected_at * 1000),
        "requestTimeEpoch": int(now * 1000), "identity": {**identity, **first.identity}, "requestId": id,
        "domainName": first.domain, "connectionId": connection.id, "apiId": first.api_id,
    }  # fmt: skip
    if connection.authorizer is not None:
        found["authorizer"] = dict(connection.authorizer)
    return found


def connect(connection: Connection) -> Json:
    exchange = connection.exchange
    return {
        **_sent(exchange),
        "requestContext": context(connection, CONNECT, "$connect", exchange.now, exchange.short),
        **_variables(exchange), "isBase64Encoded": False,
    }  # fmt: skip


def disconnect(connection: Connection, now: float, id: str, code: int, reason: str) -> Json:
    exchange = connection.exchange
    headers = {
        "Host": exchange.request.header("host"),
        "x-api-key": "",
        "X-Forwarded-For": "",
        "x-restapi": "",
    }
    ended = {"disconnectStatusCode": code}
    found = context(connection, DISCONNECT, "$disconnect", now, id, **ended, disconnectReason=reason)
    return {
        "headers": headers, "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": found, **_variables(exchange), "isBase64Encoded": False,
    }  # fmt: skip


def message(connection: Connection, route: str, now: float, id: str, number: str, text: str) -> Json:
    return {
        "requestContext": context(connection, MESSAGE, route, now, id, messageId=number),
        **_variables(connection.exchange), "body": text, "isBase64Encoded": False,
    }  # fmt: skip


def authorizer(connection: Connection, arn: str) -> Json:
    """That of a REQUEST authorizer, at $connect. arn: of what is to be allowed."""
    exchange = connection.exchange
    query, many = multi_query(exchange.request.query)
    headers, several = _headers(exchange)
    return {
        "type": "REQUEST", "methodArn": arn, "headers": headers, "multiValueHeaders": several,
        "queryStringParameters": query, "multiValueQueryStringParameters": many,
        "stageVariables": dict(exchange.variables),
        "requestContext": context(connection, CONNECT, "$connect", exchange.now, exchange.short),
    }  # fmt: skip


def _sent(exchange: Exchange) -> Json:
    headers, several = _headers(exchange)
    query, many = multi_query(exchange.request.query)
    asked = {"queryStringParameters": query, "multiValueQueryStringParameters": many} if query else {}
    return {"headers": headers, "multiValueHeaders": several, **asked}


def _headers(exchange: Exchange) -> tuple[dict[str, str], dict[str, list[str]]]:
    one, many = multi_headers(exchange)
    return ({_written(name): value for name, value in one.items()},
            {_written(name): values for name, values in many.items()})  # fmt: skip


def _written(name: str) -> str:
    return name.replace("Websocket", "WebSocket")


def _variables(exchange: Exchange) -> Json:
    return {"stageVariables": dict(exchange.variables)} if exchange.variables else {}
