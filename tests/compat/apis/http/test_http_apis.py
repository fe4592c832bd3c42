"""HTTP APIs by boto3: what configures them, documents that are imported, and another server after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from apis import SOURCE, function, send
from delivered import ACCOUNT, refused
from served import REGION, Served

from .http_apis import made

OPENAPI = """
openapi: 3.0.1
info: {title: imported, version: "2"}
x-amazon-apigateway-cors: {allowOrigins: ["*"]}
tags: [{name: made, x-amazon-apigateway-tag-value: SAM}]
paths:
  /items/{id}:
    get:
      operationId: find
      security: [{mine: []}]
      responses: {}
      x-amazon-apigateway-integration: {$ref: '#/components/x-amazon-apigateway-integrations/f'}
  $default:
    x-amazon-apigateway-any-method:
      isDefaultRoute: true
      x-amazon-apigateway-integration: {$ref: '#/components/x-amazon-apigateway-integrations/f'}
components:
  x-amazon-apigateway-integrations:
    f: {type: aws_proxy, httpMethod: POST, payloadFormatVersion: '2.0', uri: 'URI'}
  securitySchemes:
    mine:
      type: apiKey
      name: x
      in: header
      x-amazon-apigateway-authorizer:
        {type: request, identitySource: $request.header.X-Token, authorizerUri: 'AUTH', enableSimpleResponses: true,
         authorizerPayloadFormatVersion: '2.0'}
"""


@pytest.mark.promise(196)
def test_an_api_is_kept_as_it_was_given(client: Any, server: Served) -> None:
    cors = {"AllowOrigins": ["https://a.example"], "MaxAge": 5}
    api = client.create_api(
        Name="mine",
        ProtocolType="HTTP",
        Description="d",
        Version="1",
        CorsConfiguration=cors,
        Tags={"a": "b"},
    )
    port = server.url.rpartition(":")[2]
    assert api["ApiEndpoint"] == f"http://{api['ApiId']}.execute-api.{REGION}.localhost:{port}"
    assert api["RouteSelectionExpression"] == "${request.method} ${request.path}"
    assert api["ApiKeySelectionExpression"] == "$request.header.x-api-key"
    assert (api["CorsConfiguration"], api["Tags"], api["DisableExecuteApiEndpoint"]) == (
        cors,
        {"a": "b"},
        False,
    )
    found = client.get_api(ApiId=api["ApiId"])
    assert {**found, "ResponseMetadata": 0} == {**api, "ResponseMetadata": 0}
    assert api["ApiId"] in [each["ApiId"] for each in client.get_apis()["Items"]]
    assert len(client.get_apis(MaxResults="1")["Items"]) == 1
    updated = client.update_api(ApiId=api["ApiId"], Name="other")
    assert (updated["Name"], updated["Description"], updated["CreatedDate"]) == (
        "other",
        "d",
        api["CreatedDate"],
    )
    client.delete_cors_configuration(ApiId=api["ApiId"])
    assert "CorsConfiguration" not in client.get_api(ApiId=api["ApiId"])
    arn = f"arn:aws:apigateway:{REGION}::/apis/{api['ApiId']}"
    client.tag_resource(ResourceArn=arn, Tags={"c": "d"})
    client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert client.get_tags(ResourceArn=arn)["Tags"] == {"c": "d"}
    client.delete_api(ApiId=api["ApiId"])
    code, message = refused(client.get_api, ApiId=api["ApiId"])
    assert (code, message) == (
        "NotFoundException",
        f"Invalid API identifier specified {ACCOUNT}:{api['ApiId']}",
    )


@pytest.mark.promise(196)
def test_what_an_api_consists_of(client: Any, echo: str, decider: str) -> None:
    api_id = client.create_api(Name="parts", ProtocolType="HTTP")["ApiId"]
    integration = client.create_integration(
        ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=echo, PayloadFormatVersion="2.0"
    )
    id = integration["IntegrationId"]
    assert (integration["TimeoutInMillis"], integration["IntegrationMethod"]) == (30000, "POST")
    assert (
        client.update_integration(ApiId=api_id, IntegrationId=id, TimeoutInMillis=100)["TimeoutInMillis"]
        == 100
    )
    assert client.get_integration(ApiId=api_id, IntegrationId=id)["IntegrationUri"] == echo
    authorizer = client.create_authorizer(
        ApiId=api_id, Name="z", AuthorizerType="REQUEST", AuthorizerUri=decider,
        IdentitySource=["$request.header.Authorization"], AuthorizerPayloadFormatVersion="2.0",
    )  # fmt: skip
    assert (authorizer["AuthorizerResultTtlInSeconds"], authorizer["EnableSimpleResponses"]) == (300, False)
    route = client.create_route(
        ApiId=api_id, RouteKey="GET /x", Target=f"integrations/{id}", AuthorizationType="CUSTOM",
        AuthorizerId=authorizer["AuthorizerId"],
    )  # fmt: skip
    assert (route["ApiKeyRequired"], route["AuthorizationType"]) == (False, "CUSTOM")
    twice = refused(client.create_route, ApiId=api_id, RouteKey="GET /x")
    assert twice == ("ConflictException", "Route with key GET /x already exists for this API")
    assert refused(client.delete_integration, ApiId=api_id, IntegrationId=id)[0] == "ConflictException"
    in_use = refused(client.delete_authorizer, ApiId=api_id, AuthorizerId=authorizer["AuthorizerId"])
    assert in_use[0] == "ConflictException"
    client.update_route(ApiId=api_id, RouteId=route["RouteId"], RouteKey="PUT /y", AuthorizationType="NONE")
    assert [each["RouteKey"] for each in client.get_routes(ApiId=api_id)["Items"]] == ["PUT /y"]
    client.delete_authorizer(ApiId=api_id, AuthorizerId=authorizer["AuthorizerId"])
    client.delete_route(ApiId=api_id, RouteId=route["RouteId"])
    client.delete_integration(ApiId=api_id, IntegrationId=id)
    assert (
        client.get_integrations(ApiId=api_id)["Items"] == client.get_authorizers(ApiId=api_id)["Items"] == []
    )


@pytest.mark.promise(196)
@pytest.mark.parametrize(
    ("operation", "members", "code"),
    [
        ("create_api", {"Name": "w", "ProtocolType": "WEBSOCKET"}, "BadRequestException"),
        ("create_api", {"Name": "w", "ProtocolType": "SMTP"}, "BadRequestException"),
        ("create_api", {"Name": "", "ProtocolType": "HTTP"}, "BadRequestException"),
        ("create_vpc_link", {"Name": "v", "SubnetIds": ["s"]}, "NotImplementedException"),
        ("import_api", {"Body": "{"}, "BadRequestException"),
        ("import_api", {"Body": '{"swagger": "2.0", "paths": {}}'}, "BadRequestException"),
        ("create_route", {"RouteKey": "FETCH /x"}, "BadRequestException"),
        ("create_route", {"RouteKey": "GET x"}, "BadRequestException"),
        ("create_route", {"RouteKey": "GET /{proxy+}/x"}, "BadRequestException"),
        ("create_route", {"RouteKey": "GET /x", "Target": "integrations/none"}, "NotFoundException"),
        ("create_route", {"RouteKey": "GET /x", "AuthorizationType": "JWT"}, "BadRequestException"),
        ("create_route", {"RouteKey": "GET /x", "ApiKeyRequired": True}, "BadRequestException"),
        ("create_integration", {"IntegrationType": "MOCK"}, "BadRequestException"),
        (
            "create_integration",
            {"IntegrationType": "AWS_PROXY", "IntegrationUri": "arn:aws:sqs:x"}, "BadRequestException",
        ),
        ("create_integration", {"IntegrationType": "HTTP_PROXY", "IntegrationUri": "ftp:x"}, "BadRequestException"),
        (
            "create_integration",
            {"IntegrationType": "AWS_PROXY", "IntegrationSubtype": "SQS-SendMessage"}, "NotImplementedException",
        ),
        ("create_stage", {"StageName": "a b"}, "BadRequestException"),
        ("create_stage", {"StageName": "a", "StageVariables": {"a-b": "c"}}, "BadRequestException"),
        ("create_stage", {"StageName": "a", "DeploymentId": "none"}, "NotFoundException"),
        ("create_deployment", {}, "BadRequestException"),
        ("get_route", {"RouteId": "none"}, "NotFoundException"),
        (
            "create_authorizer",
            {"Name": "j", "AuthorizerType": "JWT", "IdentitySource": ["$request.header.A"]}, "BadRequestException",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    client: Any, operation: str, members: dict[str, Any], code: str
) -> None:
    if operation not in ("create_api", "import_api", "create_vpc_link"):
        members = {"ApiId": client.create_api(Name="r", ProtocolType="HTTP")["ApiId"], **members}
    found, message = refused(getattr(client, operation), **members)
    assert found == code and message


@pytest.mark.promise(201)
def test_an_imported_document(client: Any, server: Served, echo: str, decider: str) -> None:
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{{}}/invocations"
    body = OPENAPI.replace("URI", uri.format(echo)).replace("AUTH", uri.format(decider))
    api = client.import_api(Body=body)
    api_id = api["ApiId"]
    assert (api["Name"], api["Version"], api["Tags"]) == ("imported", "2", {"made": "SAM"})
    client.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    assert len(client.get_integrations(ApiId=api_id)["Items"]) == 1
    assert send(server, api_id, "/items/3").status == 401
    assert send(server, api_id, "/items/3", headers={"X-Token": "yes"}).json["routeKey"] == "GET /items/{id}"
    assert send(server, api_id, "/else").json["routeKey"] == "$default"
    client.reimport_api(ApiId=api_id, Body=body.replace("/items/", "/things/"))
    assert send(server, api_id, "/items/3").json["routeKey"] == "$default"
    assert send(server, api_id, "/things/3").status == 401


@pytest.mark.promise(196)
def test_another_server_finds_what_was_made(tmp_path: Path) -> None:
    server = Served(tmp_path / "state")
    try:
        arn = function(server, "f", SOURCE, tmp_path)
        client = server.client("apigatewayv2")
        api_id = made(client, arn, "GET /x")
        assert send(server, api_id, "/x").status == 200
    finally:
        server.process.kill()
        server.process.wait()
    server = Served(tmp_path / "state")
    try:
        assert send(server, api_id, "/x").json["routeKey"] == "GET /x"
        elsewhere = boto3.client(
            "apigatewayv2", endpoint_url=server.url, region_name="eu-west-1", aws_access_key_id="t",
            aws_secret_access_key="t",
        )  # fmt: skip
        assert elsewhere.get_apis()["Items"] == []
    finally:
        server.stop()
