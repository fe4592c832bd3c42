"""The client of REST APIs, and integrations and an authorizer for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from apis import function
from served import Served

from .rest_apis import uri

AUTHORIZER = """
def handler(event, context):
    token = event.get("authorizationToken") or event["headers"]["X-Token"]
    if token == "unknown": raise Exception("Unauthorized")
    if token == "broken": raise Exception("asked for")
    if token == "nothing": return {}
    effect = "Allow" if token.startswith("yes") else "Deny"
    arn = event["methodArn"] if token != "elsewhere" else "arn:aws:execute-api:*:*:none/*"
    statement = {"Effect": "Allow" if token == "elsewhere" else effect, "Action": "execute-api:*", "Resource": arn}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    context = {"n": 1, "b": True, "s": "t", "type": event["type"], "id": context.aws_request_id}
    key = token.partition(":")[2]
    return {"principalId": "me", "policyDocument": policy, "context": context, "usageIdentifierKey": key}
"""


@pytest.fixture(scope="module")
def client(server: Served) -> Any:
    return server.client("apigateway")


@pytest.fixture(scope="module")
def echo(echo: str) -> str:
    """Its URI."""
    return uri(echo)


@pytest.fixture(scope="module")
def decider(server: Served, folder: Path) -> str:
    return uri(function(server, "decider", AUTHORIZER, folder))
