"""Event source mappings of Kinesis streams and DynamoDB tables, which moto's server has."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from delivered import refused
from mapped import Fed
from served import REGION, Served
from support import until

ACCOUNT = "123456789012"  # moto has everything under this one
WINDOWED = """
import json, base64
def handler(event, context):
    with open(NOTE, "a") as file:
        file.write(json.dumps(event) + "\\n")
    total = event["state"].get("sum", 0)
    for record in event["Records"]:
        total += int(base64.b64decode(record["kinesis"]["data"]))
    return {"state": {"sum": total}}
"""


@pytest.fixture(scope="module")
def server(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SNS", moto)
        served = Served(tmp_path_factory.mktemp("streams") / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


def at(moto: str, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    config = Config(retries={"max_attempts": 3})
    return boto3.client(service, endpoint_url=moto, region_name=REGION, config=config, **keys)


@pytest.fixture(scope="module")
def kinesis(moto: str) -> Any:
    return at(moto, "kinesis")


@pytest.fixture
def own(server: Served) -> Fed:
    return Fed(server, server.log.parent)


def stream(kinesis: Any, name: str, shards: int = 1) -> str:
    """Its ARN."""
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    until(lambda: described(kinesis, name)["StreamStatus"] == "ACTIVE", what="the stream")
    return str(described(kinesis, name)["StreamARN"])


def described(kinesis: Any, name: str) -> dict[str, Any]:
    return dict(kinesis.describe_stream(StreamName=name)["StreamDescription"])


def put(kinesis: Any, name: str, *texts: str, key: str = "k") -> list[str]:
    """Their sequence numbers."""
    records = [{"Data": text.encode(), "PartitionKey": key} for text in texts]
    done = kinesis.put_records(StreamName=name, Records=records)
    assert done["FailedRecordCount"] == 0
    return [each["SequenceNumber"] for each in done["Records"]]


def texts(fed: Fed) -> list[str]:
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in fed.records()]


@pytest.mark.promise(164)
def test_a_streams_records_come_in_order_from_where_the_mapping_begins(
    own: Fed, kinesis: Any, name: str
) -> None:
    arn = stream(kinesis, name)
    (before,) = put(kinesis, name, "before")
    horizon = own.map(arn, StartingPosition="TRIM_HORIZON", BatchSize=3)
    own.wait(1)
    (record,) = own.records()
    shard = described(kinesis, name)["Shards"][0]["ShardId"]
    arrived = record["kinesis"].pop("approximateArrivalTimestamp")
    assert abs(arrived - time.time()) < 60
    assert record.pop("invokeIdentityArn").startswith("arn:aws:iam::")
    assert record == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": "k", "sequenceNumber": before,
            "data": base64.b64encode(b"before").decode(),
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": f"{shard}:{before}",
        "eventName": "aws:kinesis:record", "awsRegion": REGION, "eventSourceARN": arn,
    }  # fmt: skip
    latest = Fed(own.server, own.server.log.parent)
    late = latest.map(arn, StartingPosition="LATEST")
    put(kinesis, name, *map(str, range(20)))
    own.wait(21)
    latest.wait(20)
    assert texts(own) == ["before", *map(str, range(20))]
    assert texts(latest) == [*map(str, range(20))]
    assert max(len(event["Records"]) for event in own.events()) == 3
    until(lambda: own.result(horizon) == "OK", what="OK")
    shown = own.get(horizon)
    assert (shown["State"], shown["StateTransitionReason"]) == ("Enabled", "User action")
    # Disabled and enabled again, it goes on where it was.
    own.update(horizon, Enabled=False)
    put(kinesis, name, "while disabled")
    latest.wait(21)
    assert len(texts(own)) == 21
    own.update(horizon, Enabled=True)
    own.wait(22)
    assert texts(own)[21:] == ["while disabled"]
    own.drop(horizon)
    latest.drop(late)


@pytest.mark.promise(164)
def test_a_timestamp_and_filters(own: Fed, kinesis: Any, name: str) -> None:
    arn = stream(kinesis, name)
    put(kinesis, name, '{"n": 1}')
    time.sleep(1.1)  # moto's records have whole seconds
    moment = time.time()
    put(kinesis, name, '{"n": 1}', "text", '{"n": 2}', '{"n": 1}')
    criteria = {"Filters": [{"Pattern": json.dumps({"data": {"n": [1]}})}]}
    uuid = own.map(
        arn, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment - 0.5, FilterCriteria=criteria
    )
    own.wait(2)
    put(kinesis, name, '{"n": 1}')
    own.wait(3)
    assert texts(own) == ['{"n": 1}'] * 3
    own.drop(uuid)


@pytest.mark.promise(165)
def test_a_batch_that_fails_is_split_retried_and_reported(
    own: Fed, kinesis: Any, sqs: Any, name: str
) -> None:
    arn = stream(kinesis, name)
    dead = sqs.create_queue(QueueName=name)["QueueUrl"]
    numbers = put(kinesis, name, "a", "b", "fail", "c")
    uuid = own.map(
        arn, StartingPosition="TRIM_HORIZON", BisectBatchOnFunctionError=True, MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:000000000000:{name}"}},
    )  # fmt: skip
    message = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=20)["Messages"][0]
    report = json.loads(message["Body"])
    context = report["requestContext"]
    assert (context["condition"], context["functionArn"]) == (
        "RetryAttemptsExhausted", f"arn:aws:lambda:{REGION}:000000000000:function:{own.name}",
    )  # fmt: skip
    info = report["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"], info["streamArn"]) == (
        numbers[2], numbers[2], 1, arn,
    )  # fmt: skip
    assert report["responseContext"] == {
        "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled",
    }  # fmt: skip
    assert "payload" not in report
    put(kinesis, name, "d")
    until(lambda: "d" in texts(own), what="what comes after it")
    batches = [
        [base64.b64decode(r["kinesis"]["data"]).decode() for r in event["Records"]] for event in own.events()
    ]
    assert [batch for batch in batches if "fail" not in batch] == [["a", "b"], ["c"], ["d"]]
    assert [batch for batch in batches if batch == ["fail"]] == [["fail"]] * 2
    until(lambda: own.result(uuid) == "OK", what="OK")
    own.drop(uuid)


@pytest.mark.promise(165)
def test_a_report_of_items_is_the_checkpoint(own: Fed, kinesis: Any, name: str) -> None:
    arn = stream(kinesis, name)
    put(kinesis, name, "a", "bad", "b")
    uuid = own.map(arn, StartingPosition="TRIM_HORIZON", FunctionResponseTypes=["ReportBatchItemFailures"])
    until(lambda: texts(own).count("bad") >= 3, what="three attempts")
    own.gate.touch()
    until(lambda: own.result(uuid) == "OK", what="OK")
    assert texts(own).count("a") == 1
    assert texts(own)[:5] == ["a", "bad", "b", "bad", "b"]
    own.drop(uuid)


@pytest.mark.promise(165)
def test_a_bucket_gets_the_records_too(own: Fed, moto: str, kinesis: Any, name: str) -> None:
    arn = stream(kinesis, name)
    s3 = at(moto, "s3")
    s3.create_bucket(Bucket=name)
    put(kinesis, name, "fail")
    uuid = own.map(
        arn, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{name}"}},
    )  # fmt: skip
    found = until(lambda: s3.list_objects_v2(Bucket=name).get("Contents"), what="the report")
    shard = described(kinesis, name)["Shards"][0]["ShardId"]
    assert found[0]["Key"].startswith(f"aws/lambda/{uuid}/{shard}/{time.strftime('%Y/', time.gmtime())}")
    report = json.loads(s3.get_object(Bucket=name, Key=found[0]["Key"])["Body"].read())
    assert report["requestContext"]["approximateInvokeCount"] == 1
    assert report["payload"]["Records"] == own.records()
    own.drop(uuid)


@pytest.mark.promise(166)
def test_parallel_batches_keep_the_order_of_each_key(server: Served, kinesis: Any, name: str) -> None:
    own = Fed(server, server.log.parent, Timeout=60)
    arn = stream(kinesis, name)
    uuid = own.map(arn, StartingPosition="TRIM_HORIZON", BatchSize=2, ParallelizationFactor=10)
    keys = "abcdefghij"
    for n in range(4):
        for key in keys:
            put(kinesis, name, f"wait {key}{n}", key=key)
    until(lambda: len(own.events()) > 1, what="several batches at once")
    own.gate.touch()
    own.wait(40)
    for key in keys:
        assert [text for text in texts(own) if text[5] == key] == [f"wait {key}{n}" for n in range(4)]
    own.drop(uuid)


@pytest.mark.promise(167)
def test_tumbling_windows_hand_on_their_state(server: Served, kinesis: Any, name: str) -> None:
    fed = Fed(server, server.log.parent, WINDOWED)
    arn = stream(kinesis, name)
    uuid = fed.map(arn, StartingPosition="TRIM_HORIZON", BatchSize=2, TumblingWindowInSeconds=3)
    put(kinesis, name, *map(str, range(1, 6)))
    finals = until(
        lambda: [each for each in fed.events() if each["isFinalInvokeForWindow"]], what="a window's end"
    )
    events = fed.events()
    total = sum(each["state"]["sum"] for each in events if each["isFinalInvokeForWindow"])
    until(lambda: len(fed.records()) == 5, what="all records")
    assert total == 15 or len(finals) > 1
    assert events[0]["state"] == {}
    assert events[0]["eventSourceARN"] == arn
    assert events[0]["shardId"] == described(kinesis, name)["Shards"][0]["ShardId"]
    assert events[0]["isWindowTerminatedEarly"] is False
    begin, end = (time.strptime(events[0]["window"][side], "%Y-%m-%dT%H:%M:%SZ") for side in ("start", "end"))
    assert time.mktime(end) - time.mktime(begin) == 3
    fed.drop(uuid)


@pytest.mark.promise(168)
def test_a_tables_changes(own: Fed, moto: str, name: str) -> None:
    dynamodb = at(moto, "dynamodb")
    arn = dynamodb.create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]  # fmt: skip
    dynamodb.put_item(TableName=name, Item={"id": {"S": "before"}})
    latest = Fed(own.server, own.server.log.parent)
    late = latest.map(arn, StartingPosition="LATEST")
    criteria = {"Filters": [{"Pattern": json.dumps({"eventName": ["INSERT", "REMOVE"]})}]}
    uuid = own.map(arn, StartingPosition="TRIM_HORIZON", FilterCriteria=criteria)
    own.wait(1)
    dynamodb.put_item(TableName=name, Item={"id": {"S": "x"}, "n": {"N": "1"}, "b": {"B": b"\x00"}})
    dynamodb.put_item(TableName=name, Item={"id": {"S": "x"}, "n": {"N": "2"}})
    dynamodb.delete_item(TableName=name, Key={"id": {"S": "x"}})
    own.wait(3)
    latest.wait(3)
    assert [record["eventName"] for record in own.records()] == ["INSERT", "INSERT", "REMOVE"]
    assert [record["eventName"] for record in latest.records()] == ["INSERT", "MODIFY", "REMOVE"]
    record = own.records()[1]
    change = record.pop("dynamodb")
    assert abs(change.pop("ApproximateCreationDateTime") - time.time()) < 60
    assert change.pop("SequenceNumber") and change.pop("SizeBytes")
    assert change == {
        "Keys": {"id": {"S": "x"}}, "NewImage": {"id": {"S": "x"}, "n": {"N": "1"}, "b": {"B": "AA=="}},
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }  # fmt: skip
    assert record.pop("eventID")
    assert record == {
        "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": REGION,
        "eventSourceARN": arn,
    }  # fmt: skip
    own.drop(uuid)
    latest.drop(late)


@pytest.mark.promise(161)
def test_a_deleted_stream_and_one_that_was_never_there(own: Fed, kinesis: Any, name: str) -> None:
    arn = stream(kinesis, name)
    missing = arn + "-none"
    found = refused(
        own.api.create_event_source_mapping,
        FunctionName=own.name,
        EventSourceArn=missing,
        StartingPosition="LATEST",
    )
    assert found == ("InvalidParameterValueException", f"Stream not found: {missing}")
    uuid = own.map(arn, StartingPosition="TRIM_HORIZON")
    put(kinesis, name, "a")
    own.wait(1)
    kinesis.delete_stream(StreamName=name)
    until(lambda: own.result(uuid) == f"PROBLEM: Event source not found: {arn}", what="the words")
    assert own.get(uuid)["State"] == "Enabled"
    stream(kinesis, name)
    put(kinesis, name, "b")
    own.wait(2)
    assert texts(own) == ["a", "b"]
    until(lambda: own.result(uuid) == "OK", what="the recovery")
    own.drop(uuid)


@pytest.mark.promise(154)
def test_a_queue_of_another_endpoint(moto: str, tmp_path: Path, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", moto)
        served = Served(tmp_path / "state")
    try:
        sqs = at(moto, "sqs")
        url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "3"})["QueueUrl"]
        fed = Fed(served, tmp_path)
        criteria = {"Filters": [{"Pattern": '{"body": [{"anything-but": "no"}]}'}]}
        uuid = fed.map(
            f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", BatchSize=20, MaximumBatchingWindowInSeconds=1,
            FunctionResponseTypes=["ReportBatchItemFailures"], FilterCriteria=criteria,
        )  # fmt: skip
        for body in ["a", "no", "bad", *map(str, range(20))]:
            sqs.send_message(QueueUrl=url, MessageBody=body)
        until(lambda: fed.bodies().count("bad") >= 2, 60, "the item that failed")
        fed.gate.touch()

        def left() -> int:
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            return int(found["ApproximateNumberOfMessages"]) + int(
                found["ApproximateNumberOfMessagesNotVisible"]
            )

        until(lambda: left() == 0, 60, "the deletion")
        assert set(fed.bodies()) == {"a", "bad", *map(str, range(20))}
        assert fed.bodies().count("a") == 1
        fed.update(uuid, Enabled=False)
        sqs.delete_queue(QueueUrl=url)
        fed.update(uuid, Enabled=True)
        until(lambda: fed.result(uuid).startswith("PROBLEM: Event source not found"), 60, "the words")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="again")
        until(lambda: "again" in fed.bodies(), 60, "the recovery")
    finally:
        assert served.stop() == 0
