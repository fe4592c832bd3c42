"""The server's own calls: what is written and read without botocore is what botocore writes and reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.credentials import Credentials

from engine.aws import clients
from engine.aws.connections import Reply
from engine.aws.plans import plan_of
from engine.aws.signing import Clock, signed_post
from engine.aws.sigv4 import Credential, Verifier

NOT_SIMPLE = [
    ("sns", "Publish"),  # the query protocol
    ("lambda", "Invoke"),
    ("s3", "PutObject"),
    ("kinesis", "SubscribeToShard"),  # its response is a stream
]
WHEN = datetime(2026, 11, 29, 12, 30, 1, 500000, UTC)


@pytest.mark.promise(268)
@pytest.mark.parametrize(
    ("service", "operation", "members"),
    [
        (
            "sqs", "SendMessage",
            {
                "QueueUrl": "http://localhost/000000000000/q", "MessageBody": 'ü"\\', "DelaySeconds": 3,
                "MessageAttributes": {
                    "a": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
                    "b": {"DataType": "String", "StringValue": "c"},
                },
            },
        ),
        ("sqs", "GetQueueUrl", {"QueueName": "q", "QueueOwnerAWSAccountId": "000000000000"}),
        ("logs", "PutLogEvents", {
            "logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "m"}],
        }),
        ("events", "PutTargets", {"Rule": "r", "Targets": [{"Id": "1", "Arn": "a"}]}),
        ("events", "PutEvents", {"Entries": [{"Time": WHEN, "Source": "s", "DetailType": "d", "Detail": "{}"}]}),
        ("events", "PutEvents", {"Entries": [{"Time": WHEN.replace(microsecond=0), "Source": "s"}]}),
        ("events", "PutEvents", {"Entries": [{"Time": "2026-11-29T12:30:01Z"}, {"Time": 1764419401}]}),
        ("kinesis", "PutRecord", {"StreamName": "s", "Data": b"\x00\xff", "PartitionKey": "k"}),
        ("kinesis", "PutRecords", {
            "StreamName": "s", "Records": [{"Data": "text", "PartitionKey": "k"}, {"Data": b"", "PartitionKey": "k"}],
        }),
        ("kinesis", "GetShardIterator", {
            "StreamName": "s", "ShardId": "0", "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": WHEN,
        }),
    ],
)  # fmt: skip
def test_requests_are_botocores(service: str, operation: str, members: dict[str, Any]) -> None:
    plan = plan_of(service, operation)
    assert plan.simple
    before = json.dumps(members, default=str)
    theirs = clients._written(plan, members, "http://localhost").prepare()
    assert json.loads(plan.body(members)) == json.loads(theirs.body)
    assert json.dumps(members, default=str) == before
    for name, value in plan.headers:
        assert value == theirs.headers[name]


@pytest.mark.promise(268)
@pytest.mark.parametrize(
    ("service", "operation", "body"),
    [
        ("sqs", "ReceiveMessage", {"Messages": [
            {"MessageId": "m", "Body": "b", "MessageAttributes": {"x": {"DataType": "Binary", "BinaryValue": "AP8="}}},
        ]}),
        ("sqs", "ReceiveMessage", {}),
        ("kinesis", "GetRecords", {
            "Records": [{
                "SequenceNumber": "1", "PartitionKey": "k", "Data": "AP8=",
                "ApproximateArrivalTimestamp": WHEN.timestamp(),
            }],
            "NextShardIterator": "i", "MillisBehindLatest": 0,
        }),
        ("dynamodbstreams", "GetRecords", {
            "Records": [{"eventID": "1", "dynamodb": {
                "ApproximateCreationDateTime": 1764419401, "Keys": {"id": {"B": "AP8="}}, "SequenceNumber": "1",
            }}],
        }),
    ],
)  # fmt: skip
def test_responses_are_botocores(service: str, operation: str, body: dict[str, Any]) -> None:
    plan = plan_of(service, operation)
    content = json.dumps(body).encode()
    theirs = clients._read(plan, Reply(200, {}, content))
    theirs.pop("ResponseMetadata")
    if service == "dynamodbstreams":
        assert not plan.simple  # values within values, as deep as one likes, with bytes in them
    else:
        assert plan.result(content) == theirs


@pytest.mark.parametrize(("service", "operation"), NOT_SIMPLE)
def test_what_is_not_simple(service: str, operation: str) -> None:
    assert not plan_of(service, operation).simple


def test_a_time_as_text_is_read_too() -> None:
    """Emulators write some so."""
    body = b'{"Records":[{"ApproximateArrivalTimestamp":"2026-11-29T12:30:01.5Z"}]}'
    assert plan_of("kinesis", "GetRecords").result(body)["Records"][0]["ApproximateArrivalTimestamp"] == WHEN


@pytest.mark.promise(268)
@pytest.mark.parametrize("token", [None, "a session"])
def test_signatures_are_what_a_verifier_expects(token: str | None) -> None:
    credentials = Credentials("AKIAEXAMPLE", "secret", token)
    plan, body = plan_of("sqs", "GetQueueUrl"), b'{"QueueName":"q"}'
    headers = [*plan.headers, ("x-more", "of it")]
    sent = signed_post("host:81", "/", headers, body, credentials, ("eu-west-1", "sqs"), Clock().stamp())
    head, _, content = sent.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert (first, content) == ("POST / HTTP/1.1", body)
    found = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    verifier = Verifier({"AKIAEXAMPLE": Credential("secret", token)}, region=None)
    assert verifier.verify("POST", "/", "", found, body, service="sqs") == "AKIAEXAMPLE"


@pytest.mark.promise(268)
@pytest.mark.parametrize("service,named", [
    ("sqs", "SQS"), ("dynamodbstreams", "DYNAMODB_STREAMS"), ("secretsmanager", "SECRETS_MANAGER"),
    ("events", "EVENTBRIDGE"), ("logs", "CLOUDWATCH_LOGS"), ("stepfunctions", "SFN"),
])  # fmt: skip
def test_endpoints_are_named_as_sdks_read_them(
    monkeypatch: pytest.MonkeyPatch, service: str, named: str
) -> None:
    """And by botocore's name of the service, which counts less."""
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service.upper()}", "http://by-its-other-name")
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{named}", "http://named")
    assert clients.named_endpoint(service) == "http://named"
    session = botocore.session.Session()
    session.set_config_variable("region", "us-east-1")
    made = session.create_client(service, aws_access_key_id="k", aws_secret_access_key="s")
    assert made.meta.endpoint_url == "http://named"
