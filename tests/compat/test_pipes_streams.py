"""EventBridge Pipes from and to what moto's server has: Kinesis, DynamoDB streams, Step Functions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from brokers import free_port
from delivered import received
from mapped import send
from piped import FUNCTION, REPORT, gone
from served import REGION, ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

ACCOUNT = "123456789012"  # moto has everything under this one
KEYS = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "test"}


@pytest.fixture(scope="module")
def server(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("pipes") / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def sqs(server: Served) -> Any:
    return server.client("sqs", **KEYS)


@pytest.fixture(scope="module")
def api(server: Served) -> Any:
    return server.client("pipes", **KEYS)


def at(moto: str, service: str) -> Any:
    return boto3.client(
        service, endpoint_url=moto, region_name=REGION, config=Config(retries={"max_attempts": 3}), **KEYS
    )


@pytest.fixture(scope="module")
def kinesis(moto: str) -> Any:
    return at(moto, "kinesis")


def queue(sqs: Any, name: str, **attributes: str) -> tuple[str, str]:
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def stream(kinesis: Any, name: str) -> str:
    kinesis.create_stream(StreamName=name, ShardCount=1)
    until(
        lambda: kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamStatus"] == "ACTIVE",
        what="the stream",
    )
    return str(kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"])


def put(kinesis: Any, name: str, *texts: str) -> list[str]:
    records = [{"Data": text.encode(), "PartitionKey": "k"} for text in texts]
    done = kinesis.put_records(StreamName=name, Records=records)
    return [each["SequenceNumber"] for each in done["Records"]]


def run(api: Any, name: str, source: str, target: str, **more: Any) -> None:
    api.create_pipe(Name=name, Source=source, Target=target, RoleArn=ROLE, **more)
    until(lambda: api.describe_pipe(Name=name)["CurrentState"] == "RUNNING", 60, "RUNNING")


def drop(api: Any, name: str) -> None:
    api.delete_pipe(Name=name)
    until(lambda: gone(api, name), 60, "the pipe's end")


@pytest.mark.promise(272)
def test_a_stream_to_a_queue(api: Any, kinesis: Any, sqs: Any, name: str) -> None:
    source = stream(kinesis, name)
    out, target = queue(sqs, f"{name}-t")
    (number, _) = put(kinesis, name, '{"id": 1}', '{"id": 2}')
    run(
        api, name, source, target,
        SourceParameters={
            "KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON"},
            "FilterCriteria": {"Filters": [{"Pattern": '{"data": {"id": [1]}}'}]},
        },
        TargetParameters={"InputTemplate": '{"id": <$.data.id>, "event": <aws.pipes.event>}'},
    )  # fmt: skip
    (message,) = received(sqs, out)
    body = json.loads(message["Body"])
    assert body["id"] == 1
    event = body["event"]
    assert (event["sequenceNumber"], event["partitionKey"], event["eventSource"]) == (
        number,
        "k",
        "aws:kinesis",
    )
    assert event["eventSourceARN"] == source
    assert {"kinesisSchemaVersion", "data", "approximateArrivalTimestamp", "eventID", "awsRegion"} <= set(
        event
    )
    drop(api, name)


@pytest.mark.promise(274)
def test_a_poison_record_of_a_stream(
    server: Served, api: Any, kinesis: Any, sqs: Any, name: str, tmp_path: Path
) -> None:
    """The batch is halved until it is alone; the others go on."""
    note, file = server.log.parent / f"{name}.note", tmp_path / "app.py"
    note.touch()
    # One that fails for a record whose data is "fail", by its key in the list.
    text = FUNCTION.replace(
        'record.get("body", "")', '__import__("base64").b64decode(record["data"]).decode()'
    )
    text = (
        text.replace("RESPONSE", REPORT)
        .replace("NOTE", repr(str(note)))
        .replace("GATE", repr(str(tmp_path / "no")))
    )
    file.write_text(text)
    functions = server.client("lambda", **KEYS)
    made = functions.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role=f"arn:aws:iam::{ACCOUNT}:role/test",
        Handler="app.handler",
        Timeout=5,
        Code={"ZipFile": pack(file)},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})
    source = stream(kinesis, name)
    dead, dead_arn = queue(sqs, f"{name}-d")
    numbers = put(kinesis, name, "a", "b", "fail", "c")
    run(
        api, name, source, made["FunctionArn"],
        SourceParameters={"KinesisStreamParameters": {
            "StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 0, "DeadLetterConfig": {"Arn": dead_arn},
            "OnPartialBatchItemFailure": "AUTOMATIC_BISECT",
        }},
    )  # fmt: skip
    (message,) = received(sqs, dead)
    letter = json.loads(message["Body"])
    assert letter["context"] == {
        "partnerResourceArn": f"arn:aws:pipes:{REGION}:{ACCOUNT}:pipe/{name}", "condition": "RetryAttemptsExhausted",
    }  # fmt: skip
    info = letter["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["batchSize"], info["streamArn"]) == (numbers[2], 1, source)
    until(lambda: numbers[3] in note.read_text(), 60, "what comes after it")
    drop(api, name)


@pytest.mark.promise(272)
def test_a_tables_changes_to_a_stream(api: Any, kinesis: Any, moto: str, name: str) -> None:
    target = stream(kinesis, name)
    source = at(moto, "dynamodb").create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]  # fmt: skip
    run(
        api, name, source, target,
        SourceParameters={"DynamoDBStreamParameters": {"StartingPosition": "TRIM_HORIZON"}},
        TargetParameters={
            "InputTemplate": '{"id": <$.dynamodb.Keys.id.S>, "what": <$.eventName>}',
            "KinesisStreamParameters": {"PartitionKey": "$.dynamodb.Keys.id.S"},
        },
    )  # fmt: skip
    at(moto, "dynamodb").put_item(TableName=name, Item={"id": {"S": "x"}})
    shard = kinesis.list_shards(StreamName=name)["Shards"][0]["ShardId"]
    begin = {"StreamName": name, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}

    def records() -> list[Any]:
        iterator = kinesis.get_shard_iterator(**begin)["ShardIterator"]
        return list(kinesis.get_records(ShardIterator=iterator)["Records"])

    (record,) = until(records, 60, "the record")
    assert (record["PartitionKey"], json.loads(record["Data"])) == ("x", {"id": "x", "what": "INSERT"})
    drop(api, name)


@pytest.mark.promise(272)
def test_a_queue_to_a_state_machine(api: Any, moto: str, sqs: Any, name: str) -> None:
    machines = at(moto, "stepfunctions")
    definition = json.dumps({"StartAt": "a", "States": {"a": {"Type": "Pass", "End": True}}})
    target = machines.create_state_machine(name=name, definition=definition, roleArn=ROLE)["stateMachineArn"]
    url, source = queue(sqs, f"{name}-q")
    given = {
        "InputTemplate": '{"n": <$.body.n>}',
        "StepFunctionStateMachineParameters": {"InvocationType": "FIRE_AND_FORGET"},
    }
    run(api, name, source, target, TargetParameters=given)
    send(sqs, url, '{"n": 1}')
    (execution,) = until(
        lambda: machines.list_executions(stateMachineArn=target)["executions"], 60, "the execution"
    )
    found = machines.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(found["input"]) == [{"n": 1}]
    drop(api, name)


@pytest.mark.promise(274)
def test_what_keeps_a_call_from_its_target_is_no_attempt(
    server: Served, api: Any, kinesis: Any, sqs: Any, name: str
) -> None:
    """A pipe without retries waits for a target that is not there, and gives nothing up."""
    port = free_port()
    events = server.client("events", **KEYS)
    key = {"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": "secret"}}
    made = events.create_connection(Name=name, AuthorizationType="API_KEY", AuthParameters=key)
    target = events.create_api_destination(
        Name=name, ConnectionArn=made["ConnectionArn"], InvocationEndpoint=f"http://127.0.0.1:{port}/",
        HttpMethod="POST",
    )["ApiDestinationArn"]  # fmt: skip
    dead, dead_arn = queue(sqs, f"{name}-d")
    source = stream(kinesis, name)
    put(kinesis, name, '{"id": 1}')
    given = {
        "StartingPosition": "TRIM_HORIZON",
        "MaximumRetryAttempts": 0,
        "DeadLetterConfig": {"Arn": dead_arn},
    }
    run(
        api, name, source, target, SourceParameters={"KinesisStreamParameters": given},
        TargetParameters={"InputTemplate": "<$.data.id>"},
    )  # fmt: skip
    until(lambda: "SDK_CLIENT_ERROR" in api.describe_pipe(Name=name).get("StateReason", ""), 60, "the reason")
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        until(lambda: bodies == [b"1"], 60, "the request")
        found = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["All"])["Attributes"]
        assert found["ApproximateNumberOfMessages"] == "0"
        drop(api, name)
    finally:
        web.shutdown()
        web.server_close()
