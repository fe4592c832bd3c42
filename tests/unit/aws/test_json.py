"""The JSON protocol, where botocore does not go: targets that are none, and how it reads unlike rest-json."""

from __future__ import annotations

import json
from typing import Any

import pytest
from model_shapes import SERVICES, request

from engine.aws.faults import Fault
from engine.aws.model import Model

LOGS = SERVICES["logs"]
ID = "11111111-2222-3333-4444-555555555555"


def parsed(operation: str, body: bytes, model: Model = LOGS) -> dict[str, Any]:
    prefix = model.service_model.metadata["targetPrefix"]
    sent = request("POST", "/", "", [("X-Amz-Target", f"{prefix}.{operation}")], body)
    return model.parse(*model.match(sent), sent)


@pytest.mark.parametrize(
    "target", ["", ".", "Logs_20140328", "Logs_20140328.", "Logs_20140328.Nope", "X.GetLogEvents"]
)
def test_what_names_no_operation(target: str) -> None:
    with pytest.raises(Fault) as caught:
        LOGS.match(request("POST", "/", "", [("X-Amz-Target", target)]))
    response = LOGS.error(caught.value, ID)
    assert (response.status, json.loads(response.body)) == (400, {"__type": "UnknownOperationException"})
    assert dict(response.headers)[b"content-type"] == b"application/x-amz-json-1.1"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", None),
        (b"null", None),
        (b"[]", "Start of list found where not expected"),
        (b'{"limit":"5"}', "STRING_VALUE can not be converted to an Integer"),
        (b'{"limit":1.5}', "DECIMAL_VALUE can not be converted to an Integer"),
        (b'{"limit":true}', "TRUE_VALUE can not be converted to an Integer"),
        (b'{"interleaved":"x"}', "STRING_VALUE can not be converted to a Boolean"),
        (b'{"logGroupName":1}', "NUMBER_VALUE can not be converted to a String"),
    ],
)
def test_what_cannot_be_read(body: bytes, message: str | None) -> None:
    with pytest.raises(Fault) as caught:
        parsed("FilterLogEvents", body)
    assert (caught.value.code, caught.value.message) == ("SerializationException", message)


def test_what_is_read() -> None:
    assert parsed("FilterLogEvents", b"") == {}
    assert parsed("FilterLogEvents", b'{"limit":2.0,"logStreamNames":[null,"a"],"x":1}') == {
        "limit": 2,
        "logStreamNames": ["a"],
    }


def test_a_document_too_deep_is_a_fault() -> None:
    """A shape may have itself among its members."""
    dynamodb = Model.load("dynamodb")
    value = b'{"L":[' * 300 + b"]}" * 300
    with pytest.raises(Fault) as caught:
        parsed("PutItem", b'{"TableName":"t","Item":{"a":' + value + b"}}", dynamodb)
    assert caught.value.code == "SerializationException"
    assert parsed("PutItem", b'{"Item":{"a":{"L":[{"N":"1"}]}}}', dynamodb) == {
        "Item": {"a": {"L": [{"N": "1"}]}}
    }
