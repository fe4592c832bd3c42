"""REST APIs by boto3: what configures them, documents that are imported, and another server after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from apis import SOURCE, function, send
from delivered import ACCOUNT, refused
from served import REGION, Served

from .rest_apis import Api, asked, uri

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


@pytest.mark.promise(202)
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


@pytest.mark.promise(202)
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


@pytest.mark.promise(202)
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


@pytest.mark.promise(207)
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


@pytest.mark.promise(202)
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
