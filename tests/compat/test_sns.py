"""SNS by boto3: topics, subscriptions, and what comes to queues, functions and HTTP endpoints."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

ACCOUNT = "000000000000"
NOTES = """
import json, os
def handler(event, context):
    with open(os.environ["NOTE"], "a") as file:
        file.write(json.dumps(event) + "\\n")
"""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("topics") / "state")
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def sns(server: Served) -> Any:
    return server.client("sns")


@pytest.fixture(scope="module")
def sqs(server: Served) -> Any:
    return server.client("sqs")


@pytest.fixture
def name() -> str:
    """A topic, queue and function of the test's own."""
    return f"t-{uuid.uuid4().hex[:12]}"


def queue(sqs: Any, name: str, **attributes: str) -> tuple[str, str]:
    """Its URL and ARN."""
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def topic(sns: Any, name: str, **attributes: str) -> str:
    arn: str = sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]
    return arn


def subscribed(sns: Any, topic: str, protocol: str, endpoint: str, **attributes: str) -> str:
    made = sns.subscribe(
        TopicArn=topic, Protocol=protocol, Endpoint=endpoint, Attributes=attributes, ReturnSubscriptionArn=True
    )  # fmt: skip
    arn: str = made["SubscriptionArn"]
    return arn


def received(sqs: Any, url: str, count: int = 1) -> list[dict[str, Any]]:
    """The next messages, deleted."""
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        more = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"],
            AttributeNames=["All"],
        ).get("Messages", [])  # fmt: skip
        for each in more:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        found.extend(more)
        return len(found) >= count

    until(enough, 60, f"{count} messages")
    assert len(found) == count, found
    return found


def bodies(sqs: Any, url: str, count: int) -> list[str]:
    """What the next envelopes have, in order."""
    return sorted(json.loads(each["Body"])["Message"] for each in received(sqs, url, count))


def refused(call: Callable[..., Any], **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**members)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


# Delivery.


@pytest.mark.promise(125)
def test_a_queue_gets_the_envelope(sns: Any, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name)
    its = topic(sns, name)
    subscription = subscribed(sns, its, "sqs", arn)
    attributes = {
        "kind": {"DataType": "String", "StringValue": "ä"},
        "blob": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
        "n": {"DataType": "Number", "StringValue": "1.50"},
    }
    id = sns.publish(TopicArn=its, Message="Grüße <&>\n", Subject="Sub", MessageAttributes=attributes)[
        "MessageId"
    ]
    assert UUID.fullmatch(id)
    (message,) = received(sqs, url)
    body = json.loads(message["Body"])
    assert STAMP.fullmatch(body.pop("Timestamp"))
    assert body.pop("Signature")
    assert body.pop("SigningCertURL").startswith(f"https://sns.{REGION}.amazonaws.com/")
    assert subscription in body.pop("UnsubscribeURL").replace("%3A", ":")
    assert body == {
        "Type": "Notification", "MessageId": id, "TopicArn": its, "Subject": "Sub", "Message": "Grüße <&>\n",
        "SignatureVersion": "1",
        "MessageAttributes": {
            "kind": {"Type": "String", "Value": "ä"}, "blob": {"Type": "Binary", "Value": "AP8="},
            "n": {"Type": "Number", "Value": "1.50"},
        },
    }  # fmt: skip
    assert "MessageAttributes" not in message


@pytest.mark.promise(125)
def test_a_queue_gets_the_raw_message_with_its_attributes(sns: Any, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name)
    its = topic(sns, name)
    subscribed(sns, its, "sqs", arn, RawMessageDelivery="true")
    attributes = {
        "kind": {"DataType": "String", "StringValue": "a"},
        "blob": {"DataType": "Binary.png", "BinaryValue": b"\0\xff"},
        "list": {"DataType": "String.Array", "StringValue": '["x", 1]'},
    }
    sns.publish(TopicArn=its, Message="plain", MessageAttributes=attributes)
    (message,) = received(sqs, url)
    assert message["Body"] == "plain"
    assert message["MessageAttributes"] == attributes


@pytest.mark.promise(125)
def test_a_function_gets_a_record(server: Served, sns: Any, name: str, tmp_path: Path) -> None:
    note = server.log.parent / f"{name}.notes"
    (tmp_path / "app.py").write_text(NOTES)
    function = server.client().create_function(
        FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=20,
        Code={"ZipFile": pack(tmp_path / "app.py")}, Environment={"Variables": {"NOTE": str(note)}},
    )["FunctionArn"]  # fmt: skip
    its = topic(sns, name)
    subscription = subscribed(sns, its, "lambda", function)
    structure = {"default": "for all", "lambda": "for functions"}
    id = sns.publish(
        TopicArn=its, Message=json.dumps(structure), MessageStructure="json",
        MessageAttributes={"Test": {"DataType": "String", "StringValue": "TestString"}},
    )["MessageId"]  # fmt: skip
    until(lambda: note.exists() and note.read_text().endswith("\n"), 60, "an invocation")
    (record,) = json.loads(note.read_text())["Records"]
    inner = record.pop("Sns")
    assert record == {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription}
    sample = Path("/work/shared/events/samples/snsEvent.json")
    if sample.exists():
        assert inner.keys() == json.loads(sample.read_text())["Records"][0]["Sns"].keys()
    assert STAMP.fullmatch(inner["Timestamp"])
    shown = {
        name: inner[name]
        for name in ("Type", "MessageId", "TopicArn", "Subject", "Message", "MessageAttributes")
    }
    assert shown == {
        "Type": "Notification", "MessageId": id, "TopicArn": its, "Subject": None, "Message": "for functions",
        "MessageAttributes": {"Test": {"Type": "String", "Value": "TestString"}},
    }  # fmt: skip


@pytest.mark.promise(126)
def test_what_was_published_outlives_a_kill(tmp_path: Path, name: str) -> None:
    """Deliveries to a queue that could not be reached, the topic and its subscription."""
    first = Served(tmp_path / "state")
    url, arn = queue(first.client("sqs"), name)
    its = topic(first.client("sns"), name)
    subscribed(first.client("sns"), its, "sqs", arn)
    assert first.stop() == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
        dead = Served(tmp_path / "state")
    for n in range(20):
        dead.client("sns").publish(TopicArn=its, Message=f"{n:02}")
    dead.process.kill()
    with dead.process:
        dead.process.wait()
    alive = Served(tmp_path / "state")
    assert [each["TopicArn"] for each in alive.client("sns").list_topics()["Topics"]] == [its]
    at = alive.url + urlsplit(url).path
    assert bodies(alive.client("sqs"), at, 20) == [f"{n:02}" for n in range(20)]
    assert alive.stop() == 0
