"""`stoker event`: each sample is what Powertools, which reads AWS's own, takes; and its options are in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser import models

from engine.cli.event import event_of, services
from engine.cli.main import main

EVENTS = [(service, name) for service, events in services().items() for name in events]
MODELS: dict[tuple[str, str], str] = {
    ("alb", "request"): "AlbModel",
    ("apigateway", "authorizer"): "ApiGatewayAuthorizerToken",
    ("apigateway", "aws-proxy"): "APIGatewayProxyEventModel",
    ("apigateway", "http-api-proxy"): "APIGatewayProxyEventV2Model",
    ("apigateway", "http-authorizer"): "ApiGatewayAuthorizerRequestV2",
    ("apigateway", "request-authorizer"): "ApiGatewayAuthorizerRequest",
    ("apigateway", "websocket-connect"): "APIGatewayWebSocketConnectEventModel",
    ("apigateway", "websocket-disconnect"): "APIGatewayWebSocketDisconnectEventModel",
    ("apigateway", "websocket-message"): "APIGatewayWebSocketMessageEventModel",
    ("appsync", "resolver"): "AppSyncResolverEventModel",
    ("cloudformation", "create-request"): "CloudFormationCustomResourceCreateModel",
    ("cloudwatch", "logs"): "CloudWatchLogsModel",
    ("cloudwatch", "scheduled-event"): "EventBridgeModel",
    ("cognito", "custom-message"): "CognitoCustomMessageTriggerModel",
    ("cognito", "post-authentication"): "CognitoPostAuthenticationTriggerModel",
    ("cognito", "post-confirmation"): "CognitoPostConfirmationTriggerModel",
    ("cognito", "pre-authentication"): "CognitoPreAuthenticationTriggerModel",
    ("cognito", "pre-sign-up"): "CognitoPreSignupTriggerModel",
    ("cognito", "pre-token-generation"): "CognitoPreTokenGenerationTriggerModelV1",
    ("dynamodb", "update"): "DynamoDBStreamModel",
    ("eventbridge", "event"): "EventBridgeModel",
    ("eventbridge", "s3-object-created"): "S3EventNotificationEventBridgeModel",
    ("eventbridge", "scheduled-event"): "EventBridgeModel",
    ("kafka", "msk"): "KafkaMskEventModel",
    ("kafka", "self-managed"): "KafkaSelfManagedEventModel",
    ("kinesis", "get-records"): "KinesisDataStreamModel",
    ("kinesis", "kinesis-firehose"): "KinesisFirehoseModel",
    ("kinesis", "streams-as-source"): "KinesisFirehoseModel",
    ("lambda", "function-url"): "LambdaFunctionUrlModel",
    ("rekognition", "s3-request"): "S3Model",
    ("s3", "delete"): "S3Model",
    ("s3", "put"): "S3Model",
    ("ses", "email-receiving"): "SesModel",
    ("sns", "notification"): "SnsModel",
    ("sqs", "receive-fifo-message"): "SqsModel",
    ("sqs", "receive-message"): "SqsModel",
}


@pytest.fixture
def event(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def printed(*words: str) -> Any:
        assert main(["event", *words]) == 0
        return json.loads(capsys.readouterr().out)

    return printed


@pytest.mark.promise(216)
@pytest.mark.parametrize(("service", "name"), EVENTS)
def test_it_is_what_powertools_takes(event: Callable[..., Any], service: str, name: str) -> None:
    made = event(service, name)
    assert "${" not in json.dumps(made)
    if (service, name) in MODELS:
        getattr(models, MODELS[service, name]).model_validate(made)


def test_every_model_is_of_an_event() -> None:
    assert set(MODELS) <= set(EVENTS)
    assert len(MODELS) > 30


@pytest.mark.promise(216)
@pytest.mark.parametrize(("service", "name"), EVENTS)
def test_each_option_is_in_it(service: str, name: str) -> None:
    about = services()[service][name]
    for option, default in about["options"].items():
        value = (
            str(int(default) + 1) if default.isdecimal() else '{"x": 1}' if default[:1] == "{" else "another"
        )
        changed = event_of(about["event"], {**about["options"], "time": "1.000", option: value})
        assert changed != event_of(about["event"], {**about["options"], "time": "1.000"}), option


@pytest.mark.promise(216)
def test_options_are_encoded_as_the_service_does(event: Callable[..., Any]) -> None:
    put = event("s3", "put", "--bucket", "b", "--key", "a b/ü.jpg", "--region", "eu-west-1")
    record = put["Records"][0]
    assert record["s3"]["bucket"] == {
        "name": "b", "arn": "arn:aws:s3:::b", "ownerIdentity": {"principalId": "A3EXAMPLEOWNER"}
    }  # fmt: skip
    assert (record["s3"]["object"]["key"], record["awsRegion"]) == ("a+b/%C3%BC.jpg", "eu-west-1")
    message = event("sqs", "receive-message", "--body", '{"n": 1}')["Records"][0]
    assert message["body"] == '{"n": 1}'
    assert message["md5OfBody"] == hashlib.md5(b'{"n": 1}', usedforsecurity=False).hexdigest()
    assert (
        base64.b64decode(event("kinesis", "get-records", "--data", "x")["Records"][0]["kinesis"]["data"])
        == b"x"
    )
    logs = event("cloudwatch", "logs", "--message", "a line")
    told = json.loads(gzip.decompress(base64.b64decode(logs["awslogs"]["data"])))
    assert told["logEvents"][0]["message"] == "a line"
    assert event("eventbridge", "event", "--detail", '{"a": [1]}')["detail"] == {"a": [1]}


def test_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["event"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(EVENTS) > 50
    assert main(["event", "sqs"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["event", "s4"]) == 2
    assert "there are no events of s4" in capsys.readouterr().err
    assert main(["event", "s3", "puts"]) == 2
    assert "s3 has no event puts: there are put, delete" in capsys.readouterr().err
    assert main(["event", "s3", "put", "--size", "much"]) == 2
    assert "--size much: that is no number" in capsys.readouterr().err
