"""Records of Kafka and RabbitMQ, without a broker: what their filters see, what no event has room for, their forms."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from engine.aws.names import Place
from engine.sources import brokers, reports
from engine.sources.filters import Filters
from engine.sources.kafka.partition import rules_of
from engine.sources.kafka.records import Frame, shown
from engine.sources.rabbitmq.records import date
from engine.sources.settings import Settings
from engine.sources.streams.flow import Flow
from engine.sources.streams.records import TOO_LARGE, Record, Rules

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"


def settings(**more: Any) -> Settings:
    record = {
        "UUID": "u",
        "FunctionArn": ARN,
        "_kind": "kafka",
        "BatchSize": 100,
        "Topics": ["orders"],
        **more,
    }
    return Settings.of(Place("us-east-1", "000000000000"), record)


@pytest.mark.promise(242)
@pytest.mark.parametrize(
    ("pattern", "key", "value", "passes"),
    [
        ({"value": {"n": [1]}}, None, b'{"n": 1}', True),
        ({"value": {"n": [1]}}, None, b'{"n": 2}', False),
        ({"value": {"n": [1]}}, None, b"text", True),
        ({"value": {"n": [1]}}, None, b"\xff", True),
        ({"value": ["text"]}, None, b"text", True),
        ({"value": ["text"]}, None, b"other", False),
        ({"value": ["text"]}, None, b'{"n": 1}', True),
        ({"value": {"n": [1]}, "partition": [7]}, None, b"text", False),
        ({"value": {"n": [1]}, "key": ["k"]}, b"k", b'{"n": 1}', True),
        ({"value": {"n": [1]}, "key": ["k"]}, b"other", b'{"n": 1}', False),
        ({"value": {"n": [1]}, "key": ["k"]}, b"\xff", b'{"n": 1}', True),
        ({"value": {"n": [1]}, "key": ["k"]}, b"other", b"text", False),
        ({"$or": [{"value": {"n": [1]}}, {"partition": [7]}]}, None, b"text", True),
        ({"$or": [{"partition": [6]}, {"partition": [7]}], "value": {"n": [1]}}, None, b"text", False),
    ],
)
def test_data_of_another_kind_is_not_asked_for(
    pattern: Any, key: bytes | None, value: bytes, passes: bool
) -> None:
    filters = Filters("kafka", {"Filters": [{"Pattern": json.dumps(pattern)}]})
    assert filters.passes({"partition": 0, "offset": 1}, {"key": key, "value": value}) is passes


@pytest.mark.promise(242)
def test_messages_are_filtered_by_their_data_and_properties() -> None:
    filters = Filters("mq", {"Filters": [{"Pattern": '{"data": {"n": [1]}, "redelivered": [false]}'}]})
    assert filters.passes({"redelivered": False}, b'{"n": 1}')
    assert filters.passes({"redelivered": False}, b"text")
    assert not filters.passes({"redelivered": True}, b"text")
    assert not filters.passes({"redelivered": False}, b'{"n": 2}')


@pytest.mark.promise(243)
@pytest.mark.parametrize(
    ("identifier", "failed"),
    [
        ({"partition": "orders-0", "offset": 7}, {"7"}),
        ({"partition": "orders-1", "offset": 7}, None),
        ({"partition": "orders-0", "offset": 9}, None),
        ({"partition": "orders-0", "offset": "7"}, None),
        ({"partition": "orders-0", "offset": True}, None),
        ({"partition": "orders-0"}, None),
        ("7", None),
        (None, None),
    ],
)
def test_an_item_is_named_by_partition_and_offset(identifier: Any, failed: set[str] | None) -> None:
    frame = Frame(settings(), ["127.0.0.1:9092"], 0)
    response = json.dumps({"batchItemFailures": [{"itemIdentifier": identifier}]}).encode()
    assert reports.failed(response, {"1", "7"}, frame.id_of) == failed


@pytest.mark.promise(243)
def test_a_destination_ends_retries_and_the_window_has_a_default() -> None:
    plain, given = settings(), settings(DestinationConfig={"OnFailure": {"Destination": "kafka://dead"}})
    frame = Frame(plain, ["a:1"], 0)
    assert (rules_of(plain, frame).retries, rules_of(given, frame).retries) == (-1, 10)
    assert rules_of(settings(MaximumRetryAttempts=3), frame).retries == 3
    assert (plain.window, settings(MaximumBatchingWindowInSeconds=0).window) == (0.5, 0.0)
    assert (plain.group, plain.name) == ("u", "orders")
    own = settings(SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "g"})
    assert own.group == "g"


@pytest.mark.promise(157, 165)
def test_a_record_that_no_event_has_room_for_is_given_up_and_what_follows_goes_on() -> None:
    flow = Flow(Rules(batch_size=2))
    for number in range(3):
        flow.feed(Record(str(number), "", b"{}", 1.0), 1.0)
    (made,) = flow.next(1.0)
    flow.too_large(made)
    (given,) = flow.given_up()
    assert (given.condition, [record.id for record in given.piece.records]) == (TOO_LARGE, ["0", "1"])
    assert flow.next(1.0) == []
    flow.noted(given)
    (made,) = flow.next(1.0)
    assert [record.id for record in made.records] == ["2"]
    assert flow.checkpoint().sequence == "1"


@pytest.mark.promise(157)
def test_no_more_is_read_ahead_than_a_few_events_have() -> None:
    flow = Flow(Rules(batch_size=10_000))
    record = b"x" * (1 << 20)
    while flow.room:
        flow.feed(Record("0", "", record, 1.0), 1.0)
    assert 12 <= len(flow) <= 13


@pytest.mark.promise(246)
def test_a_date_as_javas_clients_print_it() -> None:
    assert date(datetime.fromtimestamp(2021, UTC)) == "Jan 1, 1970, 12:33:41 AM"
    east = timezone(timedelta(hours=2))
    assert date(datetime(2026, 11, 29, 23, 5, 9, tzinfo=east)) == "Nov 29, 2026, 9:05:09 PM"
    assert date(datetime(2026, 11, 29, 12, 0, 0)) == "Nov 29, 2026, 12:00:00 PM"


@pytest.mark.promise(246)
def test_where_brokers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(brokers.VARIABLE, " arn:a=h:1,h:2 arn:b:*=amqp://h:5672/ ")
    assert brokers.named("arn:a") == "h:1,h:2"
    assert brokers.named("arn:b:c") == "amqp://h:5672/"
    assert brokers.named("arn:ab") == ""
    monkeypatch.delenv(brokers.VARIABLE)
    assert brokers.named("arn:a") == ""


@pytest.mark.promise(321)
@pytest.mark.parametrize(
    "members",
    [
        {},
        {"key": b"k", "timestamp_type": 1},
        {"key": b"", "value": b"", "timestamp_type": None},
        {"value": None, "headers": (("h", b"\x00\xff"), ('"%d', None))},
    ],
)
def test_an_event_has_records_of_kafka_as_filters_see_them(members: dict[str, Any]) -> None:
    from aiokafka.structs import ConsumerRecord

    record = {"key": None, "value": b"\xff" * 100, "timestamp_type": 0, "headers": (), **members}
    raw = ConsumerRecord(
        'a "%s" topic', 3, 2**40, 1700000000123, record["timestamp_type"], record["key"], record["value"], None, -1, -1,
        record["headers"],
    )  # fmt: skip
    made = Frame(settings(Topics=['a "%s" topic']), ["h:1"], 3).record(raw)
    assert json.loads(made.json) == shown(raw)
    assert (made.id, made.arrived) == (str(2**40), 1700000000.123)
    assert base64.b64decode(made.group) == (record["key"] or b"")
