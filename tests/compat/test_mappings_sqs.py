"""Event source mappings of this server's own queues, as boto3 makes them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from delivered import ACCOUNT, queue, received, refused
from mapped import Fed, length, send
from served import REGION, Served
from support import until

INVALID = "InvalidParameterValueException"


@pytest.fixture(scope="module")
def fed(server: Served, tmp_path_factory: pytest.TempPathFactory) -> Fed:
    return Fed(server, shared(server, tmp_path_factory))


def shared(server: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that functions may write to."""
    return server.log.parent


@pytest.fixture
def own(server: Served, tmp_path_factory: pytest.TempPathFactory) -> Fed:
    """A function of the test's own."""
    return Fed(server, shared(server, tmp_path_factory))


@pytest.fixture
def patient(server: Served, tmp_path_factory: pytest.TempPathFactory) -> Fed:
    """One that may take its time."""
    return Fed(server, shared(server, tmp_path_factory), Timeout=20)


@pytest.fixture
def short(sqs: Any, name: str) -> tuple[str, str]:
    """A queue whose messages are hidden for a second. Its URL and ARN."""
    return queue(sqs, name, VisibilityTimeout="1")


@pytest.mark.promise(154)
def test_a_message_becomes_a_record_and_is_deleted(own: Fed, sqs: Any, short: tuple[str, str]) -> None:
    url, arn = short
    uuid = own.map(arn)
    attributes = {
        "colour": {"DataType": "String", "StringValue": "red"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sent = sqs.send_message(QueueUrl=url, MessageBody="hello", MessageAttributes=attributes)
    own.wait(1)
    (record,) = own.records()
    handle, system = record.pop("receiptHandle"), record.pop("attributes")
    assert handle
    assert set(system) == {
        "ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp",
    }  # fmt: skip
    assert system["ApproximateReceiveCount"] == "1"
    empty: dict[str, list[str]] = {"stringListValues": [], "binaryListValues": []}
    assert record == {
        "messageId": sent["MessageId"],
        "body": "hello",
        "messageAttributes": {
            "colour": {"stringValue": "red", **empty, "dataType": "String"},
            "bytes": {"binaryValue": "AP8=", **empty, "dataType": "Binary"},
        },
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "md5OfBody": sent["MD5OfMessageBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    }
    until(lambda: length(sqs, url) == 0, what="the deletion")
    shown = own.get(uuid)
    assert (shown["State"], shown["StateTransitionReason"]) == ("Enabled", "USER_INITIATED")
    assert "LastProcessingResult" not in shown
    own.drop(uuid)


@pytest.mark.promise(155)
def test_what_fails_comes_again_and_is_dead_in_the_end(own: Fed, sqs: Any, name: str) -> None:
    dead, dead_arn = queue(sqs, f"{name}-dead")
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, arn = queue(sqs, name, VisibilityTimeout="1", RedrivePolicy=policy)
    uuid = own.map(arn)
    send(sqs, url, "fail")
    assert received(sqs, dead)[0]["Body"] == "fail"
    counts = [record["attributes"]["ApproximateReceiveCount"] for record in own.records()]
    assert counts == ["1", "2"]
    assert own.result(uuid) == "PROBLEM: Function call failed"
    send(sqs, url, "good")
    until(lambda: own.result(uuid) == "", what="a result that is none")
    assert length(sqs, url) == 0
    own.drop(uuid)


@pytest.mark.promise(155)
def test_only_reported_items_come_again(own: Fed, sqs: Any, short: tuple[str, str]) -> None:
    url, arn = short
    uuid = own.map(arn, FunctionResponseTypes=["ReportBatchItemFailures"], Enabled=False)
    send(sqs, url, "a", "bad", "b")
    own.update(uuid, Enabled=True)
    until(lambda: own.bodies().count("bad") >= 2, what="the item that failed")
    assert own.bodies().count("a") == own.bodies().count("b") == 1
    own.gate.touch()
    until(lambda: length(sqs, url) == 0, what="the end")
    own.drop(uuid)


@pytest.mark.promise(156)
def test_filters_choose_and_the_rest_is_deleted(own: Fed, sqs: Any, short: tuple[str, str]) -> None:
    url, arn = short
    criteria = {
        "Filters": [{"Pattern": json.dumps({"body": {"kind": ["order"], "n": [{"numeric": [">", 2]}]}})}]
    }
    uuid = own.map(arn, FilterCriteria=criteria)
    send(
        sqs,
        url,
        *(json.dumps({"kind": kind, "n": n}) for kind in ("order", "other") for n in range(5)),
        "order",
    )
    own.wait(2)
    until(lambda: length(sqs, url) == 0, what="the deletion of the others")
    assert sorted(json.loads(body)["n"] for body in own.bodies()) == [3, 4]
    own.drop(uuid)


@pytest.mark.promise(157)
def test_a_window_gathers_and_is_not_waited_for_in_vain(own: Fed, sqs: Any, short: tuple[str, str]) -> None:
    url, arn = short
    uuid = own.map(arn, BatchSize=40, MaximumBatchingWindowInSeconds=300)
    send(sqs, url, *map(str, range(40)))
    own.wait(40)
    assert [len(event["Records"]) for event in own.events()] == [40]
    own.update(uuid, BatchSize=40, MaximumBatchingWindowInSeconds=2)
    send(sqs, url, *map(str, range(7)))
    own.wait(47)
    assert [len(event["Records"]) for event in own.events()] == [40, 7]
    until(lambda: length(sqs, url) == 0, what="the deletion")
    own.drop(uuid)


@pytest.mark.promise(157)
def test_an_event_has_6_mb_at_most(patient: Fed, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name, VisibilityTimeout="60")
    uuid = patient.map(arn, Enabled=False)
    for n in range(8):
        send(sqs, url, str(n) + "x" * 1_000_000)
    patient.update(uuid, Enabled=True)
    patient.wait(8)
    assert sorted(body[0] for body in patient.bodies()) == list("01234567")
    assert max(len(json.dumps(event)) for event in patient.events()) < 6 * 1024 * 1024
    assert max(len(event["Records"]) for event in patient.events()) >= 3
    patient.drop(uuid)


@pytest.mark.promise(158)
def test_a_groups_messages_are_in_order_and_one_batch_at_a_time(patient: Fed, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, f"{name}.fifo", FifoQueue="true", VisibilityTimeout="30")
    uuid = patient.map(arn, BatchSize=2, Enabled=False)
    for n in range(4):
        for group in "ab":
            send(sqs, url, f"wait {group}{n}", group=group)
    patient.update(uuid, Enabled=True)
    until(lambda: len(patient.events()) == 2, what="a batch of each group")
    assert [{record["body"][5] for record in event["Records"]} for event in patient.events()] in (
        [{"a"}, {"b"}], [{"b"}, {"a"}],
    )  # fmt: skip
    patient.gate.touch()
    patient.wait(8)
    for group in "ab":
        assert [body for body in patient.bodies() if body[5] == group] == [
            f"wait {group}{n}" for n in range(4)
        ]
    record = patient.records()[0]["attributes"]
    assert {"SequenceNumber", "MessageGroupId", "MessageDeduplicationId"} <= set(record)
    until(lambda: length(sqs, url) == 0, what="the deletion")
    patient.drop(uuid)


@pytest.mark.promise(159)
def test_no_more_run_at_once_than_the_mapping_may(patient: Fed, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name, VisibilityTimeout="30")
    uuid = patient.map(arn, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2}, Enabled=False)
    send(sqs, url, *(f"wait {n}" for n in range(12)))
    patient.update(uuid, Enabled=True)
    patient.wait(2)
    invisible = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert invisible["ApproximateNumberOfMessagesNotVisible"] == "2"  # the others are nobody's yet
    patient.gate.touch()
    patient.wait(12)
    patient.drop(uuid)


@pytest.mark.promise(159)
def test_a_throttled_function_loses_nothing(own: Fed, sqs: Any, short: tuple[str, str]) -> None:
    url, arn = short
    own.api.put_function_concurrency(FunctionName=own.name, ReservedConcurrentExecutions=0)
    uuid = own.map(arn)
    send(sqs, url, *map(str, range(20)))
    until(lambda: own.result(uuid).startswith("PROBLEM"), what="the throttle")
    own.api.put_function_concurrency(FunctionName=own.name, ReservedConcurrentExecutions=1)
    own.wait(20)
    assert {record["attributes"]["ApproximateReceiveCount"] for record in own.records()} == {"1"}
    until(lambda: length(sqs, url) == 0, what="the deletion")
    own.drop(uuid)


@pytest.mark.promise(160)
def test_states_follow_what_runs(patient: Fed, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name, VisibilityTimeout="30")
    uuid = patient.map(arn, BatchSize=1)
    send(sqs, url, "wait 1")
    patient.wait(1)
    patient.api.update_event_source_mapping(UUID=uuid, Enabled=False)
    send(sqs, url, "2")
    assert patient.get(uuid)["State"] == "Disabling"  # until the batch in flight is done
    patient.gate.touch()
    patient.reaches(uuid, "Disabled")
    assert length(sqs, url) == 1
    assert patient.bodies() == ["wait 1"]
    patient.update(uuid, Enabled=True, BatchSize=5)
    assert patient.get(uuid)["BatchSize"] == 5
    patient.wait(2)
    patient.gate.unlink()
    send(sqs, url, "wait 3")
    patient.wait(3)
    patient.api.delete_event_source_mapping(UUID=uuid)
    assert patient.get(uuid)["State"] == "Deleting"
    patient.gate.touch()
    until(
        lambda: uuid not in str(patient.api.list_event_source_mappings(FunctionName=patient.name)),
        what="the end",
    )
    until(lambda: length(sqs, url) == 0, what="the settling of what was in flight")


@pytest.mark.promise(161)
def test_a_deleted_function_and_a_deleted_queue(own: Fed, fed: Fed, sqs: Any, name: str) -> None:
    url, arn = queue(sqs, name, VisibilityTimeout="1")
    other, other_arn = queue(sqs, f"{name}-other", VisibilityTimeout="1")
    uuid, neighbour = own.map(arn), fed.map(other_arn)
    own.api.delete_function(FunctionName=own.name)
    until(lambda: own.result(uuid).startswith("PROBLEM: Function not found"), what="the words")
    send(sqs, url, "later")
    before = len(fed.records())
    send(sqs, other, "now")
    fed.wait(before + 1)
    own.create()
    own.wait(1)
    assert own.records()[0]["attributes"]["ApproximateReceiveCount"] == "1"
    until(lambda: own.result(uuid) == "", what="the recovery")
    sqs.delete_queue(QueueUrl=url)
    until(lambda: own.result(uuid) == f"PROBLEM: Event source not found: {arn}", what="the words")
    send(sqs, other, "still")
    fed.wait(before + 2)
    own.drop(uuid)
    fed.drop(neighbour)


@pytest.mark.promise(162)
def test_what_is_refused(fed: Fed, sqs: Any, name: str) -> None:
    _, arn = queue(sqs, name, VisibilityTimeout="0")
    fifo = queue(sqs, f"{name}.fifo", FifoQueue="true")[1]

    def create(source: str, **more: Any) -> tuple[str, str]:
        return refused(
            fed.api.create_event_source_mapping, FunctionName=fed.name, EventSourceArn=source, **more
        )

    assert create(arn) == (
        INVALID, "Queue visibility timeout: 0 seconds is less than Function timeout: 1 seconds",
    )  # fmt: skip
    assert create(f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-none") == (
        INVALID,
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
        "SQS Error Message: The specified queue does not exist.",
    )
    text = "Batching window is not supported for FIFO queues"
    assert create(fifo, MaximumBatchingWindowInSeconds=1) == (INVALID, text)
    text = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    assert create(arn, BatchSize=11) == (INVALID, text)


LOOP = """
import json, os, urllib.request
def handler(event, context):
    with open(NOTE, "a") as file:
        file.write(json.dumps(event) + "\\n")
    for record in event["Records"]:
        body = json.dumps({"QueueUrl": record["body"], "MessageBody": record["body"]}).encode()
        trace = os.environ["_X_AMZN_TRACE_ID"]
        headers = {"X-Amz-Target": "AmazonSQS.SendMessage", "X-Amzn-Trace-Id": trace}
        urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], body, headers)).read()
"""


@pytest.mark.promise(161)
def test_a_loop_through_a_queue_is_stopped(server: Served, sqs: Any, name: str) -> None:
    fed = Fed(server, server.log.parent, LOOP, Timeout=10)
    _, dead_arn = queue(sqs, f"{name}-dead")
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1})
    url, arn = queue(sqs, name, VisibilityTimeout="10", RedrivePolicy=policy)
    uuid = fed.map(arn)
    send(sqs, url, url)

    def dropped() -> int:
        with urllib.request.urlopen(f"{server.url}/_stoker/health") as response:
            counts: dict[str, int] = json.load(response)["mappings"]
        return counts.get("RecursiveInvocationsDropped", 0)

    until(dropped, what="the end of the loop")
    assert len(fed.events()) == 16
    fed.drop(uuid)
    assert length(sqs, url) == 1
