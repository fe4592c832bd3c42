"""What routers deliver has AWS's form: Powertools' parser models take it, and it has the members of AWS's samples."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser.models import (
    CloudWatchLogsModel,
    EventBridgeModel,
    SnsModel,
    SnsNotificationModel,
)
from delivered import ACCOUNT, NOTES, entry, put, queue, received, rule, subscribed, topic
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.bus_routing import _scheduled
from engine.hosting.archives import pack

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def shape(value: Any) -> Any:
    """Members and types, without values; of a list, those of its first."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value).__name__


class Noting:
    """A function that notes what it gets."""

    def __init__(self, server: Served, name: str, folder: Path) -> None:
        self.note = server.log.parent / f"{name}.notes"
        (folder / "app.py").write_text(NOTES)
        self.api = server.client()
        self.arn = self.api.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
            Code={"ZipFile": pack(folder / "app.py")}, Environment={"Variables": {"NOTE": str(self.note)}},
        )["FunctionArn"]  # fmt: skip
        self.name = name

    def events(self) -> list[Any]:
        return [json.loads(line) for line in self.note.read_text().splitlines()] if self.note.exists() else []

    def event(self) -> Any:
        """The first that came."""
        until(self.events, 60, "an event")
        return self.events()[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("shapes") / "state")
    yield served
    assert served.stop() == 0


@pytest.fixture
def noting(server: Served, name: str, tmp_path: Path) -> Noting:
    return Noting(server, name, tmp_path)


@pytest.mark.promise(153)
def test_a_topics_message_to_a_function_and_to_a_queue(sns: Any, sqs: Any, noting: Noting) -> None:
    arn = topic(sns, noting.name)
    url, to = queue(sqs, noting.name)
    subscribed(sns, arn, "lambda", noting.arn)
    subscribed(sns, arn, "sqs", to)
    attributes = {
        "Test": {"DataType": "String", "StringValue": "TestString"},
        "TestBinary": {"DataType": "Binary", "BinaryValue": b"TestBinary"},
    }
    sns.publish(TopicArn=arn, Message="Hello from SNS!", Subject="TestInvoke", MessageAttributes=attributes)
    event = noting.event()
    assert SnsModel.model_validate(event).Records[0].Sns.Message == "Hello from SNS!"
    assert shape(event) == shape(sample("snsEvent"))
    (message,) = received(sqs, url)
    body, sent = json.loads(message["Body"]), json.loads(sample("snsSqsEvent")["Records"][0]["body"])
    assert SnsNotificationModel.model_validate(dict(body)).TopicArn == arn
    assert {key: shape(body[key]) for key in sent} == shape(sent)


@pytest.mark.promise(153)
def test_a_buss_event_and_a_replayed_one(events: Any, noting: Noting) -> None:
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    archive = events.create_archive(ArchiveName=noting.name, EventSourceArn=bus)["ArchiveArn"]
    rule(events, noting.name, {"Arn": noting.arn})
    put(events, entry(noting.name, {"instance_id": "i", "state": "terminated"}, Resources=["arn:aws:a"]))
    event = noting.event()
    expected = sample("eventBridgeEvent")
    assert EventBridgeModel.model_validate(event).detail == {"instance_id": "i", "state": "terminated"}
    now = datetime.now(UTC)
    events.start_replay(
        ReplayName=noting.name, EventSourceArn=archive, Destination={"Arn": bus},
        EventStartTime=now - timedelta(minutes=5), EventEndTime=now + timedelta(minutes=1),
    )  # fmt: skip
    until(lambda: len(noting.events()) > 1, 60, "the replay")
    replayed = noting.events()[1]
    assert EventBridgeModel.model_validate(replayed).replay_name == noting.name
    assert shape(replayed) == shape(expected)
    del expected["replay-name"]
    assert shape(event) == shape(expected)


@pytest.mark.promise(153)
def test_a_schedules_event(server: Served, noting: Noting) -> None:
    server.client("scheduler").create_schedule(
        Name=noting.name, ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": noting.arn, "RoleArn": ROLE},
    )  # fmt: skip
    event = noting.event()
    found = EventBridgeModel.model_validate(event)
    assert (found.source, found.detail_type, found.detail) == ("aws.scheduler", "Scheduled Event", {})
    expected = {**sample("eventBridgeEvent"), "detail": "{}"}
    del expected["replay-name"]
    assert shape(event) == shape(expected)


@pytest.mark.promise(153)
def test_a_logs_record(server: Served, noting: Noting) -> None:
    logs, group = server.client("logs"), f"/test/{noting.name}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    noting.api.add_permission(
        FunctionName=noting.name,
        StatementId="l",
        Action="lambda:InvokeFunction",
        Principal="logs.amazonaws.com",
    )
    logs.put_subscription_filter(
        logGroupName=group, filterName="f", filterPattern="", destinationArn=noting.arn
    )
    one = {"timestamp": int(time.time() * 1000), "message": "it"}
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[one])
    until(lambda: len(noting.events()) == 2, 60, "a test message and a record")
    expected = sample("cloudWatchLogEvent")
    decoded = json.loads(gzip.decompress(base64.b64decode(expected["awslogs"]["data"])))
    kinds = set()
    for event in noting.events():
        assert shape(event) == shape(expected)
        data = CloudWatchLogsModel.model_validate(event).awslogs.decoded_data
        record = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
        kinds.add(data.messageType)
        if data.messageType == "DATA_MESSAGE":
            assert [each.message for each in data.logEvents] == ["it"]
            assert shape(record) == shape(decoded)
    assert kinds == {"CONTROL_MESSAGE", "DATA_MESSAGE"}


@pytest.mark.promise(153)
def test_the_event_of_an_embedded_engines_schedule() -> None:
    event = json.loads(_scheduled("tick", 1_800_000_000.0))
    assert EventBridgeModel.model_validate(event).time == datetime(2027, 1, 15, 8, tzinfo=UTC)
    expected = {**sample("eventBridgeEvent"), "detail": {}}
    del expected["replay-name"]
    assert shape(event) == shape(expected)
