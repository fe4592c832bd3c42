"""Stacks with APIs: what SAM makes of HttpApi and Api events, and a document of one's own; requested over HTTP."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from apis import Reply, send
from served import RUNTIME, Served

from .apis.sockets.web_sockets import opened

CODE = """
import json
def handler(event, context):
    version = event.get("version", "1.0")
    path = event.get("rawPath") or event["path"]
    return {"statusCode": 200, "body": json.dumps([version, path, event.get("pathParameters")])}
def check(event, context):
    return {"isAuthorized": event["headers"].get("authorization") == "let me in"}
"""
FUNCTION = {"Runtime": RUNTIME, "Handler": "index.handler", "InlineCode": CODE}
TEMPLATE: dict[str, Any] = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Checks": {"Type": "AWS::Serverless::Function", "Properties": {**FUNCTION, "Handler": "index.check"}},
        "Guarded": {
            "Type": "AWS::Serverless::HttpApi",
            "Properties": {
                "Auth": {
                    "Authorizers": {
                        "Own": {
                            "FunctionArn": {"Fn::GetAtt": ["Checks", "Arn"]},
                            "AuthorizerPayloadFormatVersion": "2.0",
                            "EnableSimpleResponses": True,
                            "EnableFunctionDefaultPermissions": True,
                            "Identity": {"Headers": ["Authorization"]},
                        }
                    },
                    "DefaultAuthorizer": "Own",
                },
            },
        },
        "Shop": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                **FUNCTION,
                "Events": {
                    "Item": {"Type": "HttpApi", "Properties": {"Path": "/items/{id}", "Method": "get"}},
                    "Old": {"Type": "Api", "Properties": {"Path": "/old/{proxy+}", "Method": "any"}},
                    "Guarded": {
                        "Type": "HttpApi",
                        "Properties": {"Path": "/own", "Method": "get", "ApiId": {"Ref": "Guarded"}},
                    },
                },
            },
        },
    },
    "Outputs": {
        "Http": {"Value": {"Ref": "ServerlessHttpApi"}},
        "Rest": {"Value": {"Ref": "ServerlessRestApi"}},
        "Guarded": {"Value": {"Ref": "Guarded"}},
    },
}


@pytest.fixture
def stack(server: Served) -> Iterator[tuple[Any, str]]:
    api, name = server.client("cloudformation"), f"apis-{uuid.uuid4().hex[:8]}"
    yield api, name
    api.delete_stack(StackName=name)


def outputs(api: Any, name: str, template: dict[str, Any], operation: str) -> dict[str, str]:
    getattr(api, operation)(
        StackName=name,
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    waiter = "stack_create_complete" if operation == "create_stack" else "stack_update_complete"
    api.get_waiter(waiter).wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    [found] = api.describe_stacks(StackName=name)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}


@pytest.mark.promise(169)
def test_a_functions_api_events(server: Served, stack: tuple[Any, str]) -> None:
    api, name = stack
    made = outputs(api, name, TEMPLATE, "create_stack")

    def get(output: str, path: str, **headers: str) -> Reply:
        return send(server, made[output], path, headers=headers)

    assert get("Http", "/items/7").json == ["2.0", "/items/7", {"id": "7"}]
    assert get("Http", "/nothing").status == 404
    assert get("Rest", "/Prod/old/a/b").json == ["1.0", "/old/a/b", {"proxy": "a/b"}]
    assert get("Guarded", "/own").status == 401
    assert get("Guarded", "/own", authorization="no").status == 403
    assert get("Guarded", "/own", authorization="let me in").json == ["2.0", "/own", None]
    events = TEMPLATE["Resources"]["Shop"]["Properties"]["Events"]
    changed = json.loads(json.dumps(TEMPLATE))
    changed["Resources"]["Shop"]["Properties"]["Events"] = {
        **events,
        "More": {"Type": "HttpApi", "Properties": {"Path": "/more", "Method": "post"}},
    }
    assert outputs(api, name, changed, "update_stack") == made
    assert send(server, made["Http"], "/more", method="POST").json == ["2.0", "/more", None]
    assert get("Http", "/items/8").json == ["2.0", "/items/8", {"id": "8"}]


@pytest.mark.promise(220)
def test_a_web_socket_api(server: Served, stack: tuple[Any, str]) -> None:
    """Of CloudFormation's own types; its function's reply is sent back."""
    api, name = stack
    kind = "AWS::ApiGatewayV2"
    uri = "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${F.Arn}/invocations"
    source = "def handler(event, context):\n    return {'statusCode': 200, 'body': event.get('body')}\n"
    owner = {"ApiId": {"Ref": "Chat"}}
    resources: dict[str, Any] = {
        "F": {"Type": "AWS::Serverless::Function", "Properties": {**FUNCTION, "InlineCode": source}},
        "Allowed": {"Type": "AWS::Lambda::Permission", "Properties": {
            "FunctionName": {"Ref": "F"}, "Action": "lambda:InvokeFunction", "Principal": "apigateway.amazonaws.com",
            "SourceArn": {"Fn::Sub": "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Chat}/*"}}},
        "Chat": {"Type": f"{kind}::Api", "Properties": {
            "Name": "chat", "ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "$request.body.action"}},
        "Calls": {"Type": f"{kind}::Integration", "Properties": {
            **owner, "IntegrationType": "AWS_PROXY", "IntegrationUri": {"Fn::Sub": uri}}},
        "Say": {"Type": f"{kind}::Route", "Properties": {
            **owner, "RouteKey": "say", "RouteResponseSelectionExpression": "$default",
            "Target": {"Fn::Sub": "integrations/${Calls}"}}},
        "Back": {"Type": f"{kind}::RouteResponse", "Properties": {
            **owner, "RouteId": {"Ref": "Say"}, "RouteResponseKey": "$default"}},
        "Deployed": {"Type": f"{kind}::Deployment", "DependsOn": "Back", "Properties": owner},
        "Stage": {"Type": f"{kind}::Stage", "Properties": {
            **owner, "StageName": "prod", "DeploymentId": {"Ref": "Deployed"}}},
    }  # fmt: skip
    shown = {"Id": {"Value": {"Ref": "Chat"}}, "Url": {"Value": {"Fn::GetAtt": ["Chat", "ApiEndpoint"]}}}
    template = {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources, "Outputs": shown}
    made = outputs(api, name, template, "create_stack")
    assert made["Url"].startswith(f"ws://{made['Id']}.execute-api.")
    with opened(server, made["Id"], "/prod") as socket:
        socket.send('{"action": "say"}')
        assert socket.recv(30) == '{"action": "say"}'
    del resources["Back"], resources["Say"]["Properties"]["RouteResponseSelectionExpression"]
    resources["Deployed"]["DependsOn"] = "Say"
    assert outputs(api, name, template, "update_stack") == made
