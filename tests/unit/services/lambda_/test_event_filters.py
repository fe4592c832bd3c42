"""The filters of event source mappings: which patterns AWS was recorded to take and to refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from control_plane import REGION, Plane, invalid
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.faults import Fault
from engine.services.lambda_ import event_source_kinds

QUEUE = {"FunctionName": "f", "EventSourceArn": f"arn:aws:sqs:{REGION}:111111111111:queue"}
BAD_PATTERN = invalid("Invalid filter pattern definition.")


@pytest.fixture
def plane(plane: Plane) -> Plane:
    plane.create()
    return plane


@pytest.mark.parametrize(
    "pattern",
    ["null", "simple string", '"s"', "[]", "{}", '{"eventSource":"aws:sqs"}', '{"eventSource":[]}', '{"a":{}}',
     '{"a":{"b":1}}', '{"a":[["b"]]}', '[{"eventName": ["INSERT"=123}]'],
)  # fmt: skip
def test_what_is_no_filter(plane: Plane, pattern: str) -> None:
    criteria = {"Filters": [{"Pattern": pattern}]}
    refused = plane.refused("CreateEventSourceMapping", **QUEUE, FilterCriteria=criteria)
    assert refused == BAD_PATTERN
    uuid = plane.call("CreateEventSourceMapping", **QUEUE)["UUID"]
    assert plane.refused("UpdateEventSourceMapping", UUID=uuid, FilterCriteria=criteria) == BAD_PATTERN


@pytest.mark.parametrize(
    "pattern",
    [
        {"body": {"testItem": ["test24", "test45"], "test2": ["go"]}},
        {"body": {"test2": [{"exists": True}]}},
        {"body": {"n": [{"numeric": [">=", 100, "<", 200]}, {"anything-but": "101"}]}},
        {"dynamodb": {"NewImage": {"prefix": {"S": [{"prefix": "us-1"}]}}}},
        {"$or": [{"a": [1]}, {"b": [None]}]},
    ],
)
def test_what_is_a_filter(plane: Plane, pattern: dict[str, Any]) -> None:
    criteria = {"Filters": [{"Pattern": json.dumps(pattern)}]}
    assert (
        plane.call("CreateEventSourceMapping", **QUEUE, FilterCriteria=criteria)["FilterCriteria"] == criteria
    )


def test_no_filters_are_none(plane: Plane) -> None:
    assert "FilterCriteria" not in plane.call(
        "CreateEventSourceMapping", **QUEUE, FilterCriteria={"Filters": []}
    )


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
OPERATORS = st.booleans().map(lambda there: {"exists": there}) | st.text(max_size=3).map(
    lambda text: {"prefix": text}
)
LEAVES = st.lists(SCALARS | OPERATORS, min_size=1, max_size=3)
PATTERNS = st.recursive(
    st.dictionaries(st.text(max_size=3), LEAVES, min_size=1, max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), LEAVES | inner, min_size=1, max_size=3),
    max_leaves=6,
)


def accepted(text: str) -> bool:
    request = {"FilterCriteria": {"Filters": [{"Pattern": text}]}}
    settings = event_source_kinds.merged("sqs", event_source_kinds.defaults("sqs", "u", request), request)
    try:
        event_source_kinds.check("sqs", request, settings)
    except Fault as fault:
        assert (fault.code, fault.message) == BAD_PATTERN
        return False
    return True


@given(PATTERNS)
def test_every_pattern_is_accepted(pattern: dict[str, Any]) -> None:
    assert accepted(json.dumps(pattern))


@given(st.text(max_size=20) | SCALARS.map(json.dumps) | st.lists(SCALARS).map(json.dumps))
def test_what_is_no_object_is_refused(text: str) -> None:
    try:
        is_object = isinstance(json.loads(text), dict)
    except ValueError:
        is_object = False
    assert is_object or not accepted(text)
