"""The events of WebSocket APIs against AWS's documented samples, and how a connection of theirs ends by itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser import models

from engine.aws.messages import Request
from engine.aws.names import Place
from engine.aws.service import Caller
from engine.services.execute_api import socket_connection, socket_events
from engine.services.execute_api.exchange import Exchange
from engine.services.execute_api.responses import Pairs
from engine.services.execute_api.socket_connection import Connection

PLACE = Place("us-east-1", "123456789012")
HOST = "abcd1234.execute-api.us-east-1.amazonaws.com"
CONTEXT = {
    "extendedRequestId": "ABCD1234=", "requestTime": "09/Feb/2024:18:11:43 +0000", "messageDirection": "IN",
    "stage": "prod", "connectedAt": 1707502303419, "requestTimeEpoch": 1707502303420,
    "identity": {"sourceIp": "192.0.2.1"}, "requestId": "ABCD1234=", "domainName": HOST, "connectionId": "AAAA1234=",
    "apiId": "abcd1234",
}  # fmt: skip
HEADERS = {
    "Host": HOST, "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Key": "01c+abcd1234", "Sec-WebSocket-Version": "13", "X-Amzn-Trace-Id": "Root=1-5c6-abcd1234",
    "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https",
}  # fmt: skip
# As AWS's developer guide and its own event generators have them.
SAMPLES: dict[str, dict[str, Any]] = {
    "CONNECT": {
        "headers": HEADERS, "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
        "requestContext": {"routeKey": "$connect", "eventType": "CONNECT", **CONTEXT}, "isBase64Encoded": False,
    },
    "MESSAGE": {
        "requestContext": {"routeKey": "chat", "messageId": "ABCD1234=", "eventType": "MESSAGE", **CONTEXT},
        "body": '{"action": "chat"}', "isBase64Encoded": False,
    },
    "DISCONNECT": {
        "headers": {"Host": HOST, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""},
        "multiValueHeaders": {"Host": [HOST], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]},
        "requestContext": {
            "routeKey": "$disconnect", "disconnectStatusCode": 1005, "eventType": "DISCONNECT",
            "disconnectReason": "Client-side close frame status not set", **CONTEXT,
        },
        "isBase64Encoded": False,
    },
    "AUTHORIZER": {
        "type": "REQUEST", "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abcd1234/prod/$connect",
        "headers": HEADERS, "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
        "queryStringParameters": {}, "multiValueQueryStringParameters": {}, "stageVariables": {},
        "requestContext": {"routeKey": "$connect", "eventType": "CONNECT", **CONTEXT},
    },
}  # fmt: skip


class Owner:
    """Lets everybody in, and notes what becomes of it."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[tuple[int, str]] = asyncio.Future()

    async def connect(self, connection: Connection) -> Pairs:
        return []

    def opened(self, connection: Connection) -> None:
        pass

    async def message(self, connection: Connection, text: str) -> None:
        connection.send(text)

    def disconnected(self, connection: Connection, code: int, reason: str) -> None:
        self.ended.set_result((code, reason))


def connection(owner: Any = None) -> Connection:
    headers = [(name.lower(), value) for name, value in HEADERS.items() if not name.startswith("X-Forwarded")]
    request = Request("GET", "/prod", "", headers, scheme="https", client="192.0.2.1", port=443)
    exchange = Exchange(request, Caller(PLACE), PLACE, "abcd1234", "prod", {}, "/prod", "/")
    exchange.short, exchange.now = "ABCD1234=", 1707502303.42
    made = Connection(owner, exchange, lambda: None)
    made.id, made.connected_at = "AAAA1234=", 1707502303.4195
    return made


MODELS: dict[str, Any] = {
    "CONNECT": models.APIGatewayWebSocketConnectEventModel,
    "MESSAGE": models.APIGatewayWebSocketMessageEventModel,
    "DISCONNECT": models.APIGatewayWebSocketDisconnectEventModel,
}


@pytest.mark.promise(220, 284)
@pytest.mark.parametrize("kind", SAMPLES)
def test_an_event_is_the_sample(kind: str) -> None:
    made, now, id = connection(), 1707502303.42, "ABCD1234="
    event = {
        "CONNECT": lambda: socket_events.connect(made),
        "MESSAGE": lambda: socket_events.message(made, "chat", now, id, id, '{"action": "chat"}'),
        "DISCONNECT": lambda: socket_events.disconnect(made, now, id, 1005, "Client-side close frame status not set"),
        "AUTHORIZER": lambda: socket_events.authorizer(made, SAMPLES["AUTHORIZER"]["methodArn"]),
    }[kind]()  # fmt: skip
    assert json.loads(json.dumps(event)) == SAMPLES[kind]
    assert list(event["requestContext"]) == list(SAMPLES[kind]["requestContext"]) or kind == "DISCONNECT"
    if kind in MODELS:  # Powertools' validators, which functions have before their code
        MODELS[kind].model_validate(json.loads(json.dumps(event)))


@pytest.mark.promise(222)
@pytest.mark.parametrize("limit", ["IDLE_SECONDS", "LIFE_SECONDS"])
def test_a_connection_that_is_quiet_or_old_ends(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    assert (socket_connection.IDLE_SECONDS, socket_connection.LIFE_SECONDS) == (600, 7200)
    monkeypatch.setattr(socket_connection, limit, 0.05)

    async def run() -> None:
        owner = Owner()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: connection(owner), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert (await reader.readexactly(4))[2:] == (1001).to_bytes(2, "big")
        assert await reader.read(10) == b"Going away"
        writer.write(b"\x88\x82\x00\x00\x00\x00\x03\xe9")  # as a client confirms it
        assert await asyncio.wait_for(owner.ended, 20) == (1001, "Going away")
        writer.close()
        server.close()
        await server.wait_closed()

    asyncio.run(run())
