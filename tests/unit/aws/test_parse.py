"""Requests as botocore writes them come back as they were; what cannot be read is refused in AWS's words."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_shapes import OPERATIONS, SERVICE, SERVICES, for_botocore, in_form, inputs, request, written

from engine.aws.faults import Fault


def parsed(name: str, body: bytes, query: str = "", labels: dict[str, str] | None = None) -> dict[str, Any]:
    operation = SERVICE.operation(name)
    sent = request(operation.method, operation.path, query, [], body)
    return SERVICE.parse(operation, labels or {"FunctionName": "f"}, sent)


@pytest.mark.slow
@pytest.mark.parametrize(("service", "name"), OPERATIONS)
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_what_botocore_writes_is_read_back(service: str, name: str, data: st.DataObject) -> None:
    model = SERVICES[service]
    described = model.service_model.operation_model(name)
    shape = described.input_shape
    members = data.draw(inputs(service, name)) if shape else {}
    sent = written(described, for_botocore(shape, members) if shape else {})
    operation, labels = model.match(sent)
    assert operation.name == name
    payload = shape and shape.serialization.get("payload")
    if payload:  # of a payload that is absent botocore writes an empty one
        members.setdefault(payload, {"blob": b"", "structure": {}}[shape.members[payload].type_name])
    if shape and model.service_model.resolved_protocol == "query":
        members = in_form(shape, members) or {}
    assert model.parse(operation, labels, sent) == members


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", None),
        (b"null", None),
        (b'"x"', None),
        (b'{"Timeout":1,}', None),
        (b'{"Timeout":NaN}', None),
        (b'{"Description":"\\ud800"}', None),
        (b'{"Description":"\xff"}', None),
        (b'{"a":' + b"[" * 100_000, None),
        (b"[]", "Start of list found where not expected"),
        (b'{"Timeout":"3"}', "STRING_VALUE can not be converted to an Integer"),
        (b'{"Timeout":true}', "TRUE_VALUE can not be converted to an Integer"),
        (b'{"Timeout":[1]}', "Start of list found where not expected"),
        (b'{"Timeout":{}}', "Start of structure or map found where not expected."),
        (b'{"Description":1}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"Description":1.5}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"Description":false}', "FALSE_VALUE can not be converted to a String"),
        (b'{"Description":["a"]}', "Start of list found where not expected"),
        (b'{"Description":{}}', "Start of structure or map found where not expected."),
        (b'{"Layers":"a"}', "Expected list or null"),
        (b'{"Layers":[1]}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"VpcConfig":"a"}', "Expected null"),
        (b'{"VpcConfig":[]}', "Start of list found where not expected"),
        (b'{"Environment":{"Variables":"a"}}', "Expected map or null"),
        (b'{"Environment":{"Variables":{"A":1}}}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"Publish":"abc"}', "STRING_VALUE can not be converted to an Boolean"),
        (b'{"Code":{"ZipFile":"?"}}', "STRING_VALUE can not be converted to a ByteBuffer"),
        (b'{"Code":{"ZipFile":5}}', "NUMBER_VALUE can not be converted to a ByteBuffer"),
    ],
)
def test_what_cannot_be_read(body: bytes, message: str | None) -> None:
    with pytest.raises(Fault) as info:
        parsed("CreateFunction", body)
    assert (info.value.code, info.value.message) == ("SerializationException", message)


def test_null_is_as_absent_and_unknown_members_are_ignored() -> None:
    assert parsed("CreateFunction", b'{"Timeout":null,"Nonsense":{"a":[1]}}') == {}
    assert parsed("CreateFunction", b'{"Layers":[null]}') == {"Layers": [None]}
    assert parsed("PublishVersion", b"") == {"FunctionName": "f"}
    assert parsed("PublishVersion", b" \n") == {"FunctionName": "f"}


def test_numbers_are_of_the_members_type() -> None:
    assert parsed("CreateFunction", b'{"Timeout":1.5}') == {"Timeout": 1}
    weights = parsed("CreateAlias", b'{"RoutingConfig":{"AdditionalVersionWeights":{"2":1}}}')
    assert repr(weights["RoutingConfig"]["AdditionalVersionWeights"]["2"]) == "1.0"
    for number in (b"1e300", b"9" * 30, b"-9223372036854775809"):
        with pytest.raises(Fault):
            parsed("CreateFunction", b'{"Timeout":%s}' % number)


@pytest.mark.parametrize("text", ["x", "1_0", "", " 1", "1.0", "٣", "9" * 30, "99999999999999999999"])
def test_numbers_in_a_query_are_digits(text: str) -> None:
    with pytest.raises(Fault) as info:
        parsed("ListFunctions", b"", f"MaxItems={quote(text)}", {"-": ""})
    assert info.value.message == "STRING_VALUE can not be converted to an Integer"


def test_a_query_says_lists_dates_and_booleans() -> None:
    tags = parsed("UntagResource", b"", "tagKeys=a&tagKeys=b%20c&tagKeys=", {"Resource": "r"})
    assert tags == {"Resource": "r", "TagKeys": ["a", "b c", ""]}
    for text, seconds in [
        ("2025-01-01T00:00:00Z", 1735689600),
        ("2025-01-01T00:00:00", 1735689600),
        ("12.5", 12.5),
    ]:
        members = parsed("ListDurableExecutionsByFunction", b"", f"StartedAfter={text}")
        assert members["StartedAfter"] == seconds
    for name, query in [
        ("ListDurableExecutionsByFunction", "StartedAfter=soon"),
        ("ListDurableExecutionsByFunction", "StartedAfter=nan"),
        ("ListDurableExecutionsByFunction", "ReverseOrder=maybe"),
    ]:
        with pytest.raises(Fault):
            parsed(name, b"", query)


def test_a_payload_is_the_body_as_it_came() -> None:
    headers = [("x-amz-LOG-type", "Tail"), ("X-Amz-Client-Context", "e30=")]
    sent = request("POST", "/", "Qualifier=live", headers, b"\x00not json")
    members = SERVICE.parse(SERVICE.operation("Invoke"), {"FunctionName": "f"}, sent)
    assert members == {
        "FunctionName": "f",
        "Qualifier": "live",
        "LogType": "Tail",
        "ClientContext": "e30=",
        "Payload": b"\x00not json",
    }
