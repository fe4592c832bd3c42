"""FilterCriteria over records: AWS's table of what data and pattern come to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.routing.grammar import InvalidPattern
from engine.sources.filters import Filters

JSON_DATA, TEXT_DATA = '{"kind": "order", "n": 3}', "an order"


def filters(*patterns: Any, kind: str = "sqs") -> Filters:
    return Filters(kind, {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]})


@pytest.mark.promise(156)
@pytest.mark.parametrize(
    ("pattern", "data", "passes"),
    [
        ({"body": {"kind": ["order"]}}, JSON_DATA, True),
        ({"body": {"kind": ["other"]}}, JSON_DATA, False),
        ({"body": {"n": [{"numeric": [">", 2, "<=", 3]}]}}, JSON_DATA, True),
        ({"body": {"absent": [{"exists": False}]}}, JSON_DATA, True),
        ({"body": ["an order"]}, TEXT_DATA, True),
        ({"body": [{"prefix": "an"}]}, TEXT_DATA, True),
        ({"body": ["another"]}, TEXT_DATA, False),
        # What is asked for in JSON is not in a text, not even that it is absent; nor a text in JSON.
        ({"body": {"kind": ["order"]}}, TEXT_DATA, False),
        ({"body": {"absent": [{"exists": False}]}}, TEXT_DATA, False),
        ({"body": {"absent": [{"exists": False}]}}, "[1]", False),
        ({"body": {"absent": [{"exists": False}]}}, '{"broken', False),
        ({"body": [{"prefix": "{"}]}, JSON_DATA, False),
        ({"messageId": ["m"]}, TEXT_DATA, True),
        ({"messageId": ["m"]}, JSON_DATA, True),
        ({"messageId": ["other"]}, JSON_DATA, False),
        ({"messageId": ["m"], "body": {"n": [3]}}, JSON_DATA, True),
        ({"$or": [{"body": {"n": [9]}}, {"body": ["an order"]}]}, TEXT_DATA, True),
        ({"$or": [{"body": {"n": [9]}}, {"body": {"kind": ["order"]}}]}, JSON_DATA, True),
    ],
)
def test_a_queues_message(pattern: Any, data: str, passes: bool) -> None:
    record = {"messageId": "m", "body": data}
    assert filters(pattern).passes(record, data) is passes


def test_one_of_several_is_enough_and_none_takes_all() -> None:
    both = filters({"body": {"n": [1]}}, {"body": {"n": [3]}})
    assert both.passes({}, JSON_DATA)
    assert not both.passes({}, '{"n": 2}')
    assert Filters("sqs", None).passes({}, TEXT_DATA)
    assert Filters("sqs", {}).passes({}, TEXT_DATA)
    assert not Filters("sqs", {"Filters": []})


@pytest.mark.promise(156)
def test_a_streams_record() -> None:
    record = {"partitionKey": "p", "data": "base64", "eventName": "aws:kinesis:record"}
    kinesis = filters({"data": {"kind": ["order"]}, "partitionKey": ["p"]}, kind="kinesis")
    assert kinesis.passes(record, JSON_DATA.encode())
    assert not kinesis.passes(record, b"\xff\xfe")
    assert filters({"partitionKey": ["p"]}, kind="kinesis").passes(record, b"\xff\xfe")
    with pytest.raises(InvalidPattern):
        filters({"data": ["text"]}, kind="kinesis")
    table = filters({"eventName": ["INSERT"], "dynamodb": {"NewImage": {"n": {"N": ["3"]}}}}, kind="dynamodb")
    inserted = {"eventName": "INSERT", "dynamodb": {"NewImage": {"n": {"N": "3"}}}}
    assert table.passes(inserted)
    assert not table.passes({**inserted, "eventName": "REMOVE"})
