"""What a pipe's input templates make of a record."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from engine.sources.pipes.templates import dynamic, rendered, seen

MESSAGE = {
    "messageId": "m", "body": '{"id": 7, "name": "Ada", "tags": ["a", {"b": 1}]}', "eventSource": "aws:sqs",
    "attributes": {"MessageGroupId": "g"},
}  # fmt: skip
TEXT = {"messageId": "m", "body": 'plain "text"', "eventSource": "aws:sqs"}
RECORD = {
    "partitionKey": "k", "eventSource": "aws:kinesis", "eventID": "shard:1",
    "data": base64.b64encode(b'{"id": 8}').decode(),
}  # fmt: skip
CHANGE = {"eventSource": "aws:dynamodb", "dynamodb": {"Keys": {"id": {"S": "x"}}}}
VARIABLES = {"aws.pipes.pipe-name": "p", "aws.pipes.source-arn": "arn:source"}


@pytest.mark.promise(273)
@pytest.mark.parametrize(
    ("template", "record", "value"),
    [
        ('{"id": <$.body.id>, "name": <$.body.name>}', MESSAGE, {"id": 7, "name": "Ada"}),
        ('{"text": "no. <$.body.id> of <$.body.name>"}', MESSAGE, {"text": "no. 7 of Ada"}),
        ('{"whole": <$.body>}', MESSAGE, {"whole": {"id": 7, "name": "Ada", "tags": ["a", {"b": 1}]}}),
        (
            '{"b": <$.body.tags[1].b>, "group": <$.attributes.MessageGroupId>}',
            MESSAGE,
            {"b": 1, "group": "g"},
        ),
        (
            '{"gone": <$.body.none>, "text": "<$.body.none>!", "in": [<$.none>, 1]}',
            MESSAGE,
            {"text": "!", "in": [1]},
        ),
        ('{"body": <$.body>}', TEXT, {"body": 'plain "text"'}),
        ("<$.body.tags>", MESSAGE, ["a", {"b": 1}]),
        ("Order <$.body.id> of <$.body.name>", MESSAGE, "Order 7 of Ada"),
        ('"Order <$.body.id>"', MESSAGE, "Order 7"),
        ('{"id": <$.data.id>, "key": <$.partitionKey>}', RECORD, {"id": 8, "key": "k"}),
        ('{"id": <$.dynamodb.Keys.id.S>}', CHANGE, {"id": "x"}),
        (
            '{"from": "<aws.pipes.pipe-name>", "of": <aws.pipes.source-arn>}',
            TEXT,
            {"from": "p", "of": "arn:source"},
        ),
        ('{"event": <aws.pipes.event>}', RECORD, {"event": RECORD}),
        ('{"event": <aws.pipes.event.json>}', RECORD, {"event": {**RECORD, "data": {"id": 8}}}),
        ('{"other": <aws.pipes.none>, "text": "\\"<$.body.id>\\" <b>"}', MESSAGE, {"text": '"7" <b>'}),
        ('{"value": <$.body.deep>}', {"body": {"deep": None}}, {"value": None}),
        ('{"value": <$>}', "of an enrichment", {"value": "of an enrichment"}),
    ],
)
def test_templates(template: str, record: Any, value: Any) -> None:
    assert rendered(template, record, VARIABLES) == value


@pytest.mark.promise(273)
def test_data_that_is_no_json_is_as_it_was() -> None:
    raw = base64.b64encode(b"\xff\x00").decode()
    for source, field in (
        ("aws:kinesis", "data"),
        ("aws:kafka", "value"),
        ("SelfManagedKafka", "key"),
        ("aws:rmq", "data"),
    ):
        record = {"eventSource": source, field: raw}
        assert seen(record) == record
        text = {"eventSource": source, field: base64.b64encode(b'"t"').decode()}
        assert seen(text)[field] == "t"
    assert seen(TEXT) == TEXT


def test_dynamic_parameters() -> None:
    assert dynamic("$.body.name", MESSAGE) == "Ada"
    assert dynamic("$.body.tags", MESSAGE) == '["a",{"b":1}]'
    assert dynamic("$.body.none", MESSAGE) == ""
    assert dynamic("name", MESSAGE) == "name"
    assert dynamic("$$.x", MESSAGE) == "$$.x"
