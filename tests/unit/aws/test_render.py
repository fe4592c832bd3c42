"""Results and faults as responses that botocore's own parser reads back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_shapes import (
    MODEL,
    NAMES,
    OPERATIONS,
    SERVICE,
    SERVICES,
    for_botocore,
    in_xml,
    outputs,
    read,
    request,
    wire,
)

from engine.aws.faults import Fault
from engine.aws.model import Model

ID = "11111111-2222-3333-4444-555555555555"
NO_OUTPUT = [name for name in NAMES if MODEL.operation_model(name).output_shape is None]
ERRORS = [(service, name) for service, model in SERVICES.items() for name in sorted(model.errors)]


@pytest.mark.slow
@pytest.mark.parametrize(("service", "name"), OPERATIONS)
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_botocore_reads_what_was_rendered(service: str, name: str, data: st.DataObject) -> None:
    model = SERVICES[service]
    described = model.service_model.operation_model(name)
    shape = described.output_shape
    result = data.draw(outputs(service, name)) if shape else {}
    response = wire(model.render(model.operation(name), result, ID))
    if response[0] == 204:
        assert response[2] == b""
        return
    protocol = model.service_model.resolved_protocol
    got = read(response, shape, protocol)
    meta = got.pop("ResponseMetadata")
    assert meta["RequestId"] == ID
    expected = for_botocore(shape, in_xml(shape, result) if protocol == "query" else result) if shape else {}
    payload = shape and shape.serialization.get("payload")
    if payload:
        expected.setdefault(payload, b"")
    for member, bound in shape.members.items() if shape else ():
        if bound.serialization.get("location") == "statusCode":
            expected.setdefault(member, meta["HTTPStatusCode"])
    assert got == expected


@pytest.mark.parametrize(("service", "name"), ERRORS)
def test_botocore_reads_every_error(service: str, name: str) -> None:
    """Its code is the shape's name; the query protocol has codes of its own."""
    model = SERVICES[service]
    shape, protocol = model.errors[name], model.service_model.resolved_protocol
    own = {
        member: "x"
        for member, bound in shape.members.items()
        if bound.type_name == "string"
        and "location" not in bound.serialization
        and member.lower() != "message"
    }
    for message in ("Why: é <&>\r\n", ""):
        response = wire(model.error(Fault(name, message, **own), ID))
        assert response[0] == shape.metadata.get("error", {}).get("httpStatusCode", response[0])
        got = read(response, None, protocol)
        assert got["ResponseMetadata"]["RequestId"] == ID
        assert got["Error"]["Code"] == (shape.error_code if protocol == "query" else name)
        assert (got["Error"]["Message"] or "") == message
        members = read(response, shape, protocol)
        assert {member: members.get(member) for member in own} == own


@pytest.mark.parametrize("name", NAMES)
def test_the_status_is_the_models(name: str) -> None:
    status, headers, body = wire(SERVICE.render(SERVICE.operation(name), {}, ID))
    assert status == MODEL.operation_model(name).http["responseCode"]
    named = dict(headers)
    assert named[b"x-amzn-requestid"] == ID.encode()
    assert named[b"content-type"] == b"application/json"
    if status == 204 or name in NO_OUTPUT:
        assert body == b""


def test_a_status_among_the_members_is_the_responses() -> None:
    result = {"StatusCode": 202, "ExecutedVersion": "1", "FunctionError": "Unhandled", "Payload": b"\x00"}
    status, headers, body = wire(SERVICE.render(SERVICE.operation("Invoke"), result, ID))
    assert (status, body) == (202, b"\x00")
    assert (b"x-amz-executed-version", b"1") in headers
    assert (b"x-amz-function-error", b"Unhandled") in headers


def test_what_is_none_or_no_member_is_left_out() -> None:
    result = {"Name": "a", "Description": None, "secret": 1}
    response = SERVICE.render(SERVICE.operation("GetAlias"), result, ID)
    assert json.loads(response.body) == {"Name": "a"}


@pytest.mark.parametrize("shape", MODEL.error_shapes, ids=lambda shape: shape.name)
def test_every_fault_of_the_model(shape: Any) -> None:
    status, headers, body = wire(SERVICE.error(Fault(shape.name, "what is wrong"), ID))
    assert status == shape.metadata["error"]["httpStatusCode"]
    assert dict(headers)[b"x-amzn-errortype"] == shape.name.encode()
    named = {name for name in shape.members if name.lower() == "message"}
    assert {name: json.loads(body)[name] for name in named} == dict.fromkeys(named, "what is wrong")
    assert "Type" not in json.loads(body), "AWS has none in a few: the fault brings it"
    got = read((status, headers, body), None)
    assert got["Error"]["Code"] == shape.name
    assert got["Error"]["Message"] == "what is wrong"


def test_a_faults_own_members_are_rendered() -> None:
    fault = Fault("TooManyRequestsException", "Rate Exceeded.", Type="User", Reason="CallerRateLimitExceeded")
    status, headers, body = wire(SERVICE.error(fault, ID))
    assert status == 429
    assert json.loads(body) == {
        "Type": "User",
        "message": "Rate Exceeded.",
        "Reason": "CallerRateLimitExceeded",
    }
    assert dict(headers)[b"retry-after"] == b"1"
    longer = Fault("TooManyRequestsException", None, retryAfterSeconds="7")
    _, headers, body = wire(SERVICE.error(longer, ID))
    assert dict(headers)[b"retry-after"] == b"7"
    assert json.loads(body) == {}


@pytest.mark.parametrize(
    ("code", "status", "body"),
    [
        ("ValidationException", 400, {"message": "m"}),
        ("SerializationException", 400, {"message": "m"}),
        ("UnrecognizedClientException", 403, {"message": "m"}),
        ("InvalidSignatureException", 403, {"message": "m"}),
        ("MissingAuthenticationTokenException", 403, {"message": "m"}),
        ("RequestEntityTooLargeException", 413, {"message": "m"}),
        ("AccessDeniedException", 403, {"Message": "m"}),
    ],
)
def test_faults_of_no_model(code: str, status: int, body: dict[str, str]) -> None:
    got = wire(SERVICE.error(Fault(code, "m"), ID))
    assert (got[0], json.loads(got[2])) == (status, body)
    bare = b'{"Message":null}' if code == "AccessDeniedException" else b"{}"
    assert SERVICE.error(Fault(code, None), ID).body == bare


def test_an_unknown_path() -> None:
    with pytest.raises(Fault) as info:
        SERVICE.match(request("GET", "/nothing"))
    status, headers, body = wire(SERVICE.error(info.value, ID))
    assert (status, body) == (404, b"<UnknownOperationException/>\n")
    assert dict(headers) == {
        b"x-amzn-requestid": ID.encode(),
        b"x-amzn-errortype": b"UnknownOperationException",
    }


def test_another_services_model_serves_as_well() -> None:
    media = Model.load("mediastore-data")
    operation = media.operation("ListItems")
    result = {"Items": [{"Name": "a", "LastModified": 1735689600, "ContentLength": 3}]}
    got = read(wire(media.render(operation, result, ID)), operation.output)
    assert got["Items"][0]["LastModified"].timestamp() == 1735689600
    error = wire(media.error(Fault("ObjectNotFoundException", "no"), ID))
    assert read(error, None)["Error"]["Code"] == "ObjectNotFoundException"
