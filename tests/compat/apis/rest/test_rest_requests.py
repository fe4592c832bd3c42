"""Requests to REST APIs: events, responses, mocks, stages, authorizers, keys, gateway responses."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from apis import SOURCE, allow, function, send
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from delivered import ACCOUNT, refused
from served import REGION, Served

from .rest_apis import Api, asked, uri

MISSING = (403, {"message": "Missing Authentication Token"})
KEY = "k" * 20


@pytest.mark.promise(203)
def test_the_event_of_a_request(client: Any, server: Served, echo: str) -> None:
    api = Api(client)
    api.method("/pets/{id}", "ANY", echo)
    api.deploy(variables={"a": "b"})
    reply = send(
        server, api.id, "/prod/pets/a%20b/?q=1&q=2", "POST", {"X-A": "1", "User-Agent": "me"}, "body"
    )
    event = reply.json
    assert reply.header("x-amzn-requestid") == event["requestContext"]["requestId"] and reply.header(
        "x-amz-apigw-id"
    )
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/pets/{id}", "/pets/a b/", "POST")
    assert (event["pathParameters"], event["stageVariables"], event["body"]) == (
        {"id": "a b"},
        {"a": "b"},
        "body",
    )
    assert event["queryStringParameters"] == {"q": "2"} and event["multiValueHeaders"]["X-A"] == ["1"]
    context = event["requestContext"]
    assert (context["path"], context["stage"], context["resourcePath"]) == (
        "/prod/pets/a b/",
        "prod",
        "/pets/{id}",
    )
    assert context["resourceId"] == api.resources["/pets/{id}"] and "version" not in event
    assert context["identity"]["userAgent"] == "me" and "authorizer" not in context


@pytest.mark.promise(203)
@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        ("many", 200, b"b"), ("empty", 204, b""), ("late", 504, {"message": "Endpoint request timed out"}),
        ("text", 502, {"message": "Internal server error"}), ("fail", 502, {"message": "Internal server error"}),
        ("bad body", 502, {"message": "Internal server error"}),
    ],
)  # fmt: skip
def test_what_a_reply_means(
    client: Any, server: Served, echo: str, reply: str, status: int, body: Any
) -> None:
    api = Api(client)
    api.method("", "GET", echo)
    if reply == "late":
        at = {"restApiId": api.id, "resourceId": api.root, "httpMethod": "GET"}
        operations = [{"op": "replace", "path": "/timeoutInMillis", "value": "200"}]
        client.update_integration(**at, patchOperations=operations)
    api.deploy()
    got = send(server, api.id, f"/prod?reply={reply.replace(' ', '%20')}")
    assert (got.status, got.body if isinstance(body, bytes) else got.json) == (status, body)
    if reply == "many":
        assert [value for name, value in got.headers if name == "x-a"] == ["1", "2"]


@pytest.mark.promise(203)
def test_binary_media_types(client: Any, server: Served, echo: str) -> None:
    plain, binary = Api(client), Api(client, binaryMediaTypes=["image/png"])
    for api in (plain, binary):
        api.method("", "ANY", echo)
        api.deploy()
    event = send(server, binary.id, "/prod", "POST", {"Content-Type": "image/png"}, b"\0\xff").json
    assert (event["body"], event["isBase64Encoded"]) == (base64.b64encode(b"\0\xff").decode(), True)
    assert send(server, plain.id, "/prod", "POST", {"Content-Type": "image/png"}, b"ab").json["body"] == "ab"
    accepts = {"Accept": "image/png"}
    assert send(server, binary.id, "/prod?reply=binary", headers=accepts).body == b"\0\xff\x80"
    assert send(server, plain.id, "/prod?reply=binary", headers=accepts).body == b"AP+A"


@pytest.mark.promise(203)
def test_what_there_is_not(client: Any, server: Served, echo: str, folder: Path) -> None:
    api = Api(client)
    api.method("/a", "GET", echo)
    api.method("/{proxy+}", "GET", echo)
    api.deploy()
    assert asked(server, api, "/prod/a", "POST") == MISSING
    assert asked(server, api, "/prod/") == MISSING
    assert asked(server, api, "/other/a") == (403, {"message": "Forbidden"})
    assert asked(server, api, "/prod/b/c")[1]["pathParameters"] == {"proxy": "b/c"}
    arn = function(server, "shy", SOURCE, folder, allowed=False)
    api.method("/shy/{x}", "GET", uri(arn))
    api.deploy()
    assert asked(server, api, "/prod/shy/1") == (500, {"message": "Internal server error"})
    allow(server, "shy", f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/*/GET/shy/*")
    assert asked(server, api, "/prod/shy/1")[0] == 200


@pytest.mark.promise(203)
def test_a_mock(client: Any, server: Served) -> None:
    api = Api(client)
    api.method("/cors", "OPTIONS")
    at = {"restApiId": api.id, "resourceId": api.resources["/cors"], "httpMethod": "OPTIONS"}
    client.put_integration(**at, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'})
    headers = {"method.response.header.Access-Control-Allow-Origin": "'*'"}
    templates = {"application/json": '{"stage": "$context.stage"}'}
    client.put_integration_response(
        **at, statusCode="200", responseParameters=headers, responseTemplates=templates
    )
    api.deploy()
    reply = send(server, api.id, "/prod/cors", "OPTIONS")
    assert (reply.status, reply.json) == (200, {"stage": "prod"})
    assert reply.header("access-control-allow-origin") == "*"


@pytest.mark.promise(204)
def test_a_stage_serves_its_deployment(client: Any, server: Served, echo: str) -> None:
    api = Api(client)
    api.method("/a", "GET", echo)
    first = api.deploy()
    api.method("/b", "GET", echo)
    assert asked(server, api, "/prod/b") == MISSING
    second = api.deploy()
    assert asked(server, api, "/prod/b")[0] == 200
    operations = [
        {"op": "replace", "path": "/deploymentId", "value": first},
        {"op": "replace", "path": "/variables/v", "value": "w"},
        {"op": "replace", "path": "/~1a/GET/throttling/burstLimit", "value": "5"},
    ]
    stage = client.update_stage(restApiId=api.id, stageName="prod", patchOperations=operations)
    assert stage["variables"] == {"v": "w"} and stage["methodSettings"]["/a/GET"]["throttlingBurstLimit"] == 5
    assert asked(server, api, "/prod/b") == MISSING
    assert refused(client.delete_deployment, restApiId=api.id, deploymentId=first)[0] == "BadRequestException"
    client.delete_deployment(restApiId=api.id, deploymentId=second)
    assert [each["id"] for each in client.get_deployments(restApiId=api.id)["items"]] == [first]
    client.delete_stage(restApiId=api.id, stageName="prod")
    assert client.get_stages(restApiId=api.id)["item"] == []


@pytest.mark.promise(205)
@pytest.mark.parametrize("kind", ["TOKEN", "REQUEST"])
def test_a_lambda_authorizer(client: Any, server: Served, echo: str, decider: str, kind: str) -> None:
    api = Api(client)
    id = client.create_authorizer(
        restApiId=api.id,
        name="z",
        type=kind,
        authorizerUri=decider,
        identitySource="method.request.header.X-Token",
    )["id"]
    api.method("/x", "GET", echo, authorizationType="CUSTOM", authorizerId=id)
    api.deploy()

    def by(token: str) -> tuple[int, Any]:
        return asked(server, api, "/prod/x", headers={"X-Token": token} if token else {})

    status, event = by("yes")
    found = event["requestContext"]["authorizer"]
    assert status == 200 and {name: found[name] for name in ("n", "b", "s", "type", "principalId")} == {
        "n": "1", "b": "true", "s": "t", "type": kind, "principalId": "me"
    }  # fmt: skip
    assert by("yes")[1]["requestContext"]["authorizer"]["id"] == found["id"]  # kept
    client.flush_stage_authorizers_cache(restApiId=api.id, stageName="prod")
    assert by("yes")[1]["requestContext"]["authorizer"]["id"] != found["id"]
    denied = "User is not authorized to access this resource"
    assert by("no") == (403, {"Message": f"{denied} with an explicit deny"})
    assert by("elsewhere") == (403, {"Message": denied})
    assert by("") == by("unknown") == (401, {"message": "Unauthorized"})
    assert by("broken") == by("nothing") == (500, {"message": None})


@pytest.mark.promise(205)
def test_a_method_that_needs_a_signature(client: Any, server: Served, echo: str) -> None:
    api = Api(client)
    api.method("/x", "GET", echo, authorizationType="AWS_IAM")
    api.deploy()
    assert asked(server, api, "/prod/x") == MISSING
    request = AWSRequest("GET", f"http://{api.id}.execute-api.{REGION}.localhost/prod/x")
    SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(request)
    event = asked(server, api, "/prod/x", headers=dict(request.headers))[1]
    assert event["requestContext"]["identity"]["accountId"] == ACCOUNT


@pytest.mark.promise(206)
def test_api_keys_and_usage_plans(client: Any, server: Served, echo: str) -> None:
    api = Api(client)
    api.method("/x", "GET", echo, apiKeyRequired=True)
    api.deploy()
    key = client.create_api_key(name="k", value=KEY, enabled=True)["id"]
    assert refused(client.create_api_key, name="k", value=KEY) == (
        "ConflictException",
        "API Key already exists",
    )
    assert "value" not in client.get_api_key(apiKey=key)
    assert client.get_api_keys(includeValues=True)["items"][0]["value"] == KEY
    stage = {"apiId": api.id, "stage": "prod"}
    plan = client.create_usage_plan(
        name="p", throttle={"burstLimit": 1, "rateLimit": 1.0}, apiStages=[stage]
    )["id"]
    forbidden = (403, {"message": "Forbidden"})
    has = {"X-Api-Key": KEY}
    assert asked(server, api, "/prod/x", headers=has) == forbidden  # it is in no plan
    client.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    event = asked(server, api, "/prod/x", headers=has)[1]
    assert event["requestContext"]["identity"]["apiKey"] == KEY
    assert event["requestContext"]["identity"]["apiKeyId"] == key
    assert (
        asked(server, api, "/prod/x")
        == asked(server, api, "/prod/x", headers={"X-Api-Key": "no"})
        == forbidden
    )
    client.update_api_key(
        apiKey=key, patchOperations=[{"op": "replace", "path": "/enabled", "value": "false"}]
    )
    assert asked(server, api, "/prod/x", headers=has) == forbidden
    client.update_api_key(
        apiKey=key, patchOperations=[{"op": "replace", "path": "/enabled", "value": "true"}]
    )
    remove = [{"op": "remove", "path": "/apiStages", "value": f"{api.id}:prod"}]
    assert client.update_usage_plan(usagePlanId=plan, patchOperations=remove)["apiStages"] == []
    assert asked(server, api, "/prod/x", headers=has) == forbidden
    assert [each["id"] for each in client.get_usage_plan_keys(usagePlanId=plan)["items"]] == [key]
    client.delete_api_key(apiKey=key)
    assert client.get_usage_plan_keys(usagePlanId=plan)["items"] == []
    client.delete_usage_plan(usagePlanId=plan)


@pytest.mark.promise(203)
def test_gateway_responses(client: Any, server: Served, echo: str) -> None:
    api = Api(client)
    api.method("/x", "GET", echo)
    found = client.get_gateway_response(restApiId=api.id, responseType="UNAUTHORIZED")
    assert (found["statusCode"], found["defaultResponse"]) == ("401", True)
    client.put_gateway_response(
        restApiId=api.id, responseType="MISSING_AUTHENTICATION_TOKEN", statusCode="404",
        responseParameters={"gatewayresponse.header.X-Own": "'yes\r\nX-Injected: 1'"},
        responseTemplates={"application/json": '{"no": $context.error.messageString, "at": "$context.path"}'},
    )  # fmt: skip
    api.deploy()
    reply = send(server, api.id, "/prod/y")
    assert (reply.status, reply.header("x-own")) == (404, "yesX-Injected: 1")
    assert reply.json == {"no": "Missing Authentication Token", "at": "/prod/y"}
    client.delete_gateway_response(restApiId=api.id, responseType="MISSING_AUTHENTICATION_TOKEN")
    assert len(client.get_gateway_responses(restApiId=api.id, limit=100)["items"]) == 21
