"""The server's own calls: what is written without botocore is what botocore writes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.aws import clients
from engine.aws.model import service_model

NOT_PLAIN = [
    ("sqs", "ReceiveMessage"),  # binary attributes in its response
    ("events", "PutEvents"),  # an entry's Time
    ("sns", "Publish"),  # the query protocol
    ("lambda", "Invoke"),
    ("s3", "PutObject"),
]


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
    ],
)  # fmt: skip
def test_what_is_plain_json(service: str, operation: str, members: dict[str, Any]) -> None:
    model = service_model(service)
    described = model.operation_model(operation)
    assert clients._is_plain_json(described)
    ours = clients._json_request(model, described, members)
    theirs = clients._written(model, described, members, "http://localhost").prepare()
    assert json.loads(ours.body) == json.loads(theirs.body)
    for name in ("x-amz-target", "content-type"):
        assert ours.header(name) == theirs.headers[name]


@pytest.mark.parametrize(("service", "operation"), NOT_PLAIN)
def test_what_is_not(service: str, operation: str) -> None:
    assert not clients._is_plain_json(service_model(service).operation_model(operation))
