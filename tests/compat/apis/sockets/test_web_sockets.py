"""WebSocket APIs: connections, messages by their routes, the way back, and the end; by boto3 and a client."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apis import function, send
from botocore.exceptions import ClientError
from delivered import ACCOUNT
from served import REGION, Served
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .web_sockets import SOURCE, made, opened, responding, said

AUTHORIZER = """
def handler(event, context):
    token = event["queryStringParameters"].get("token")
    if token == "unknown": raise Exception("Unauthorized")
    effect = "Allow" if token == "yes" else "Deny"
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
    return {"principalId": "me", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": {"n": 1, "arn": event["methodArn"]}}
"""
Notes = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def client(server: Served) -> Any:
    return server.client("apigatewayv2")


@pytest.fixture(scope="module")
def queue(server: Served) -> str:
    return str(server.client("sqs").create_queue(QueueName="noted")["QueueUrl"])


@pytest.fixture(scope="module")
def target(server: Served, queue: str, folder: Path) -> str:
    variables = {"Variables": {"QUEUE": queue}}
    return function(server, "sockets", SOURCE, folder, Environment=variables)


@pytest.fixture
def noted(server: Served, queue: str) -> Notes:
    """The next event of an API and of a kind that the function noted."""
    sqs = server.client("sqs")

    def next_of(api_id: str, kind: str) -> dict[str, Any]:
        while True:
            given = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=given[0]["ReceiptHandle"])
            event: dict[str, Any] = json.loads(given[0]["Body"])
            if (event["requestContext"]["apiId"], event["requestContext"]["eventType"]) == (api_id, kind):
                return event

    return next_of


def management(server: Served, api_id: str, stage: str = "dev") -> Any:
    import boto3

    return boto3.client(
        "apigatewaymanagementapi", endpoint_url=f"{server.url}/_aws/execute-api/{api_id}/{stage}", region_name=REGION,
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip


@pytest.mark.promise(220)
def test_the_events_of_a_connection(server: Served, client: Any, target: str, noted: Notes) -> None:
    """The members of AWS's documented samples, and their values where a connection has them."""
    api_id = made(client, target, "$connect", "$disconnect", "$default", "say")
    for key in ("say", "$default"):
        responding(client, api_id, key)
    assert client.get_api(ApiId=api_id)["ApiEndpoint"].startswith(
        f"ws://{api_id}.execute-api.{REGION}.localhost:"
    )
    with opened(server, api_id, "/dev?a=1&a=2", user_agent_header="tests") as socket:
        event = noted(api_id, "CONNECT")
        context = event["requestContext"]
        assert set(event) == {
            "headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters",
            "requestContext", "isBase64Encoded",
        }  # fmt: skip
        assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
        wanted = {"Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "X-Amzn-Trace-Id", "X-Forwarded-For",
                  "X-Forwarded-Port", "X-Forwarded-Proto"}  # fmt: skip
        assert set(event["headers"]) == wanted | {"User-Agent"}
        assert {name: [value] for name, value in event["headers"].items()} == event["multiValueHeaders"]
        common = {
            "routeKey", "eventType", "extendedRequestId", "requestTime", "messageDirection", "stage", "connectedAt",
            "requestTimeEpoch", "identity", "requestId", "domainName", "connectionId", "apiId",
        }  # fmt: skip
        assert set(context) == common
        assert (context["routeKey"], context["stage"], context["apiId"]) == ("$connect", "dev", api_id)
        assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "tests"}
        assert context["domainName"] == f"{api_id}.execute-api.{REGION}.amazonaws.com"
        id = context["connectionId"]
        for text, key in (
            ('{"action": "say"}', "say"),
            ('{"action": "other"}', "$default"),
            ("no JSON", "$default"),
        ):
            socket.send(text)
            event = said(socket)
            assert set(event) == {"requestContext", "body", "isBase64Encoded"}
            assert (event["body"], event["isBase64Encoded"]) == (text, False)
            own = event["requestContext"]
            assert set(own) == common | {"messageId"}
            assert (own["routeKey"], own["eventType"], own["connectionId"]) == (key, "MESSAGE", id)
            assert own["connectedAt"] == context["connectedAt"]
        socket.close(4000, "done")
    event = noted(api_id, "DISCONNECT")
    assert set(event) == {"headers", "multiValueHeaders", "requestContext", "isBase64Encoded"}
    assert set(event["headers"]) == {"Host", "x-api-key", "X-Forwarded-For", "x-restapi"}
    own = event["requestContext"]
    assert set(own) == common | {"disconnectStatusCode", "disconnectReason"}
    assert (own["disconnectStatusCode"], own["disconnectReason"], own["connectionId"]) == (4000, "done", id)


@pytest.mark.promise(221)
def test_a_function_writes_to_its_connection(server: Served, client: Any, target: str) -> None:
    """At the address that its event has, as AWS's samples do it; what it returns is not sent where no response is."""
    api_id = made(client, target, "$default")
    with opened(server, api_id) as socket:
        socket.send("back")
        assert said(socket) == {"posted": "back"}
        socket.send("fail")
        failed = said(socket)
        assert failed["message"] == "Internal server error"
        assert set(failed) == {"message", "connectionId", "requestId"}
        api = management(server, api_id)
        found = api.get_connection(ConnectionId=failed["connectionId"])
        assert found["Identity"]["SourceIp"] == "127.0.0.1"
        assert found["ConnectedAt"] <= found["LastActiveAt"]
        api.post_to_connection(ConnectionId=failed["connectionId"], Data=b"x" * (128 * 1024))
        assert len(socket.recv(30)) == 128 * 1024
        with pytest.raises(ClientError) as error:
            api.post_to_connection(ConnectionId=failed["connectionId"], Data=b"x" * (128 * 1024 + 1))
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
        api.delete_connection(ConnectionId=failed["connectionId"])
        with pytest.raises(ConnectionClosed):
            socket.recv(30)
    for call in (api.get_connection, api.delete_connection):
        with pytest.raises(api.exceptions.GoneException):
            call(ConnectionId=failed["connectionId"])


@pytest.mark.promise(220)
def test_who_is_not_let_in(server: Served, client: Any, target: str) -> None:
    api_id = made(client, target, "$connect", "$default")
    for path, status in (("/dev?status=418", 418), ("/dev?fail=1", 502), ("/none", 404)):
        with pytest.raises(InvalidStatus) as error, opened(server, api_id, path):
            pass
        assert error.value.response.status_code == status
    with opened(server, api_id, "/dev?protocol=chat", subprotocols=["chat"]) as socket:
        assert socket.subprotocol == "chat"
    assert send(server, api_id, "/dev").status == 426


@pytest.mark.promise(220)
def test_an_authorizer(server: Served, client: Any, target: str, folder: Path) -> None:
    decider = function(server, "socket-decider", AUTHORIZER, folder)
    api_id = made(client, target, "$default")
    responding(client, api_id, "$default")
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{decider}/invocations"
    authorizer = client.create_authorizer(
        ApiId=api_id, Name="a", AuthorizerType="REQUEST", AuthorizerUri=uri,
        IdentitySource=["route.request.querystring.token"],
    )["AuthorizerId"]  # fmt: skip
    integration = client.get_integrations(ApiId=api_id)["Items"][0]["IntegrationId"]
    client.create_route(
        ApiId=api_id, RouteKey="$connect", AuthorizationType="CUSTOM", AuthorizerId=authorizer,
    )  # fmt: skip
    assert integration
    with pytest.raises(ClientError, match="only supported for the .connect route"):
        client.create_route(ApiId=api_id, RouteKey="x", AuthorizationType="CUSTOM", AuthorizerId=authorizer)
    route = next(each for each in client.get_routes(ApiId=api_id)["Items"] if each["RouteKey"] == "$connect")
    client.update_route(ApiId=api_id, RouteId=route["RouteId"], Target=f"integrations/{mock(client, api_id)}")
    for query, status in (("", 401), ("?token=no", 403), ("?token=unknown", 401)):
        with pytest.raises(InvalidStatus) as error, opened(server, api_id, f"/dev{query}"):
            pass
        assert error.value.response.status_code == status
    with opened(server, api_id, "/dev?token=yes") as socket:
        socket.send("{}")
        context = said(socket)["requestContext"]["authorizer"]
    arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api_id}/dev/$connect"
    assert context == {"principalId": "me", "integrationLatency": 0, "n": "1", "arn": arn}


def mock(client: Any, api_id: str) -> str:
    """An integration that lets everybody in."""
    return str(client.create_integration(
        ApiId=api_id, IntegrationType="MOCK", RequestTemplates={"$default": '{"statusCode": 200}'}
    )["IntegrationId"])  # fmt: skip


@pytest.mark.promise(222)
def test_limits_of_frames_and_messages(server: Served, client: Any, target: str, noted: Notes) -> None:
    api_id = made(client, target, "$disconnect", "$default")
    responding(client, api_id, "$default")
    with opened(server, api_id, max_size=None) as socket:
        socket.send(["x" * 32_000] * 4)  # a message of four frames
        assert len(said(socket)["body"]) == 128_000
        socket.send("x" * (32 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as error:
            socket.recv(30)
        assert error.value.rcvd is not None
        assert error.value.rcvd.code == 1009
    assert noted(api_id, "DISCONNECT")["requestContext"]["disconnectStatusCode"] == 1009
    with opened(server, api_id) as socket:
        with pytest.raises(ConnectionClosed) as error:
            socket.send(["x" * 32_000] * 5)
            socket.recv(30)
        assert error.value.rcvd is not None
        assert error.value.rcvd.code == 1009
    with opened(server, api_id) as socket:
        socket.send(b"bytes")
        with pytest.raises(ConnectionClosed) as error:
            socket.recv(30)
        assert error.value.rcvd is not None
        assert error.value.rcvd.code == 1003


@pytest.mark.promise(220)
def test_no_route_and_a_stage_that_goes(server: Served, client: Any, target: str) -> None:
    api_id = made(client, target, "say")
    with opened(server, api_id) as socket:
        socket.send('{"action": "other"}')
        assert said(socket)["message"] == "Forbidden"
        client.delete_api(ApiId=api_id)
        socket.send('{"action": "say"}')
        with pytest.raises(ConnectionClosed):
            socket.recv(30)


@pytest.mark.promise(220)
def test_many_at_once_and_the_end_of_the_server(tmp_path: Path) -> None:
    own = Served(tmp_path / "state")
    try:
        client = own.client("apigatewayv2")
        echo = function(own, "echo", SOURCE, tmp_path)
        api_id = made(client, echo, "$default")
        responding(client, api_id, "$default")
        sockets = [opened(own, api_id) for _ in range(40)]
        for n, socket in enumerate(sockets):
            for each in range(3):
                socket.send(f"{n} {each}")
        for n, socket in enumerate(sockets):
            assert {said(socket)["body"] for _ in range(3)} == {f"{n} {each}" for each in range(3)}
        codes: list[int] = []

        def wait(socket: Any) -> None:
            with pytest.raises(ConnectionClosed) as error:
                socket.recv(60)
            codes.append(error.value.rcvd.code if error.value.rcvd else 0)

        threads = [threading.Thread(target=wait, args=(socket,)) for socket in sockets]
        for thread in threads:
            thread.start()
    finally:
        assert own.stop() == 0
    for thread in threads:
        thread.join()
    assert codes == [1001] * 40


@pytest.mark.promise(220)
def test_a_handshake_that_is_none(server: Served, client: Any, target: str) -> None:
    api_id = made(client, target, "$connect", "$default")
    asked = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    assert send(server, api_id, "/dev", headers=asked).status == 400  # it has no key
    whole = {**asked, "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA=="}
    assert send(server, api_id, "/dev", headers={**whole, "Sec-WebSocket-Version": "8"}).status == 400
    assert send(server, api_id, "/dev", "POST", headers=whole, body="x").status == 400
    assert send(server, api_id, "/dev?status=599", headers=whole).status == 599
    assert send(server, "unknown", "/dev", headers=whole).status == 404
