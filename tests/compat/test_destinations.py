"""Where asynchronous invocations end: each condition to each kind of target, as AWS's records have it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

MOTO_ACCOUNT = "123456789012"  # moto has everything under this one
SOURCE = """
def handler(event, context):
    if event.get("fails"):
        raise ValueError("asked for")
    return {"did": event["n"]}
"""
NOTES = """
import json
def handler(event, context):
    with open(NOTE, "a") as file:
        file.write(json.dumps(event) + "\\n")
"""


@pytest.fixture(scope="module")
def server(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With moto's queues, topics, buses and buckets."""
    folder = tmp_path_factory.mktemp("destinations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", moto)
        patch.setenv("AWS_ENDPOINT_URL_EVENTS", moto)
        patch.setenv("AWS_ENDPOINT_URL_SNS", moto)
        served = Served(folder / "state", "--aws-endpoint", moto, "--retry-delays", "0.02,0.02")
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Whose queues this server's destinations may be."""
    served = Served(tmp_path_factory.mktemp("another") / "state")
    yield served
    assert served.stop() == 0


Deploy = Callable[..., str]


@pytest.fixture
def deploy(server: Served, tmp_path: Path) -> Deploy:
    api = server.client()

    def deployed(source: str = SOURCE, **more: Any) -> str:
        (tmp_path / "app.py").write_text(source)
        name = f"f-{uuid.uuid4().hex[:12]}"
        created = api.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
            Code={"ZipFile": pack(tmp_path / "app.py")}, **more,
        )  # fmt: skip
        arn: str = created["FunctionArn"]
        return arn

    return deployed


def client(service: str, url: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name=REGION, aws_access_key_id=MOTO_ACCOUNT,
        aws_secret_access_key="test",
    )  # fmt: skip


class Queue:
    """What arrives in it."""

    def __init__(self, url: str, name: str = "") -> None:
        """url: of the endpoint that has it."""
        self.api = client("sqs", url)
        name = name or f"q-{uuid.uuid4().hex[:8]}"
        self.url = self.api.create_queue(QueueName=name)["QueueUrl"]
        found = self.api.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn: str = found["Attributes"]["QueueArn"]

    def message(self) -> dict[str, Any]:
        def received() -> list[dict[str, Any]]:
            found = self.api.receive_message(
                QueueUrl=self.url, MessageAttributeNames=["All"], WaitTimeSeconds=1
            )
            return list(found.get("Messages", []))

        (message,) = until(received)
        self.api.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        found: dict[str, Any] = message
        return found


def checked(record: dict[str, Any], arn: str, event: Any, condition: str) -> None:
    """AWS's record, member by member."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
    context = record["requestContext"]
    uuid.UUID(context.pop("requestId"))
    count = {"Success": 1, "RetriesExhausted": 3, "ZeroReservedConcurrency": 0}[condition]
    assert context == {
        "functionArn": f"{arn}:$LATEST",
        "condition": condition,
        "approximateInvokeCount": count,
    }
    expected: dict[str, Any] = {"version": "1.0", "requestContext": context, "requestPayload": event}
    if condition == "Success":
        expected["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST"}
        expected["responsePayload"] = {"did": event["n"]}
    elif condition == "RetriesExhausted":
        expected["responseContext"] = {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        }
        payload = record["responsePayload"]
        expected["responsePayload"] = payload
        assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "asked for")
    assert record == expected


CONDITIONS = ["Success", "RetriesExhausted", "ZeroReservedConcurrency"]


def end(server: Served, arn: str, condition: str) -> dict[str, Any]:
    """Has an event of the function end so; the event."""
    api, name = server.client(), arn.rpartition(":")[2]
    event = {"n": uuid.uuid4().hex, **({"fails": True} if condition == "RetriesExhausted" else {})}
    if condition == "ZeroReservedConcurrency":
        api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    api.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
    return event


def destined(server: Served, arn: str, condition: str, target: str) -> None:
    kind = "OnSuccess" if condition == "Success" else "OnFailure"
    server.client().put_function_event_invoke_config(
        FunctionName=arn.rpartition(":")[2], DestinationConfig={kind: {"Destination": target}}
    )


@pytest.mark.promise(104)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_to_a_queue(server: Served, deploy: Deploy, moto: str, condition: str) -> None:
    queue, arn = Queue(moto), deploy()
    destined(server, arn, condition, queue.arn)
    event = end(server, arn, condition)
    checked(json.loads(queue.message()["Body"]), arn, event, condition)


@pytest.mark.promise(104)
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("whose", ["its own", "another's"])
def test_to_a_queue_of_stokers(another: Served, tmp_path: Path, condition: str, whose: str) -> None:
    """A queue on the same server, without HTTP, and one on a second server."""
    (tmp_path / "app.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        if whose != "its own":
            patch.setenv("AWS_ENDPOINT_URL_SQS", another.url)
        served = Served(tmp_path / "state", "--retry-delays", "0.02,0.02")
    arn = served.client().create_function(
        FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": pack(tmp_path / "app.py")},
    )["FunctionArn"]  # fmt: skip
    queue = Queue(served.url if whose == "its own" else another.url)
    destined(served, arn, condition, queue.arn)
    event = end(served, arn, condition)
    checked(json.loads(queue.message()["Body"]), arn, event, condition)
    assert served.stop() == 0


@pytest.mark.promise(104)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_to_a_topic(server: Served, deploy: Deploy, moto: str, condition: str) -> None:
    queue, arn, sns = Queue(moto), deploy(), client("sns", moto)
    topic = sns.create_topic(Name=f"t-{uuid.uuid4().hex[:8]}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    destined(server, arn, condition, topic)
    event = end(server, arn, condition)
    checked(json.loads(json.loads(queue.message()["Body"])["Message"]), arn, event, condition)


@pytest.mark.promise(104)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_to_an_event_bus(server: Served, deploy: Deploy, moto: str, condition: str) -> None:
    queue, arn, events = Queue(moto), deploy(), client("events", moto)
    bus = events.create_event_bus(Name=f"b-{uuid.uuid4().hex[:8]}")["EventBusArn"]
    name = bus.rpartition("/")[2]
    events.put_rule(Name=name, EventBusName=name, EventPattern='{"source": ["lambda"]}')
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "1", "Arn": queue.arn}])
    destined(server, arn, condition, bus)
    event = end(server, arn, condition)
    published = json.loads(queue.message()["Body"])
    half = "Success" if condition == "Success" else "Failure"
    assert published["source"] == "lambda"
    assert published["detail-type"] == f"Lambda Function Invocation Result - {half}"
    assert published["resources"] == [bus, f"{arn}:$LATEST"]
    checked(published["detail"], arn, event, condition)


@pytest.mark.promise(104)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_to_a_function(server: Served, deploy: Deploy, tmp_path: Path, condition: str) -> None:
    note = server.log.parent / uuid.uuid4().hex
    arn, target = deploy(), deploy(NOTES.replace("NOTE", repr(str(note))))
    destined(server, arn, condition, target)
    event = end(server, arn, condition)
    until(lambda: note.exists() and note.read_text().endswith("\n"))
    checked(json.loads(note.read_text()), arn, event, condition)


@pytest.mark.promise(104)
@pytest.mark.parametrize("condition", CONDITIONS[1:])
def test_to_a_bucket(server: Served, deploy: Deploy, condition: str) -> None:
    s3, arn = server.client("s3"), deploy()
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    destined(server, arn, condition, f"arn:aws:s3:::{bucket}")
    event = end(server, arn, condition)
    (found,) = until(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents"))
    name = arn.rpartition(":")[2]
    key = rf"aws/lambda/async/{name}/(\d{{4}}/\d\d/\d\d)/\d{{4}}-\d\d-\d\dT\d\d\.\d\d\.\d\d-[0-9a-f-]{{36}}"
    assert re.fullmatch(key, found["Key"])
    body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
    checked(json.loads(body), arn, event, condition)


@pytest.mark.promise(104)
@pytest.mark.parametrize("to", ["sqs", "sns"])
def test_dead_letters(server: Served, deploy: Deploy, moto: str, to: str) -> None:
    """The event itself, with what it failed of in attributes."""
    queue = Queue(moto)
    arn_of_target = queue.arn
    if to == "sns":
        sns = client("sns", moto)
        arn_of_target = sns.create_topic(Name=f"t-{uuid.uuid4().hex[:8]}")["TopicArn"]
        sns.subscribe(
            TopicArn=arn_of_target, Protocol="sqs", Endpoint=queue.arn,
            Attributes={"RawMessageDelivery": "true"},
        )  # fmt: skip
    arn = deploy(DeadLetterConfig={"TargetArn": arn_of_target})
    event = end(server, arn, "RetriesExhausted")
    message = queue.message()
    assert json.loads(message["Body"]) == event
    attributes = {
        name: (it["DataType"], it["StringValue"]) for name, it in message["MessageAttributes"].items()
    }
    uuid.UUID(attributes.pop("RequestID")[1])
    assert attributes == {"ErrorCode": ("Number", "200"), "ErrorMessage": ("String", "asked for")}


@pytest.mark.promise(104)
def test_a_target_that_is_not_there_is_counted_and_logged(server: Served, deploy: Deploy, moto: str) -> None:
    """Any more: it was when it was configured."""
    arn, queue = deploy(), Queue(moto, f"gone-{uuid.uuid4().hex[:8]}-nowhere")
    destined(server, arn, "Success", queue.arn)
    queue.api.delete_queue(QueueUrl=queue.url)
    end(server, arn, "Success")
    logs, group = server.client("logs"), f"/aws/lambda/{arn.rpartition(':')[2]}"

    def warned() -> list[str]:
        try:
            found = logs.filter_log_events(logGroupName=group, filterPattern="DestinationDeliveryFailures")
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in found["events"]]

    (line,) = until(warned)
    assert "nowhere could not be reached: AWS.SimpleQueueService.NonExistentQueue" in line


NOWHERE = {
    "a queue": (f"arn:aws:sqs:{REGION}:{MOTO_ACCOUNT}:not-there", "AWS.SimpleQueueService.NonExistentQueue"),
    "a topic": (f"arn:aws:sns:{REGION}:{MOTO_ACCOUNT}:not-there", "SNS Error Code: NotFound"),
    "a bus": (f"arn:aws:events:{REGION}:{MOTO_ACCOUNT}:event-bus/not-there", "is none"),
    "a bucket": ("arn:aws:s3:::not-there", "is none"),
    "a function": (f"arn:aws:lambda:{REGION}:000000000000:function:not-there", "is none"),
    "a version": (f"arn:aws:lambda:{REGION}:000000000000:function:NAME:7", "is none"),
}  # fmt: skip


@pytest.mark.promise(110)
@pytest.mark.parametrize("what", NOWHERE)
def test_a_target_that_is_not_there_cannot_be_configured(server: Served, deploy: Deploy, what: str) -> None:
    api, arn = server.client(), deploy()
    name, other = arn.rpartition(":")[2], deploy().rpartition(":")[2]
    target, of_dead_letters = NOWHERE[what]
    target = target.replace("NAME", other)
    with pytest.raises(api.exceptions.InvalidParameterValueException) as refused:
        destined(server, arn, "RetriesExhausted", target)
    assert f"The destination ARN {target} is invalid." in str(refused.value)
    with pytest.raises(api.exceptions.InvalidParameterValueException, match=of_dead_letters):
        api.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": target})
    with pytest.raises(api.exceptions.InvalidParameterValueException, match=of_dead_letters):
        deploy(DeadLetterConfig={"TargetArn": target})


@pytest.mark.promise(110)
def test_a_queue_of_this_server_must_be_there_and_one_that_cannot_be_asked_need_not(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SOURCE)
    served = Served(tmp_path / "state")
    arn = served.client().create_function(
        FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": pack(tmp_path / "app.py")},
    )["FunctionArn"]  # fmt: skip
    queue = f"arn:aws:sqs:{REGION}:000000000000:later"
    with pytest.raises(botocore.exceptions.ClientError, match=f"The destination ARN {queue} is invalid"):
        destined(served, arn, "Success", queue)
    served.client("sqs").create_queue(QueueName="later")
    destined(served, arn, "Success", queue)
    destined(served, arn, "RetriesExhausted", "arn:aws:s3:::nobody-serves-buckets")
    assert served.stop() == 0


@pytest.mark.promise(104)
def test_a_delivery_outlives_the_server(tmp_path: Path, moto: str) -> None:
    """Its target cannot be reached at first, and the server is killed meanwhile."""
    (tmp_path / "app.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
        dead = Served(tmp_path / "state")
    api = dead.client()
    created = api.create_function(
        FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": pack(tmp_path / "app.py")},
    )  # fmt: skip
    name = f"q-{uuid.uuid4().hex[:8]}"
    destined(dead, created["FunctionArn"], "Success", f"arn:aws:sqs:{REGION}:{MOTO_ACCOUNT}:{name}")
    event = end(dead, created["FunctionArn"], "Success")
    until(lambda: json.loads(_health(dead))["events"].get("Success"))
    dead.process.kill()
    dead.process.wait()
    queue = Queue(moto, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", moto)
        patch.setenv("AWS_ENDPOINT_URL_EVENTS", moto)
        alive = Served(tmp_path / "state")
    checked(json.loads(queue.message()["Body"]), created["FunctionArn"], event, "Success")
    assert alive.stop() == 0


def _health(server: Served) -> bytes:
    import urllib.request

    with urllib.request.urlopen(f"{server.url}/_stoker/health") as response:
        data: bytes = response.read()
        return data
