"""Event source mappings of Kafka topics, with a broker that speaks its protocol.

A member of a consumer group waits for seconds until it has its partitions: the mappings of most tests begin together.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from brokered import BrokerFed, records, text
from kafka_and_rabbitmq import Kafka
from served import REGION, Served
from support import until

CLUSTER = f"arn:aws:kafka:{REGION}:000000000000:cluster/here/0123-4"
QUEUE = f"arn:aws:sqs:{REGION}:000000000000:given-up"
REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
NOW = {"MaximumBatchingWindowInSeconds": 0}
FILTERS = {"FilterCriteria": {"Filters": [{"Pattern": json.dumps({"value": {"n": [1]}, "key": ["k"]})}]}}
# By the topic's name: its partitions, and what its mapping has.
MAPPINGS: dict[str, tuple[int, dict[str, Any]]] = {
    "shape": (2, {}),
    "filters": (1, {**NOW, **FILTERS}),
    "window": (1, {"MaximumBatchingWindowInSeconds": 300, "BatchSize": 3}),
    "queue": (1, {
        **NOW, "MaximumRetryAttempts": 1, "BisectBatchOnFunctionError": True, "BatchSize": 4,
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
    }),
    "topic": (1, {
        **NOW, "MaximumRetryAttempts": 0, "DestinationConfig": {"OnFailure": {"Destination": "kafka://given-up"}},
    }),
    "bucket": (1, {
        **NOW, "MaximumRetryAttempts": 0, "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::given-up"}},
    }),
    "reports": (1, {**NOW, **REPORTS}),
    "paused": (2, {"BatchSize": 5}),
    "throttled": (1, NOW),
    "latest": (1, {**NOW, "StartingPosition": "LATEST"}),
    "shared": (1, {**NOW, "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "group"}}),
    "deleted": (1, NOW),
}  # fmt: skip


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    made = Kafka()
    made.start()
    made.create("given-up")
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(moto: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOKER_BROKERS", f"other=x {CLUSTER[:-2]}*={kafka.servers}")
        served = Served(tmp_path_factory.mktemp("topics") / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


def at(moto: str, service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=moto, region_name=REGION, **keys)


class Mapped:
    def __init__(self, fed: BrokerFed, uuid: str) -> None:
        self.fed, self.uuid = fed, uuid


@pytest.fixture(scope="module")
def mapped(server: Served, kafka: Kafka, moto: str) -> dict[str, Mapped]:
    server.client("sqs").create_queue(QueueName="given-up")
    at(moto, "s3").create_bucket(Bucket="given-up")
    found = {}
    for topic, (partitions, more) in MAPPINGS.items():
        kafka.create(topic, partitions)
        kafka.put(topic, "before", partition=0)
        fed = BrokerFed(server, server.log.parent)
        if topic == "shape":
            made = fed.api.create_event_source_mapping(
                FunctionName=fed.name, EventSourceArn=CLUSTER, Topics=[topic], StartingPosition="TRIM_HORIZON"
            )
            found[topic] = Mapped(fed, made["UUID"])
        else:
            found[topic] = Mapped(fed, fed.topic(kafka.servers, topic, **more))
    for each in found.values():
        each.fed.reaches(each.uuid, "Enabled")
    return found


@pytest.mark.promise(241)
def test_records_as_aws_has_them_and_offsets_behind_them(
    mapped: dict[str, Mapped], server: Served, kafka: Kafka
) -> None:
    fed, uuid = mapped["shape"].fed, mapped["shape"].uuid
    fed.wait(1)
    kafka.put(
        "shape", {"key": "k", "value": '{"a": 1}', "headers": [("h", b"v\xff"), ("h", b"")]}, partition=1
    )
    kafka.put("shape", *map(str, range(50)), partition=0)
    fed.wait(52)
    (record,) = [each for each in fed.records() if each["partition"] == 1]
    assert abs(record.pop("timestamp") / 1e3 - time.time()) < 60
    assert record == {
        "topic": "shape", "partition": 1, "offset": 0, "timestampType": "CREATE_TIME",
        "key": base64.b64encode(b"k").decode(), "value": base64.b64encode(b'{"a": 1}').decode(),
        "headers": [{"h": [118, 255]}, {"h": []}],
    }  # fmt: skip
    for event in fed.events():
        ((name, found),) = event.pop("records").items()
        assert event == {
            "eventSource": "aws:kafka",
            "eventSourceArn": CLUSTER,
            "bootstrapServers": kafka.servers,
        }
        assert {each["partition"] for each in found} == {int(name.removeprefix("shape-"))}
    first = [each["offset"] for each in fed.records() if each["partition"] == 0]
    assert first == list(range(51))
    until(lambda: kafka.committed("shape", uuid, 2) == {0: 51, 1: 1}, what="the offsets")
    shown = fed.get(uuid)
    assert (shown["State"], shown["LastProcessingResult"]) == ("Enabled", "OK")
    assert shown["StateTransitionReason"] == "USER_INITIATED"


@pytest.mark.promise(242)
def test_filters_of_key_and_value(mapped: dict[str, Mapped], kafka: Kafka) -> None:
    fed, uuid = mapped["filters"].fed, mapped["filters"].uuid
    one, two = '{"n": 1}', '{"n": 2}'
    kafka.put("filters", *({"key": key, "value": value} for key, value in (
        ("k", one), ("k", two), ("other", one), ("k", "text"), ("k", b"\xff"), ('{"n": 1}', one), ("k", one),
    )))  # fmt: skip
    # Data of the other kind, and what is no text, counts as if it were not asked for; so "before", without a key, is
    # of no key that the pattern knows.
    until(lambda: fed.texts()[-1:] == [one] and len(fed.texts()) == 5, what="what passes")
    assert fed.texts() == [one, "text", "\ufffd", one, one]
    until(lambda: kafka.committed("filters", uuid) == {0: 8}, what="the offset of all")


@pytest.mark.promise(242)
def test_a_window_is_waited_for_until_the_batch_is_full(mapped: dict[str, Mapped], kafka: Kafka) -> None:
    kafka.put("window", "1")
    kafka.put("window", "2", "3")
    fed = mapped["window"].fed
    fed.wait(3)
    assert fed.batches() == [["before", "1", "2"]]


@pytest.mark.promise(243)
def test_a_batch_that_fails_is_split_retried_and_reported(mapped: dict[str, Mapped], kafka: Kafka) -> None:
    fed, uuid = mapped["queue"].fed, mapped["queue"].uuid
    sqs = fed.server.client("sqs")
    kafka.put("queue", "a", "b", "fail", "c", "d")
    url = sqs.get_queue_url(QueueName="given-up")["QueueUrl"]
    report = json.loads(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]["Body"])
    until(lambda: "d" in fed.texts(), what="what comes after it")
    assert report["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert report["responseContext"]["functionError"] == "Unhandled"
    info = report["KafkaBatchInfo"]
    (described,) = info["recordsInfo"].values()
    assert (info["batchSize"], info["bootstrapServers"]) == (1, kafka.servers)
    assert list(info["recordsInfo"]) == ["queue-0"]
    assert (described["firstRecordOffset"], described["lastRecordOffset"]) == ("3", "3")
    alone = [event for event in fed.events() if [text(each) for each in records(event)] == ["fail"]]
    assert len(alone) == 2
    assert info["payloadSize"] == len(json.dumps(alone[0], separators=(",", ":")))
    assert list(dict.fromkeys(each for each in fed.texts() if each != "fail")) == [
        "before",
        "a",
        "b",
        "c",
        "d",
    ]
    until(lambda: kafka.committed("queue", uuid) == {0: 6}, what="the offset")


@pytest.mark.promise(243)
def test_what_is_given_up_goes_to_a_topic_or_a_bucket(
    mapped: dict[str, Mapped], kafka: Kafka, moto: str
) -> None:
    for topic in ("topic", "bucket"):
        mapped[topic].fed.wait(1)  # so that what fails is in a batch of its own
    kafka.put("topic", {"key": "k", "value": "fail"}, "after")
    (written,) = kafka.read("given-up", 1)
    report = json.loads(written.value)
    assert (written.key, report["requestContext"]["approximateInvokeCount"]) == (b"k", 1)
    assert report["KafkaBatchInfo"]["recordInfo"]["offset"] == "1"
    ((record,),) = report["payload"]["records"].values()
    assert record["value"] == base64.b64encode(b"fail").decode()
    until(lambda: "after" in mapped["topic"].fed.texts(), what="what comes after it")
    kafka.put("bucket", "fail", "x" * (5 << 20), "after")
    until(lambda: "after" in mapped["bucket"].fed.texts(), what="what comes after them")
    s3 = at(moto, "s3")
    found = until(
        lambda: len(each := s3.list_objects_v2(Bucket="given-up").get("Contents", [])) == 2 and each,
        what="the reports",
    )
    bodies = [json.loads(s3.get_object(Bucket="given-up", Key=each["Key"])["Body"].read()) for each in found]
    bodies.sort(key=lambda each: str(each["requestContext"]["condition"]), reverse=True)
    assert [each["requestContext"]["condition"] for each in bodies] == [
        "RetryAttemptsExhausted", "MaximumPayloadSizeExceeded",
    ]  # fmt: skip
    assert bodies[1]["responseContext"] is None
    assert [record["offset"] for body in bodies for record in body["payload"]["records"]["bucket-0"]] == [
        1,
        2,
    ]
    assert found[0]["Key"].startswith(f"aws/lambda/{mapped['bucket'].uuid}/bucket-0/")


@pytest.mark.promise(243)
def test_a_report_of_items_is_where_the_next_attempt_begins(mapped: dict[str, Mapped], kafka: Kafka) -> None:
    fed, uuid = mapped["reports"].fed, mapped["reports"].uuid
    fed.wait(1)
    kafka.put("reports", "a", "bad", "b")
    until(lambda: fed.texts().count("bad") >= 3, what="three attempts")
    assert kafka.committed("reports", uuid)[0] <= 2
    fed.gate.touch()
    until(lambda: kafka.committed("reports", uuid) == {0: 4}, what="the offset")
    assert fed.texts().count("a") == 1
    assert fed.texts()[-2:] == ["bad", "b"] or fed.texts()[-1] == "b"


@pytest.mark.promise(244)
def test_where_it_begins(mapped: dict[str, Mapped], kafka: Kafka, server: Served) -> None:
    latest = mapped["latest"].fed
    kafka.put("latest", "after")
    latest.wait(1)
    moment = time.time()
    kafka.put("latest", "later")
    latest.wait(2)
    assert latest.texts() == ["after", "later"]
    timed, again = (BrokerFed(server, server.log.parent) for _ in range(2))
    uuid = timed.topic(
        kafka.servers, "latest", StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment
    )
    mapped["shared"].fed.wait(1)
    mapped["shared"].fed.drop(mapped["shared"].uuid)
    kafka.put("shared", "new")
    config = {"ConsumerGroupId": "group"}  # which has offsets: they are what counts
    shared = again.topic(kafka.servers, "shared", SelfManagedKafkaEventSourceConfig=config)
    timed.wait(1)
    again.wait(1)
    assert (timed.texts(), again.texts()) == (["later"], ["new"])
    timed.drop(uuid)
    again.drop(shared)


@pytest.mark.promise(245)
def test_a_pause_settles_what_is_in_flight(mapped: dict[str, Mapped], kafka: Kafka) -> None:
    fed, uuid = mapped["paused"].fed, mapped["paused"].uuid
    fed.wait(1)
    kafka.put("paused", "wait", *map(str, range(1, 15)), partition=1)
    until(lambda: "wait" in fed.texts(), what="a batch in flight")
    fed.api.update_event_source_mapping(UUID=uuid, Enabled=False)
    assert fed.get(uuid)["State"] == "Disabling"
    fed.gate.touch()
    fed.reaches(uuid, "Disabled")
    assert kafka.committed("paused", uuid, 2) == {0: 1, 1: 5}
    fed.update(uuid, Enabled=True)
    fed.wait(16)
    assert fed.texts()[1:] == ["wait", *map(str, range(1, 15))]


@pytest.mark.promise(245)
def test_a_function_that_is_throttled_or_deleted_is_waited_for(
    mapped: dict[str, Mapped], kafka: Kafka
) -> None:
    fed, uuid = mapped["throttled"].fed, mapped["throttled"].uuid
    fed.wait(1)
    fed.api.put_function_concurrency(FunctionName=fed.name, ReservedConcurrentExecutions=0)
    kafka.put("throttled", "1")
    until(lambda: fed.result(uuid) == "PROBLEM: Function call failed: Rate Exceeded.", what="the throttle")
    fed.api.delete_function_concurrency(FunctionName=fed.name)
    fed.wait(2)
    fed.api.delete_function(FunctionName=fed.name)
    kafka.put("throttled", "2")
    until(lambda: fed.result(uuid).startswith("PROBLEM: Function not found:"), what="the function's end")
    fed.create()
    fed.wait(3)
    until(lambda: fed.result(uuid) == "OK", what="OK")
    assert fed.texts() == ["before", "1", "2"]


@pytest.mark.promise(245)
def test_a_topic_that_is_deleted_and_a_cluster_that_is_away(
    mapped: dict[str, Mapped], kafka: Kafka, server: Served
) -> None:
    deleted = mapped["deleted"]
    kafka.put("deleted", *"1234")
    deleted.fed.wait(5)
    until(lambda: kafka.committed("deleted", deleted.uuid) == {0: 5}, what="the offset")
    kafka.delete("deleted")
    other = Kafka()
    other.start()
    try:
        other.create("restarted")
        restarted = BrokerFed(server, server.log.parent)
        uuid = restarted.topic(other.servers, "restarted", **NOW)
        other.put("restarted", "1")
        gone = "PROBLEM: Event source not found: topic deleted does not exist."
        until(lambda: deleted.fed.result(deleted.uuid) == gone, 60, "the topic's end")
        assert deleted.fed.get(deleted.uuid)["StateTransitionReason"] == "ESM_CONFIG_NOT_VALID"
        kafka.create("deleted")
        kafka.put("deleted", "after")
        restarted.wait(1)
        other.stop()
        until(lambda: restarted.result(uuid).startswith("PROBLEM: Connection error."), 60, "the broker's end")
        assert restarted.get(uuid)["State"] == "Enabled"
        other.start()
        other.create("restarted")
        other.put("restarted", "2")
        deleted.fed.wait(6)
        restarted.wait(2)
        assert (deleted.fed.texts()[4:], restarted.texts()) == (["4", "after"], ["1", "2"])
        restarted.drop(uuid)
    finally:
        other.close()
