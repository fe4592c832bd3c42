"""The client of HTTP APIs, an authorizer for them, and a provider of identities that is a backend, too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from apis import function
from served import Served

from .http_apis import Provider

ERROR = b'{"message":"Internal Server Error"}'
AUTHORIZER = """
def handler(event, context):
    token = (event.get("headers") or {}).get("x-token") or event["identitySource"]
    token = token[0] if isinstance(token, list) else token
    if token == "unknown": raise Exception("Unauthorized")
    if token == "broken": raise Exception("asked for")
    if token == "none": return {"isAuthorized": "yes"}
    if event["version"] == "2.0":
        more = {"who": "me", "n": 1, "event": event, "id": context.aws_request_id}
        return {"isAuthorized": token == "yes", "context": more}
    effect = "Allow" if token == "yes" else "Deny"
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": "me", "policyDocument": policy, "context": {"n": 1}}
"""


@pytest.fixture(scope="module")
def client(server: Served) -> Any:
    return server.client("apigatewayv2")


@pytest.fixture(scope="module")
def decider(server: Served, folder: Path) -> str:
    return function(server, "decider", AUTHORIZER, folder)


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    there = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=there.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{there.server_port}"
    there.shutdown()
    there.server_close()
