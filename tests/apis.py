"""Functions and requests for the tests of APIs."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from delivered import ACCOUNT
from served import REGION, ROLE, RUNTIME, Served

from engine.hosting.archives import pack

ECHO = (
    "import json\ndef handler(event, context):\n    return {'statusCode': 200, 'body': json.dumps(event)}\n"
)
SOURCE = """
import base64, json, time
REPLIES = {
    "text": "hello", "object": {"a": 1}, "empty": {"statusCode": 204}, "bad status": {"statusCode": "x"},
    "bad body": {"statusCode": 200, "body": {"a": 1}}, "list": [1],
    "cookies": {"statusCode": 201, "cookies": ["a=1", "b=2"], "headers": {"X-A": "1"}, "body": "made"},
    "many": {"statusCode": 200, "multiValueHeaders": {"X-A": ["1", "2"]}, "headers": {"X-B": "3"}, "body": "b"},
    "binary": {"statusCode": 200, "isBase64Encoded": True, "body": "AP+A", "headers": {"content-type": "image/png"}},
}
def handler(event, context):
    reply = (event.get("queryStringParameters") or {}).get("reply")
    if reply == "fail":
        raise ValueError("asked for")
    if reply == "late":
        time.sleep(2)
    if reply in REPLIES:
        return REPLIES[reply]
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
"""


@dataclass
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each.lower() == name), None)


def function(server: Served, name: str, source: str, folder: Path, allowed: bool = True, **more: Any) -> str:
    """Its ARN. allowed: API Gateway may invoke it."""
    client = server.client()
    file = folder / "app.py"
    file.write_text(source)
    arn = client.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": pack(file)},
        **more,
    )["FunctionArn"]
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})
    if allowed:
        allow(server, name, f"arn:aws:execute-api:{REGION}:{ACCOUNT}:*")
    return str(arn)


def allow(server: Served, name: str, source: str) -> None:
    server.client().add_permission(
        FunctionName=name, StatementId=f"s{abs(hash(source))}", Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com", SourceArn=source,
    )  # fmt: skip


def send(
    server: Served,
    api_id: str,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
) -> Reply:
    """A request to an API at its host."""
    at = urlsplit(server.url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=40)
    try:
        host = f"{api_id}.execute-api.{REGION}.localhost:{at.port}"
        connection.request(method, path, body, {"Host": host, **(headers or {})})
        response = connection.getresponse()
        return Reply(response.status, response.getheaders(), response.read())
    finally:
        connection.close()
