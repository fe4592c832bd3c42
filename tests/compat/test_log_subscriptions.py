"""Subscription filters and metric filters of CloudWatch Logs by boto3: what a log matches comes to functions and
streams, whatever kills the server."""

from __future__ import annotations

import base64
import gzip
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from delivered import ACCOUNT, NOTES, logged, refused
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

SPEAKS = 'def handler(event, context):\n    print("spoke", event["n"])\n'
NOT_EXECUTED = (
    "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your "
    "function."
)


@pytest.fixture(scope="module")
def server(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("subscriptions") / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


@pytest.fixture
def logs(server: Served) -> Any:
    return server.client("logs")


class Receiver:
    """A function that notes each record it gets, and may be invoked by CloudWatch Logs."""

    def __init__(self, server: Served, name: str, folder: Path, source: str = NOTES) -> None:
        self.note = server.log.parent / f"{name}.notes"
        (folder / "app.py").write_text(source)
        self.api = server.client()
        self.name = name
        self.arn = self.api.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=20,
            Code={"ZipFile": pack(folder / "app.py")}, Environment={"Variables": {"NOTE": str(self.note)}},
        )["FunctionArn"]  # fmt: skip

    def allow(self, group: str, principal: str = "logs.amazonaws.com") -> None:
        self.api.add_permission(
            FunctionName=self.name, StatementId="logs", Action="lambda:InvokeFunction", Principal=principal,
            SourceArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*", SourceAccount=ACCOUNT,
        )  # fmt: skip

    def records(self) -> list[dict[str, Any]]:
        lines = self.note.read_text().splitlines() if self.note.exists() else []
        return [unpacked(base64.b64decode(json.loads(line)["awslogs"]["data"])) for line in lines]

    def messages(self) -> list[str]:
        data = [each for each in self.records() if each["messageType"] == "DATA_MESSAGE"]
        return [event["message"] for record in data for event in record["logEvents"]]


def unpacked(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(data))
    return found


@pytest.fixture
def receiver(server: Served, name: str, tmp_path: Path) -> Receiver:
    return Receiver(server, name, tmp_path)


@pytest.fixture
def group(logs: Any, name: str) -> str:
    logs.create_log_group(logGroupName=f"/test/{name}")
    logs.create_log_stream(logGroupName=f"/test/{name}", logStreamName="s")
    return f"/test/{name}"


def put(logs: Any, group: str, *messages: str, stream: str = "s") -> None:
    now = int(time.time() * 1000)
    events = [{"timestamp": now + n, "message": message} for n, message in enumerate(messages)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def subscribe(logs: Any, group: str, arn: str, pattern: str = "", name: str = "f", **more: Any) -> None:
    logs.put_subscription_filter(
        logGroupName=group, filterName=name, filterPattern=pattern, destinationArn=arn, **more
    )


@pytest.mark.promise(149)
def test_a_function_gets_what_matches(logs: Any, group: str, receiver: Receiver) -> None:
    put(logs, group, "ERROR before")
    receiver.allow(group)
    subscribe(logs, group, receiver.arn, "?ERROR ?WARN")
    logs.create_log_stream(logGroupName=group, logStreamName="other")
    put(logs, group, "ERROR one", "INFO two", "WARN three \u00e9")
    put(logs, group, "ERROR four", stream="other")
    until(
        lambda: len(receiver.messages()) == 3 and len(receiver.records()) == 3,
        30,
        "three events, and the check",
    )
    control, *data = sorted(receiver.records(), key=lambda each: (each["messageType"], each["logStream"]))
    text = "CWL CONTROL MESSAGE: Checking health of destination Lambda function."
    assert control["logEvents"][0].pop("timestamp")
    assert control == {
        "messageType": "CONTROL_MESSAGE", "owner": "CloudwatchLogs", "logGroup": "", "logStream": "",
        "subscriptionFilters": [], "logEvents": [{"id": "", "message": text}],
    }  # fmt: skip
    kept = {e["message"]: e for e in logs.filter_log_events(logGroupName=group)["events"]}
    assert data == [
        {
            "messageType": "DATA_MESSAGE", "owner": ACCOUNT, "logGroup": group, "logStream": stream,
            "subscriptionFilters": ["f"],
            "logEvents": [
                {"id": kept[m]["eventId"], "timestamp": kept[m]["timestamp"], "message": m} for m in messages
            ],
        }
        for stream, messages in (("other", ["ERROR four"]), ("s", ["ERROR one", "WARN three \u00e9"]))
    ]  # fmt: skip
    logs.delete_subscription_filter(logGroupName=group, filterName="f")
    put(logs, group, "ERROR five")
    receiver.api.remove_permission(FunctionName=receiver.name, StatementId="logs")
    assert logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"] == []


@pytest.mark.promise(149)
def test_what_a_function_logs(
    server: Served, logs: Any, receiver: Receiver, name: str, tmp_path: Path
) -> None:
    speaker = Receiver(server, f"{name}-speaks", tmp_path, SPEAKS)
    group = f"/aws/lambda/{speaker.name}"
    logs.create_log_group(logGroupName=group)
    receiver.allow(group, f"logs.{REGION}.amazonaws.com")
    subscribe(logs, group, receiver.arn, "[word=spoke, n >= 2]")
    for n in range(4):
        speaker.api.invoke(FunctionName=speaker.name, Payload=json.dumps({"n": n}))
    until(lambda: len(receiver.messages()) == 2, 30, "two events")
    assert [each.rstrip("\n") for each in receiver.messages()] == ["spoke 2", "spoke 3"]


@pytest.mark.promise(149)
def test_a_large_backlog_comes_in_records_that_fit(logs: Any, group: str, receiver: Receiver) -> None:
    receiver.allow(group)
    subscribe(logs, group, receiver.arn)
    sent = [f"{n} {'x' * 4000}" for n in range(700)]  # 2.8 MB
    for n in range(0, 700, 100):
        put(logs, group, *sent[n : n + 100])
    until(lambda: len(receiver.messages()) == 700, 60, "the events")
    assert sorted(receiver.messages()) == sorted(sent)
    assert len(receiver.records()) > 2800 // 256


@pytest.mark.promise(149)
def test_what_is_refused(server: Served, logs: Any, group: str, receiver: Receiver) -> None:
    call, invalid = logs.put_subscription_filter, "InvalidParameterException"
    members = {
        "logGroupName": group,
        "filterName": "f",
        "filterPattern": "",
        "destinationArn": receiver.arn,
    }
    assert refused(call, **members) == (invalid, NOT_EXECUTED), "its policy does not allow it"
    receiver.allow("/test/another")
    assert refused(call, **members) == (invalid, NOT_EXECUTED)
    receiver.api.remove_permission(FunctionName=receiver.name, StatementId="logs")
    receiver.allow("/*")
    assert refused(call, **{**members, "destinationArn": f"{receiver.arn}x"}) == (invalid, NOT_EXECUTED)
    assert refused(call, **members, roleArn=ROLE) == (
        invalid, "destinationArn for vendor lambda cannot be used with roleArn"
    )  # fmt: skip
    own = f"/aws/lambda/{receiver.name}"
    logs.create_log_group(logGroupName=own)
    assert refused(call, **{**members, "logGroupName": own}) == (
        invalid, "The log group provided is reserved for the function logs of the destination function."
    )  # fmt: skip
    assert refused(call, **{**members, "logGroupName": "/none"})[0] == "ResourceNotFoundException"
    assert refused(call, **{**members, "filterPattern": "{ $.a ="}) == (invalid, "Invalid filter pattern")
    assert refused(call, **{**members, "filterPattern": "%a% %b% %c%"})[0] == invalid
    assert refused(call, **{**members, "destinationArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"})[0] == invalid
    kinesis = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/none"
    assert refused(call, **{**members, "destinationArn": kinesis}) == (
        invalid, "destinationArn for vendor kinesis cannot be used without roleArn"
    )  # fmt: skip
    assert refused(call, **{**members, "destinationArn": kinesis}, roleArn=ROLE) == (
        invalid,
        "Could not deliver test message to specified Kinesis stream. Check if the given kinesis stream is in ACTIVE "
        "state.",
    )
    subscribe(logs, group, receiver.arn, name="f1")
    subscribe(logs, group, receiver.arn, name="f2", distribution="Random")
    assert refused(call, **members) == ("LimitExceededException", "Resource limit exceeded.")
    subscribe(logs, group, receiver.arn, name="f2", pattern="x")
    found = logs.describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    assert [(each["filterName"], each["filterPattern"], each["distribution"]) for each in found] == [
        ("f1", "", "ByLogStream"), ("f2", "x", "ByLogStream")
    ]  # fmt: skip
    assert found[0]["destinationArn"] == receiver.arn and found[0]["creationTime"] > 0
    first = logs.describe_subscription_filters(logGroupName=group, limit=1)
    rest = logs.describe_subscription_filters(logGroupName=group, limit=1, nextToken=first["nextToken"])
    assert [each["filterName"] for each in rest["subscriptionFilters"]] == ["f2"] and "nextToken" not in rest
    assert refused(logs.delete_subscription_filter, logGroupName=group, filterName="f3") == (
        "ResourceNotFoundException", "The specified filter does not exist."
    )  # fmt: skip


@pytest.mark.promise(149)
def test_what_is_not_allowed_any_more_is_in_a_log(
    server: Served, logs: Any, group: str, receiver: Receiver
) -> None:
    receiver.allow(group)
    subscribe(logs, group, receiver.arn, "lost")
    receiver.api.remove_permission(FunctionName=receiver.name, StatementId="logs")
    put(logs, group, "lost")
    logged(server, "/aws/logs/failed-deliveries", f"DeliveryFailed: {group} f {receiver.arn}: AccessDenied")
    receiver.allow(group)
    to = {"LogFormat": "Text", "LogGroup": group}  # its own log would initiate it, again and again
    receiver.api.update_function_configuration(FunctionName=receiver.name, LoggingConfig=to)
    put(logs, group, "lost too")
    logged(
        server, "/aws/logs/failed-deliveries", "reserved for the function logs of the destination function"
    )


@pytest.mark.promise(149)
@pytest.mark.parametrize("kind", ["kinesis", "firehose"])
def test_streams(moto: str, logs: Any, group: str, name: str, kind: str) -> None:
    keys = {"region_name": REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client(kind, endpoint_url=moto, **keys)
    if kind == "kinesis":
        client.create_stream(StreamName=name, ShardCount=1)
        arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"
    else:
        s3 = boto3.client("s3", endpoint_url=moto, **keys)
        s3.create_bucket(Bucket=name)
        to = {"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{name}"}
        client.create_delivery_stream(DeliveryStreamName=name, ExtendedS3DestinationConfiguration=to)
        arn = f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{name}"
    subscribe(logs, group, arn, "wanted", roleArn=ROLE)
    put(logs, group, "wanted 1", "other", "wanted 2")

    def records() -> list[dict[str, Any]]:
        if kind == "kinesis":
            shard = client.get_shard_iterator(
                StreamName=name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
            )
            found = client.get_records(ShardIterator=shard["ShardIterator"])["Records"]
            return [unpacked(each["Data"]) for each in found]
        listed = s3.list_objects_v2(Bucket=name).get("Contents", [])
        return [unpacked(s3.get_object(Bucket=name, Key=each["Key"])["Body"].read()) for each in listed]

    until(lambda: len(records()) == 2, 30, "a test message and a record")
    control, data = sorted(records(), key=lambda each: each["messageType"])
    assert control["messageType"] == "CONTROL_MESSAGE"
    assert [event["message"] for event in data["logEvents"]] == ["wanted 1", "wanted 2"]


@pytest.mark.slow
@pytest.mark.promise(149)
def test_what_is_in_the_log_is_delivered_whatever_kills_the_server(tmp_path: Path) -> None:
    state = tmp_path / "state"
    sent: list[str] = []
    receiver: Receiver | None = None
    for run in range(4):
        server = Served(state)
        logs = server.client("logs")
        if receiver is None:
            receiver = Receiver(server, "receives", tmp_path)
            receiver.allow("/g")
            logs.create_log_group(logGroupName="/g")
            logs.create_log_stream(logGroupName="/g", logStreamName="s")
            subscribe(logs, "/g", receiver.arn, "-unwanted")
        for n in range(10 + run):
            messages = [f"{run} {n} {k}" for k in range(5)]
            put(logs, "/g", *messages, "unwanted")
            sent += messages
        server.process.send_signal(signal.SIGKILL)
        with server.process:
            server.process.wait()
    assert receiver is not None
    server = Served(state)
    until(lambda: set(receiver.messages()) >= set(sent), 60, "every event")
    assert set(receiver.messages()) == set(sent)
    assert server.stop() == 0


# Metric filters.


@pytest.mark.promise(150)
def test_metric_filters_are_kept(logs: Any, group: str) -> None:
    transformation = {
        "metricName": "errors", "metricNamespace": "shop", "metricValue": "$.latency", "unit": "Milliseconds",
        "dimensions": {"route": "$.route"},
    }  # fmt: skip
    call = logs.put_metric_filter
    members = {"logGroupName": group, "filterName": "m1", "filterPattern": "{ $.latency > 1 }"}
    call(**members, metricTransformations=[transformation])
    counted = {"metricName": "all", "metricNamespace": "shop", "metricValue": "1", "defaultValue": 0.0}
    call(logGroupName=group, filterName="m2", filterPattern="", metricTransformations=[counted])
    found = logs.describe_metric_filters(logGroupName=group)["metricFilters"]
    assert [(each["filterName"], each["metricTransformations"]) for each in found] == [
        ("m1", [transformation]), ("m2", [counted])
    ]  # fmt: skip
    assert found[0]["filterPattern"] == "{ $.latency > 1 }" and found[0]["logGroupName"] == group
    (described,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert described["metricFilterCount"] == 2
    by_name = logs.describe_metric_filters(metricName="all", metricNamespace="shop")["metricFilters"]
    assert [each["filterName"] for each in by_name] == ["m2"]
    by_prefix = logs.describe_metric_filters(logGroupName=group, filterNamePrefix="m1")["metricFilters"]
    assert [each["filterName"] for each in by_prefix] == ["m1"]
    invalid = "InvalidParameterException"
    for wrong in ({"metricValue": "abc"}, {"defaultValue": 1.0}):
        assert refused(call, **members, metricTransformations=[{**transformation, **wrong}])[0] == invalid
    assert refused(call, **members, metricTransformations=[counted, counted])[0] == invalid
    assert refused(logs.describe_metric_filters, metricName="all")[0] == invalid
    logs.delete_metric_filter(logGroupName=group, filterName="m1")
    assert (
        refused(logs.delete_metric_filter, logGroupName=group, filterName="m1")[0]
        == "ResourceNotFoundException"
    )


ACCESS = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534'


@pytest.mark.promise(150)
@pytest.mark.parametrize(
    ("pattern", "message", "extracted"),
    [
        ("ERROR", "ERROR x", {}),
        (
            "[ip, identity, user_id, timestamp, request, status_code=2*, size]",
            ACCESS,
            {
                "$ip": "127.0.0.1", "$identity": "-", "$user_id": "frank", "$size": "1534", "$status_code": "200",
                "$timestamp": "10/Oct/2000:13:25:15 -0700", "$request": "GET /apache_pb.gif HTTP/1.0",
            },
        ),
        ("[ip, ..., size]", "a b c d", {"$ip": "a", "$2": "b", "$3": "c", "$size": "d"}),
        ("[(w=a || w=b) && w!=c, ...]", "a 1", {"$w": "a", "$2": "1"}),
        (
            '{ $.a = 1 && ($.b[0].c = "x" || $.d IS TRUE) }', '{"a": 1, "b": [{"c": "x"}]}',
            {"$.a": "1", "$.b[0].c": "x"},
        ),
    ],
)  # fmt: skip
def test_a_pattern_is_tested_on_messages(
    logs: Any, pattern: str, message: str, extracted: dict[str, str]
) -> None:
    found = logs.test_metric_filter(filterPattern=pattern, logEventMessages=["nothing", message])
    assert found["matches"] == [{"eventNumber": 2, "eventMessage": message, "extractedValues": extracted}]
