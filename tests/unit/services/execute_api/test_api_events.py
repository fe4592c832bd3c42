"""The events of APIs against AWS's documented samples: the same members, each of the same kind, and the same values
where a request has them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent, APIGatewayProxyEventV2
from aws_lambda_powertools.utilities.parser import models

from engine.aws.messages import Request
from engine.aws.names import Place
from engine.aws.service import Caller
from engine.services.execute_api import events
from engine.services.execute_api.authorizers import signer
from engine.services.execute_api.exchange import Exchange
from engine.services.execute_api.responses import Refused

PLACE = Place("us-east-1", "123456789012")
BODY = '{"message": "hello world", "username": "tom"}'
# As AWS's developer guide has them ("Working with AWS Lambda proxy integrations for HTTP APIs"), without the client's
# certificate, which is there with mutual TLS only.
SAMPLE_2: dict[str, Any] = {
    "version": "2.0", "routeKey": "$default", "rawPath": "/my/path",
    "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value", "cookies": ["cookie1", "cookie2"],
    "headers": {"header1": "value1", "header2": "value1,value2"},
    "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
    "requestContext": {
        "accountId": "123456789012", "apiId": "api-id",
        "authorizer": {"jwt": {"claims": {"claim1": "value1", "claim2": "value2"}, "scopes": ["scope1", "scope2"]}},
        "domainName": "api-id.execute-api.us-east-1.amazonaws.com", "domainPrefix": "api-id",
        "http": {
            "method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
            "userAgent": "agent",
        },
        "requestId": "id", "routeKey": "$default", "stage": "$default", "time": "12/Mar/2020:19:03:58 +0000",
        "timeEpoch": 1583348638390,
    },
    "body": BODY, "pathParameters": {"parameter1": "value1"}, "isBase64Encoded": False,
    "stageVariables": {"stageVariable1": "value1", "stageVariable2": "value2"},
}  # fmt: skip
IDENTITY = {
    "accessKey": None, "accountId": None, "caller": None, "cognitoAuthenticationProvider": None,
    "cognitoAuthenticationType": None, "cognitoIdentityId": None, "cognitoIdentityPoolId": None,
    "principalOrgId": None, "sourceIp": "192.0.2.1", "user": None, "userAgent": "agent", "userArn": None,
}  # fmt: skip
SAMPLE_1: dict[str, Any] = {
    "version": "1.0", "resource": "/my/path", "path": "/my/path", "httpMethod": "POST",
    "headers": {"Header1": "value1", "Header2": "value2"},
    "multiValueHeaders": {"Header1": ["value1"], "Header2": ["value1", "value2"]},
    "queryStringParameters": {"parameter1": "value2", "parameter2": "value"},
    "multiValueQueryStringParameters": {"parameter1": ["value1", "value2"], "parameter2": ["value"]},
    "requestContext": {
        "accountId": "123456789012", "apiId": "api-id", "authorizer": {"claims": None, "scopes": None},
        "domainName": "api-id.execute-api.us-east-1.amazonaws.com", "domainPrefix": "api-id",
        "extendedRequestId": "id", "httpMethod": "POST", "identity": IDENTITY, "path": "/my/path",
        "protocol": "HTTP/1.1", "requestId": "id", "requestTime": "12/Mar/2020:19:03:58 +0000",
        "requestTimeEpoch": 1583348638390, "resourceId": "POST /my/path", "resourcePath": "/my/path",
        "stage": "$default",
    },
    "pathParameters": None, "stageVariables": None, "body": BODY, "isBase64Encoded": False,
}  # fmt: skip
OWN = {
    "x-amzn-trace-id",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
    "content-type",
    "user-agent",
}


def exchange(**more: Any) -> Exchange:
    headers = [
        ("header1", "value1"), ("header2", "value1"), ("header2", "value2"), ("cookie", "cookie1; cookie2"),
        ("content-type", "application/json"), ("user-agent", "agent"),
    ]  # fmt: skip
    query = "parameter1=value1&parameter1=value2&parameter2=value"
    request = Request("POST", "/my/path", query, headers, BODY.encode(), client="192.0.2.1")
    made = Exchange(
        request,
        Caller(PLACE),
        PLACE,
        "api-id",
        "$default",
        more.pop("variables", {}),
        "/my/path",
        "/my/path",
        "$default",
    )
    made.short, made.now = "id", 1583348638.39
    for name, value in more.items():
        setattr(made, name, value)
    return made


def own(event: dict[str, Any], *members: str) -> dict[str, Any]:
    """Without the headers that every request has, and the time as the sample, whose two do not agree, has it."""
    for member in members:
        event[member] = {
            name: value for name, value in event[member].items() if name.lower() not in OWN | {"cookie"}
        }
    context = event["requestContext"]
    for name in {"time", "requestTime"} & set(context):
        assert context[name] == "04/Mar/2020:19:03:58 +0000"
        context[name] = "12/Mar/2020:19:03:58 +0000"
    return event


@pytest.mark.promise(197)
def test_format_2_is_the_sample() -> None:
    variables = SAMPLE_2["stageVariables"]
    authorizer = SAMPLE_2["requestContext"]["authorizer"]
    made = events.format_2(
        exchange(variables=variables, authorizer=authorizer, parameters={"parameter1": "value1"})
    )
    assert own(json.loads(json.dumps(made)), "headers") == SAMPLE_2
    assert set(made["headers"]) == {"header1", "header2"} | OWN  # the cookies are apart
    parsed = APIGatewayProxyEventV2(made)
    assert parsed.request_context.authorizer.jwt_claim == authorizer["jwt"]["claims"]  # type: ignore[union-attr]


@pytest.mark.promise(197)
def test_format_1_is_the_sample() -> None:
    made = events.format_1(exchange(route="POST /my/path"))
    made["requestContext"]["requestId"] = "id"
    assert own(json.loads(json.dumps(made)), "headers", "multiValueHeaders") == SAMPLE_1
    assert APIGatewayProxyEvent(made).request_context.identity.source_ip == "192.0.2.1"


@pytest.mark.promise(203)
def test_a_rest_apis_event_is_the_sample() -> None:
    """As the developer guide has it ("Lambda proxy integrations in API Gateway"): like format 1.0, but for a version,
    with the resource's id, and the stage in the context's path only."""
    path = "/prod/my/path"
    made = events.rest(exchange(route="/my/path", path=path, stage="prod"), "abc123", lambda kind: False)
    made["requestContext"]["requestId"] = "id"
    context = {**SAMPLE_1["requestContext"], "resourceId": "abc123", "path": path, "stage": "prod"}
    del context["authorizer"]
    expected = {**SAMPLE_1, "requestContext": context}
    del expected["version"]
    assert own(json.loads(json.dumps(made)), "headers", "multiValueHeaders") == expected


@pytest.mark.promise(205)
def test_the_events_of_a_rest_apis_authorizers() -> None:
    at = exchange(route="/my/path", path="/prod/my/path", stage="prod")
    arn = "arn:aws:execute-api:us-east-1:123456789012:api-id/prod/POST/my/path"
    assert events.token(at, "allow") == {"type": "TOKEN", "authorizationToken": "allow", "methodArn": arn}
    made = own(events.authorizer_1(at, None, "abc123"), "headers", "multiValueHeaders")
    made["requestContext"]["requestId"] = "id"
    context = {**SAMPLE_1["requestContext"], "path": "/prod/my/path", "resourceId": "abc123", "stage": "prod"}
    del context["authorizer"]
    rest = {
        "type": "REQUEST",
        "methodArn": arn,
        "pathParameters": {},
        "stageVariables": {},
        "requestContext": context,
    }
    gone = ("version", "body", "isBase64Encoded")
    assert made == {name: value for name, value in SAMPLE_1.items() if name not in gone} | rest


@pytest.mark.promise(200)
def test_an_authorizers_event_in_format_2() -> None:
    made = events.authorizer_2(exchange(parameters={"parameter1": "value1"}), ["user1", "123"])
    expected = {name: value for name, value in SAMPLE_2.items() if name not in ("body", "isBase64Encoded")}
    expected |= {
        "type": "REQUEST", "identitySource": ["user1", "123"],
        "routeArn": "arn:aws:execute-api:us-east-1:123456789012:api-id/$default/POST/my/path",
        "requestContext": {**SAMPLE_2["requestContext"]},
    }  # fmt: skip
    del expected["stageVariables"], expected["requestContext"]["authorizer"]
    assert own(json.loads(json.dumps(made)), "headers") == expected


@pytest.mark.promise(200)
def test_an_authorizers_event_in_format_1() -> None:
    variables = {"StageVar1": "stageValue1"}
    at = exchange(route="POST /my/path", variables=variables)
    made = own(events.authorizer_1(at, ["user1", "123"]), "headers", "multiValueHeaders")
    made["requestContext"]["requestId"] = "id"
    context = {name: each for name, each in SAMPLE_1["requestContext"].items() if name != "authorizer"}
    expected = {name: value for name, value in SAMPLE_1.items() if name not in ("body", "isBase64Encoded")} | {
        "type": "REQUEST", "identitySource": "user1,123", "authorizationToken": "user1,123",
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:api-id/$default/POST/my/path",
        "pathParameters": {}, "stageVariables": variables, "requestContext": context,
    }  # fmt: skip
    assert made == expected


# What the developer guide's samples have under requestContext.authorizer, and under iam, for each way in.
IAM = {"accessKey", "accountId", "callerId", "cognitoIdentity", "principalOrgId", "userArn", "userId"}


@pytest.mark.promise(284)
def test_who_signed_is_in_the_event_as_the_sample_has_it() -> None:
    at = exchange()
    at.request.headers.append(("authorization", "AWS4-HMAC-SHA256 Credential=test"))
    iam = signer(at, guarded=False)
    assert set(iam) == IAM
    assert (iam["accountId"], iam["cognitoIdentity"]) == ("123456789012", None)
    assert iam["userArn"].startswith("arn:aws:iam::123456789012:")
    at.authorizer = {"iam": iam}
    parsed = APIGatewayProxyEventV2(json.loads(json.dumps(events.format_2(at))))
    assert parsed.request_context.authorizer is not None
    assert parsed.request_context.authorizer.iam is not None
    assert parsed.request_context.authorizer.iam.user_arn == iam["userArn"]
    # A REST API has it among the caller's identity, whose members are the same for everybody.
    identity = events.rest(at, "abc123", lambda kind: False)["requestContext"]["identity"]
    assert set(identity) == set(IDENTITY)
    assert {identity[name] for name in ("accountId", "caller", "user")} == {"123456789012"}
    with pytest.raises(Refused):
        signer(exchange(), guarded=False)


@pytest.mark.promise(284)
def test_what_a_lambda_authorizer_adds_is_in_the_event_as_the_sample_has_it() -> None:
    context = {"tenantId": "123-456-789-012"}
    made = events.format_2(exchange(authorizer={"lambda": context}))
    assert APIGatewayProxyEventV2(made).request_context.authorizer.get_lambda == context  # type: ignore[union-attr]
    at = exchange(route="/my/path", path="/prod/my/path", authorizer={"principalId": "user", **context})
    parsed = APIGatewayProxyEvent(events.rest(at, "abc123", lambda kind: False))
    assert parsed["requestContext"]["authorizer"] == {"principalId": "user", **context}


@pytest.mark.promise(197)
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$request.header.Header2", "value1,value2"), ("$request.querystring.parameter2", "value"),
        ("$context.identity.sourceIp", "192.0.2.1"), ("$stageVariables.a", "b"), ("$request.header.none", None),
        ("$context.none", None), ("method.request.header.header1", "value1"), ("method.request.path.p", "q"),
        ("context.httpMethod", "POST"), ("stageVariables.a", "b"), ("nonsense", None),
    ],
)  # fmt: skip
def test_what_an_expression_means(expression: str, value: str | None) -> None:
    assert exchange(variables={"a": "b"}, parameters={"p": "q"}).value(expression) == value


@pytest.mark.promise(284)
@pytest.mark.parametrize("model", ["rest", "http 1.0", "http 2.0", "token", "request", "request 2.0"])
def test_validators_take_each_event(model: str) -> None:
    """Those of Powertools, which many functions have between the event and their code."""
    at = exchange(route="POST /my/path", parameters={"parameter1": "value1"}, variables={"a": "b"})
    made, parser = {
        "rest": lambda: (events.rest(at, "abc123", lambda kind: False), models.APIGatewayProxyEventModel),
        "http 1.0": lambda: (events.format_1(at), models.APIGatewayProxyEventModel),
        "http 2.0": lambda: (events.format_2(at), models.APIGatewayProxyEventV2Model),
        "token": lambda: (events.token(at, "allow"), models.ApiGatewayAuthorizerToken),
        "request": lambda: (events.authorizer_1(at, None, "abc123"), models.ApiGatewayAuthorizerRequest),
        "request 2.0": lambda: (events.authorizer_2(at, ["a"]), models.ApiGatewayAuthorizerRequestV2),
    }[model]()  # fmt: skip
    parser.model_validate(json.loads(json.dumps(made)))
