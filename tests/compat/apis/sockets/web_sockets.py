"""WebSocket APIs as the tests make them, and clients of them."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

from served import REGION, Served
from websockets.sync.client import ClientConnection, connect

SOURCE = """
import boto3, json, os
SEEN = []
def handler(event, context):
    context_ = event["requestContext"]
    route, id = context_["routeKey"], context_["connectionId"]
    if route == "$disconnect":
        boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
        return {"statusCode": 200}
    if route == "$connect":
        query = event.get("queryStringParameters") or {}
        if query.get("fail"):
            raise ValueError("asked for")
        boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
        headers = {"Sec-WebSocket-Protocol": query["protocol"]} if "protocol" in query else {}
        return {"statusCode": int(query.get("status", 200)), "headers": headers}
    body = event["body"]
    if "back" in body:  # by the API that AWS documents, at the address that the event has
        url = f"https://{context_['domainName']}/{context_['stage']}"
        client = boto3.client("apigatewaymanagementapi", endpoint_url=url)
        client.post_to_connection(ConnectionId=id, Data=json.dumps({"posted": body}).encode())
        return {"statusCode": 200, "body": "not sent"}
    if "fail" in body:
        raise ValueError("asked for")
    return {"statusCode": 200, "body": json.dumps(event)}
"""


def made(client: Any, target: str, *keys: str, stage: str = "dev", **more: Any) -> str:
    """An API with a stage that deploys by itself, whose routes lead to one function. Its id."""
    api_id = str(client.create_api(
        Name="chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action", **more
    )["ApiId"])  # fmt: skip
    integration = client.create_integration(ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=target)[
        "IntegrationId"
    ]
    for key in keys:
        client.create_route(ApiId=api_id, RouteKey=key, Target=f"integrations/{integration}")
    client.create_stage(ApiId=api_id, StageName=stage, AutoDeploy=True)
    return api_id


def responding(client: Any, api_id: str, key: str) -> None:
    """What the route's function returns is sent back."""
    found = client.get_routes(ApiId=api_id)["Items"]
    route = next(each["RouteId"] for each in found if each["RouteKey"] == key)
    client.update_route(ApiId=api_id, RouteId=route, RouteResponseSelectionExpression="$default")
    client.create_route_response(ApiId=api_id, RouteId=route, RouteResponseKey="$default")


def opened(server: Served, api_id: str, path: str = "/dev", **more: Any) -> ClientConnection:
    """A client at the API's host, which leads here as all below .localhost do."""
    at = urlsplit(server.url)
    url = f"ws://{api_id}.execute-api.{REGION}.localhost:{at.port}{path}"
    sock = socket.create_connection((at.hostname, at.port))
    return connect(url, sock=sock, open_timeout=30, compression=None, **more)


def said(client: ClientConnection) -> Any:
    return json.loads(client.recv(30))
