"""REST APIs by boto3, and requests to them: resources, integrations, authorizers, keys, gateway responses, imports."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apis import ACCOUNT, SOURCE, allow, function, send
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from served import REGION, Served

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
MISSING = (403, {"message": "Missing Authentication Token"})
KEY = "k" * 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("apis") / "state")
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def client(server: Served) -> Any:
    return server.client("apigateway")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("functions")


def uri(arn: str) -> str:
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"


@pytest.fixture(scope="module")
def echo(server: Served, folder: Path) -> str:
    """A function that replies with its event, or as it is asked to: its URI."""
    return uri(function(server, "echo", SOURCE, folder))


@pytest.fixture(scope="module")
def decider(server: Served, folder: Path) -> str:
    return uri(function(server, "decider", AUTHORIZER, folder))


class Api:
    """A new REST API."""

    def __init__(self, client: Any, **more: Any) -> None:
        self.client = client
        made = client.create_rest_api(name="a", **more)
        self.id, self.root = made["id"], made["rootResourceId"]
        self.resources = {"": self.root}

    def resource(self, path: str) -> str:
        """Its id; made with what is above it."""
        if path not in self.resources:
            above, _, part = path.rpartition("/")
            made = self.client.create_resource(
                restApiId=self.id, parentId=self.resource(above), pathPart=part
            )
            assert made["path"] == path
            self.resources[path] = made["id"]
        return self.resources[path]

    def method(self, path: str, verb: str, target: str = "", **more: Any) -> None:
        """target: an integration's URI; "": it is a mock."""
        at = {"restApiId": self.id, "resourceId": self.resource(path), "httpMethod": verb}
        self.client.put_method(**at, **{"authorizationType": "NONE", **more})
        kind = "AWS_PROXY" if target.startswith("arn:") else "HTTP_PROXY" if target else "MOCK"
        given = {"uri": target, "integrationHttpMethod": "POST"} if target else {}
        self.client.put_integration(**at, type=kind, **given)

    def deploy(self, stage: str = "prod", **more: Any) -> str:
        return str(self.client.create_deployment(restApiId=self.id, stageName=stage, **more)["id"])


def refused(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def asked(server: Served, api: Api, path: str, *more: Any, **others: Any) -> tuple[int, Any]:
    reply = send(server, api.id, path, *more, **others)
    return reply.status, reply.json


# What configures them.


@pytest.mark.promise(194)
def test_an_api_is_kept_as_it_was_given(client: Any) -> None:
    made = client.create_rest_api(
        name="mine", description="d", binaryMediaTypes=["image/png"], tags={"a": "b"}
    )
    assert (made["name"], made["apiKeySource"], made["tags"]) == ("mine", "HEADER", {"a": "b"})
    found = client.get_rest_api(restApiId=made["id"])
    assert {**found, "ResponseMetadata": 0} == {**made, "ResponseMetadata": 0}
    assert made["id"] in [each["id"] for each in client.get_rest_apis(limit=500)["items"]]
    operations = [
        {"op": "replace", "path": "/name", "value": "other"}, {"op": "add", "path": "/binaryMediaTypes/a~1b"},
        {"op": "remove", "path": "/binaryMediaTypes/image~1png"},
        {"op": "replace", "path": "/disableExecuteApiEndpoint", "value": "true"},
    ]  # fmt: skip
    changed = client.update_rest_api(restApiId=made["id"], patchOperations=operations)
    assert (changed["name"], changed["binaryMediaTypes"]) == ("other", ["a/b"])
    assert changed["disableExecuteApiEndpoint"] is True
    arn = f"arn:aws:apigateway:{REGION}::/restapis/{made['id']}"
    client.tag_resource(resourceArn=arn, tags={"c": "d"})
    client.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert client.get_tags(resourceArn=arn)["tags"] == {"c": "d"}
    client.delete_rest_api(restApiId=made["id"])
    code, message = refused(client.get_rest_api, restApiId=made["id"])
    assert (code, message) == (
        "NotFoundException",
        f"Invalid API identifier specified {ACCOUNT}:{made['id']}",
    )


@pytest.mark.promise(194)
def test_what_an_api_consists_of(client: Any, echo: str) -> None:
    api = Api(client)
    api.method("/pets/{id}", "GET", echo)
    at = {"restApiId": api.id, "resourceId": api.resources["/pets/{id}"], "httpMethod": "GET"}
    found = client.get_method(**at)
    assert found["methodIntegration"]["timeoutInMillis"] == 29000
    assert found["methodIntegration"]["httpMethod"] == "POST"
    assert client.get_integration(**at)["uri"] == echo
    operations = [{"op": "replace", "path": "/timeoutInMillis", "value": "100"}]
    assert client.update_integration(**at, patchOperations=operations)["timeoutInMillis"] == 100
    client.put_method_response(**at, statusCode="200")
    client.put_integration_response(**at, statusCode="200", selectionPattern="")
    assert client.get_method_response(**at, statusCode="200")["statusCode"] == "200"
    assert client.get_integration_response(**at, statusCode="200")["statusCode"] == "200"
    operations = [{"op": "replace", "path": "/apiKeyRequired", "value": "true"}]
    assert client.update_method(**at, patchOperations=operations)["methodIntegration"]["uri"] == echo
    paths = {
        each["path"]: each for each in client.get_resources(restApiId=api.id, embed=["methods"])["items"]
    }
    assert set(paths) == {"/", "/pets", "/pets/{id}"}
    assert paths["/pets/{id}"]["resourceMethods"]["GET"]["apiKeyRequired"] is True
    client.delete_integration_response(**at, statusCode="200")
    client.delete_method_response(**at, statusCode="200")
    client.delete_integration(**at)
    assert refused(client.get_integration, **at)[0] == "NotFoundException"
    client.delete_method(**at)
    assert refused(client.get_method, **at) == ("NotFoundException", "Invalid Method identifier specified")
    client.delete_resource(restApiId=api.id, resourceId=api.resources["/pets"])
    assert [each["path"] for each in client.get_resources(restApiId=api.id)["items"]] == ["/"]


@pytest.mark.promise(194)
def test_what_makes_no_sense_is_refused(client: Any, echo: str, decider: str) -> None:
    api = Api(client)
    at = {"restApiId": api.id, "parentId": api.root}
    api.method("/a/{b}", "GET", echo)
    twice = refused(client.create_resource, **at, pathPart="a")
    assert twice == ("ConflictException", "Another resource with the same parent already has this name: a")
    assert refused(client.create_resource, **at, pathPart="a b")[0] == "BadRequestException"
    below = {"restApiId": api.id, "parentId": api.resources["/a"]}
    assert "A sibling ({b})" in refused(client.create_resource, **below, pathPart="{c}")[1]
    method = {"restApiId": api.id, "resourceId": api.root, "httpMethod": "GET"}
    assert "valid authorizer" in refused(client.put_method, **method, authorizationType="CUSTOM")[1]
    assert (
        refused(client.put_method, **method, authorizationType="COGNITO_USER_POOLS")[0]
        == "NotImplementedException"
    )
    assert refused(client.put_integration, **method, type="MOCK")[0] == "NotFoundException"
    client.put_method(**method, authorizationType="NONE")
    assert refused(client.create_deployment, restApiId=api.id)[1] == "No integration defined for method"
    for members, code in (
        (
            {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": echo.partition("functions/")[0]},
            "BadRequest",
        ),
        ({"type": "AWS_PROXY", "uri": echo}, "BadRequest"),
        ({"type": "HTTP_PROXY", "integrationHttpMethod": "GET", "uri": "x"}, "BadRequest"),
        ({"type": "MOCK", "timeoutInMillis": 10}, "BadRequest"),
        ({"type": "AWS", "integrationHttpMethod": "POST", "uri": echo}, "NotImplemented"),
        ({"type": "MOCK", "requestTemplates": {"application/json": "#set($a = 1)"}}, "NotImplemented"),
    ):
        assert refused(client.put_integration, **method, **members)[0] == f"{code}Exception", members
    assert (
        refused(client.create_deployment, restApiId=Api(client).id)[1]
        == "The REST API doesn't contain any methods"
    )
    assert (
        refused(client.create_stage, restApiId=api.id, stageName="a", deploymentId="x")[0]
        == "NotFoundException"
    )
    assert refused(client.create_vpc_link, name="v", targetArns=["x"])[0] == "NotImplementedException"
    key = refused(client.create_api_key, name="k", value="short")
    assert key == ("BadRequestException", "API Key value should be at least 20 characters")
    made = {"restApiId": api.id, "name": "z", "authorizerUri": decider}
    assert refused(client.create_authorizer, **made, type="TOKEN")[0] == "BadRequestException"
    assert (
        refused(client.create_authorizer, **made, type="COGNITO_USER_POOLS")[0] == "NotImplementedException"
    )
    assert refused(client.import_rest_api, body=b"{")[0] == "BadRequestException"


# Requests.


@pytest.mark.promise(195)
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


@pytest.mark.promise(195)
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


@pytest.mark.promise(195)
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


@pytest.mark.promise(195)
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


@pytest.mark.promise(195)
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


@pytest.mark.promise(196)
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


@pytest.mark.promise(197)
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


@pytest.mark.promise(197)
def test_a_method_that_needs_a_signature(client: Any, server: Served, echo: str) -> None:
    api = Api(client)
    api.method("/x", "GET", echo, authorizationType="AWS_IAM")
    api.deploy()
    assert asked(server, api, "/prod/x") == MISSING
    request = AWSRequest("GET", f"http://{api.id}.execute-api.{REGION}.localhost/prod/x")
    SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(request)
    event = asked(server, api, "/prod/x", headers=dict(request.headers))[1]
    assert event["requestContext"]["identity"]["accountId"] == ACCOUNT


@pytest.mark.promise(198)
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


@pytest.mark.promise(195)
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


SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "imported", "version": "1.0"},
    "basePath": "/v1",
    "x-amazon-apigateway-binary-media-types": ["image/png"],
    "paths": {
        "/items/{id}": {
            "get": {
                "security": [{"mine": []}, {"api_key": []}], "responses": {"200": {"description": "d"}},
                "x-amazon-apigateway-integration": {"type": "aws_proxy", "httpMethod": "POST", "uri": "URI"},
            },
            "options": {
                "x-amazon-apigateway-integration": {
                    "type": "mock", "requestTemplates": {"application/json": '{\n "statusCode" : 200\n}\n'},
                    "responses": {
                        "default": {
                            "statusCode": "200",
                            "responseParameters": {"method.response.header.Access-Control-Allow-Methods": "'GET'"},
                            "responseTemplates": {"application/json": "{}\n"},
                        }
                    },
                },
            },
        },
        "/{proxy+}": {
            "x-amazon-apigateway-any-method": {
                "security": [{"NONE": []}],
                "x-amazon-apigateway-integration": {"type": "aws_proxy", "httpMethod": "POST", "uri": "URI"},
            }
        },
    },
    "securityDefinitions": {
        "api_key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
        "mine": {
            "type": "apiKey", "name": "X-Token", "in": "header", "x-amazon-apigateway-authtype": "custom",
            "x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": "AUTH"},
        },
    },
}  # fmt: skip


@pytest.mark.promise(199)
def test_an_imported_document(client: Any, server: Served, echo: str, decider: str) -> None:
    """As AWS SAM's transform writes one."""
    body = json.dumps(SWAGGER).replace("URI", echo).replace("AUTH", decider)
    made = client.import_rest_api(body=body.encode())
    assert (made["name"], made["version"], made["binaryMediaTypes"]) == ("imported", "1.0", ["image/png"])
    assert "warnings" not in made
    api = Api(client)
    api.id = made["id"]
    found = {
        each["path"]: each for each in client.get_resources(restApiId=api.id, embed=["methods"])["items"]
    }
    assert set(found) == {"/", "/items", "/items/{id}", "/{proxy+}"}
    get = found["/items/{id}"]["resourceMethods"]["GET"]
    assert (get["authorizationType"], get["apiKeyRequired"]) == ("CUSTOM", True)
    authorizer = client.get_authorizers(restApiId=api.id)["items"][0]
    assert authorizer["identitySource"] == "method.request.header.X-Token"
    api.deploy()
    assert asked(server, api, "/prod/items/1") == (401, {"message": "Unauthorized"})
    assert asked(server, api, "/prod/items/1", headers={"X-Token": "yes"}) == (403, {"message": "Forbidden"})
    reply = send(server, api.id, "/prod/items/1", "OPTIONS")
    assert (reply.json, reply.header("access-control-allow-methods")) == ({}, "GET")
    assert asked(server, api, "/prod/else", "PUT")[1]["resource"] == "/{proxy+}"
    less = json.loads(body)
    del less["paths"]["/items/{id}"]
    client.put_rest_api(restApiId=api.id, mode="overwrite", body=json.dumps(less).encode())
    assert len(client.get_resources(restApiId=api.id)["items"]) == 2
    client.put_rest_api(
        restApiId=api.id, mode="merge", body=body.encode(), parameters={"basepath": "prepend"}
    )
    paths = {each["path"] for each in client.get_resources(restApiId=api.id)["items"]}
    assert paths == {"/", "/{proxy+}", "/v1", "/v1/items", "/v1/items/{id}", "/v1/{proxy+}"}


@pytest.mark.promise(194)
def test_another_server_finds_what_was_made(tmp_path: Path) -> None:
    server = Served(tmp_path / "state")
    try:
        api = Api(server.client("apigateway"))
        api.method("/x", "GET", uri(function(server, "f", SOURCE, tmp_path)))
        api.deploy()
    finally:
        server.process.kill()
        server.process.wait()
    server = Served(tmp_path / "state")
    try:
        assert asked(server, api, "/prod/x")[1]["resource"] == "/x"
    finally:
        server.stop()
