"""Which operation a request is for: what botocore sends comes back to its operation, what nobody sends to none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_shapes import MODEL, NAMES, SERVICE, values, written

from engine.functions.faults import Fault
from engine.http.model import Service

ARN = "arn:aws:lambda:eu-west-1:111111111111:function:f:live"
F = "/2015-03-31/functions"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label", ["f", ARN, "a/b c%2F+é?#&", ".."])
def test_botocores_request_comes_back_to_its_operation(name: str, label: str) -> None:
    operation = MODEL.operation_model(name)
    uris = {
        n: (m, m.type_name)
        for n, m in (operation.input_shape.members.items() if operation.input_shape else ())
        if m.serialization.get("location") == "uri"
    }
    request = {n: 7 if kind in ("integer", "long") else label for n, (_, kind) in uris.items()}
    method, path, query, _, _ = written(operation, request)
    found, labels = SERVICE.match(method, path, query)
    assert found.name == name
    assert labels == {uris[n][0].serialization.get("name", n): str(value) for n, value in request.items()}
    assert SERVICE.match(method, path.rstrip("/") + "/", query)[0].name == name


def test_there_is_no_operation_but_the_models() -> None:
    assert sorted(SERVICE.names) == NAMES
    assert len(NAMES) >= 91


def test_a_fixed_parameter_decides_between_two_operations() -> None:
    path = "/2019-09-30/functions/f/provisioned-concurrency"
    assert SERVICE.match("GET", path, "List=ALL")[0].name == "ListProvisionedConcurrencyConfigs"
    assert SERVICE.match("GET", path, "Qualifier=List=ALL")[0].name == "GetProvisionedConcurrencyConfig"
    layers = "/2018-10-31/layers"
    assert SERVICE.match("GET", layers, "find=LayerVersion&Arn=x")[0].name == "GetLayerVersionByArn"
    assert SERVICE.match("GET", layers, "")[0].name == "ListLayers"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/2015-03-31"),
        ("PATCH", F),
        ("get", F),
        ("GET", F + "/f/nothing"),
        ("GET", F + "//aliases"),
        ("GET", F + "/f/aliases/a/b"),
        ("POST", F + "/f"),
        ("GET", "/2015-03-32/functions"),
    ],
)
def test_no_operation(method: str, path: str) -> None:
    with pytest.raises(Fault) as info:
        SERVICE.match(method, path, "")
    assert info.value.code == "UnknownOperationException"


def test_a_greedy_label_takes_the_rest_of_the_path() -> None:
    media = Service.load("mediastore-data")
    operation, labels = media.match("GET", "/videos/2025/a%20b.mp4", "")
    assert (operation.name, labels) == ("GetObject", {"Path": "videos/2025/a b.mp4"})
    assert media.match("GET", "/", "")[0].name == "ListItems"


_PIECES = st.lists(
    st.sampled_from(["functions", "2015-03-31", "layers", "aliases", "f", "%", "%zz", "%ff", "", "+"])
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", ""]),
    st.one_of(
        st.text(),
        _PIECES.map("/".join),
        st.sampled_from(NAMES).map(lambda n: MODEL.operation_model(n).http["requestUri"]),
    ),
    st.one_of(
        st.text(), st.sampled_from(["MaxItems=x", "tagKeys=a&tagKeys=%ff", "&&=", "find=LayerVersion"])
    ),
    st.lists(st.tuples(st.text(), st.text())),
    st.one_of(
        st.binary(), st.sampled_from([b"null", b"[]", b'{"Code":[]}', b'{"Timeout":1e999}', b"[" * 5000])
    ),
)
def test_nothing_but_a_fault_comes_of_anything(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    try:
        operation, labels = SERVICE.match(method, path, query)
        SERVICE.validate(operation, SERVICE.parse(operation, labels, query, headers, body))
    except Fault as fault:
        assert fault.code in ("UnknownOperationException", "SerializationException", "ValidationException")


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.sampled_from([n for n in NAMES if MODEL.operation_model(n).input_shape]))
def test_members_of_any_type_are_taken_or_refused(data: st.DataObject, name: str) -> None:
    import json

    shape = MODEL.operation_model(name).input_shape
    body = json.dumps({n: data.draw(_ANY_JSON, label=n) for n in list(shape.members)[:8]}).encode()
    operation = SERVICE.operation(name)
    labels = {
        m.serialization.get("name", n): "1"
        for n, m in shape.members.items()
        if m.serialization.get("location") == "uri"
    }
    try:
        SERVICE.validate(operation, SERVICE.parse(operation, labels, "", [], body))
    except Fault as fault:
        assert fault.code in ("SerializationException", "ValidationException")


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([n for n in NAMES if MODEL.operation_model(n).input_shape]))
def test_generated_inputs_are_checked_without_error(data: st.DataObject, name: str) -> None:
    request = data.draw(values(MODEL.operation_model(name).input_shape))
    try:
        SERVICE.validate(SERVICE.operation(name), request)
    except Fault as fault:
        assert fault.code == "ValidationException"
        assert fault.message is not None and "validation error" in fault.message
