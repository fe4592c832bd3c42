"""Event source mappings of Kinesis streams and of tables, and what goes wrong: records, functions, endpoints."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from delivered import queue, received
from endpoint_door import Door
from mapped import Fed, send
from served import REGION, Served
from support import until

THROTTLED = "PROBLEM: Function call failed: Rate Exceeded."


@pytest.fixture(scope="module")
def door(moto: str) -> Iterator[Door]:
    made = Door(moto)
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(moto: str, door: Door, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        for service in ("KINESIS", "DYNAMODB_STREAMS"):
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", door.url)
        served = Served(tmp_path_factory.mktemp("faults") / "state")
    yield served
    assert served.stop() == 0


class Source:
    """A stream, or a table, of moto's: its records are texts."""

    def __init__(self, moto: str, name: str) -> None:
        self.moto, self.name = moto, name
        self.arn = self.create()

    def at(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(retries={"max_attempts": 3})
        return boto3.client(service, endpoint_url=self.moto, region_name=REGION, config=config, **keys)

    def create(self) -> str:
        raise NotImplementedError

    def put(self, *texts: str) -> None:
        raise NotImplementedError

    def delete(self) -> None:
        raise NotImplementedError

    def text(self, record: dict[str, Any]) -> str:
        raise NotImplementedError

    def texts(self, fed: Fed) -> list[str]:
        return [self.text(record) for record in fed.records()]

    def batches(self, fed: Fed) -> list[list[str]]:
        return [[self.text(record) for record in event["Records"]] for event in fed.events()]


class Kinesis(Source):
    def create(self) -> str:
        client = self.at("kinesis")
        client.create_stream(StreamName=self.name, ShardCount=1)
        client.get_waiter("stream_exists").wait(StreamName=self.name, WaiterConfig={"Delay": 1})
        return str(client.describe_stream(StreamName=self.name)["StreamDescription"]["StreamARN"])

    def put(self, *texts: str) -> None:
        records = [{"Data": text.encode(), "PartitionKey": "k"} for text in texts]
        self.at("kinesis").put_records(StreamName=self.name, Records=records)

    def delete(self) -> None:
        self.at("kinesis").delete_stream(StreamName=self.name)

    def text(self, record: dict[str, Any]) -> str:
        return base64.b64decode(record["kinesis"]["data"]).decode()


class Table(Source):
    def create(self) -> str:
        made = self.at("dynamodb").create_table(
            TableName=self.name, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )  # fmt: skip
        return str(made["TableDescription"]["LatestStreamArn"])

    def put(self, *texts: str) -> None:
        for text in texts:
            self.at("dynamodb").put_item(TableName=self.name, Item={"id": {"S": text}})

    def delete(self) -> None:
        self.at("dynamodb").delete_table(TableName=self.name)

    def text(self, record: dict[str, Any]) -> str:
        return str(record["dynamodb"]["Keys"]["id"]["S"])


@pytest.fixture(params=[Kinesis, Table])
def source(request: pytest.FixtureRequest, moto: str, name: str) -> Source:
    made: Source = request.param(moto, name)
    return made


@pytest.fixture
def own(server: Served) -> Fed:
    return Fed(server, server.log.parent)


@pytest.mark.promise(281)
def test_a_poison_record_of_a_table(server: Served, own: Fed, moto: str, sqs: Any, name: str) -> None:
    """Split off, tried again, reported; reported items come again; a pause loses nothing."""
    table = Table(moto, name)
    dead, dead_arn = queue(server.client("sqs"), name)
    table.put("a", "b", "fail", "c")
    uuid = own.map(
        table.arn, StartingPosition="TRIM_HORIZON", BisectBatchOnFunctionError=True, MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": dead_arn}},
    )  # fmt: skip
    report = json.loads(received(server.client("sqs"), dead)[0]["Body"])
    assert report["requestContext"]["condition"] == "RetryAttemptsExhausted"
    poison = next(record for record in own.records() if table.text(record) == "fail")
    info = report["DDBStreamBatchInfo"]
    assert info["startSequenceNumber"] == info["endSequenceNumber"] == poison["dynamodb"]["SequenceNumber"]
    assert (info["batchSize"], info["streamArn"]) == (1, table.arn)
    until(lambda: "c" in table.texts(own), 60, "what comes after it")
    assert [batch for batch in table.batches(own) if "fail" not in batch] == [["a", "b"], ["c"]]
    assert table.batches(own).count(["fail"]) == 2
    own.update(uuid, Enabled=False)
    table.put("bad", "d")
    own.update(uuid, Enabled=True, FunctionResponseTypes=["ReportBatchItemFailures"], MaximumRetryAttempts=-1)
    until(lambda: table.texts(own).count("bad") >= 2, 60, "another attempt")
    own.gate.touch()
    until(lambda: own.result(uuid) == "OK", 60, "OK")
    assert [text for text in dict.fromkeys(table.texts(own)) if text != "fail"] == ["a", "b", "c", "bad", "d"]
    table.delete()
    until(lambda: own.result(uuid) == f"PROBLEM: Event source not found: {table.arn}", 60, "the table's end")
    assert own.get(uuid)["State"] == "Enabled"
    own.drop(uuid)


@pytest.mark.promise(281)
def test_a_window_a_throttled_function_and_a_deleted_one(own: Fed, source: Source) -> None:
    uuid = own.map(
        source.arn, StartingPosition="TRIM_HORIZON", BatchSize=3, MaximumBatchingWindowInSeconds=300
    )
    source.put("a")
    source.put("b", "c")
    own.wait(3)
    assert source.batches(own) == [["a", "b", "c"]]
    own.update(uuid, MaximumBatchingWindowInSeconds=0)
    own.api.put_function_concurrency(FunctionName=own.name, ReservedConcurrentExecutions=0)
    source.put("d")
    until(lambda: own.result(uuid) == THROTTLED, 60, "the throttle")
    own.api.delete_function_concurrency(FunctionName=own.name)
    own.wait(4)
    own.api.delete_function(FunctionName=own.name)
    source.put("e")
    until(lambda: own.result(uuid).startswith("PROBLEM: Function not found"), 60, "the function's end")
    own.create()
    own.wait(5)
    until(lambda: own.result(uuid) == "OK", 60, "OK")
    assert source.texts(own) == ["a", "b", "c", "d", "e"]
    own.drop(uuid)


@pytest.mark.promise(281)
def test_credentials_that_expire_and_an_endpoint_that_is_away(
    server: Served, own: Fed, door: Door, source: Source, name: str
) -> None:
    url, queue_arn = queue(server.client("sqs"), name, VisibilityTimeout="2")
    other = Fed(server, server.log.parent)
    neighbour = other.map(queue_arn)
    uuid = own.map(source.arn, StartingPosition="TRIM_HORIZON")
    source.put("0")
    own.wait(1)
    moods = (
        ("refuses", f"PROBLEM: Cannot access stream {source.arn}."),
        ("away", "PROBLEM: Connection error."),
    )
    try:
        for number, (mood, text) in enumerate(moods, 1):
            door.mood = mood
            until(lambda text=text: own.result(uuid).startswith(text), 60, text)
            assert own.get(uuid)["State"] == "Enabled"
            source.put(str(number))
            send(server.client("sqs"), url, str(number))
            other.wait(number)  # it goes on
            door.mood = "open"
            own.wait(number + 1)
            until(lambda: own.result(uuid) == "OK", 60, "OK")
    finally:
        door.mood = "open"
    assert source.texts(own) == ["0", "1", "2"]
    own.drop(uuid)
    other.drop(neighbour)
