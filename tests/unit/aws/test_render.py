"""Results and faults as responses that botocore's own parser reads back."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st
from model_shapes import MODEL, NAMES, SERVICE, STREAMED, for_botocore, values

from engine.aws.faults import Fault
from engine.aws.model import Service

READER = create_parser("rest-json")
ID = "11111111-2222-3333-4444-555555555555"
NO_OUTPUT = [name for name in NAMES if MODEL.operation_model(name).output_shape is None]
WITH_OUTPUT = [name for name in NAMES if name not in NO_OUTPUT and name != STREAMED]


def read(answer: tuple[int, list[tuple[bytes, bytes]], bytes], shape: Any) -> dict[str, Any]:
    status, headers, body = answer
    named = HeadersDict({name.decode(): value.decode() for name, value in headers})
    payload = shape and shape.serialization.get("payload")
    content = io.BytesIO(body) if payload else body  # a blob comes as a stream
    out: dict[str, Any] = READER.parse({"status_code": status, "headers": named, "body": content}, shape)
    return {**out, payload: content.read()} if isinstance(content, io.BytesIO) else out


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(st.data(), st.sampled_from(WITH_OUTPUT))
def test_botocore_reads_what_was_rendered(data: st.DataObject, name: str) -> None:
    shape = MODEL.operation_model(name).output_shape
    result = data.draw(values(shape))
    answer = SERVICE.render(SERVICE.operation(name), result, ID)
    if answer[0] == 204:
        assert answer[2] == b""
        return
    got = read(answer, shape)
    meta = got.pop("ResponseMetadata")
    assert meta["RequestId"] == ID
    expected = for_botocore(shape, result)
    payload = shape.serialization.get("payload")
    if payload:
        expected.setdefault(payload, b"")
    for member, bound in shape.members.items():
        if bound.serialization.get("location") == "statusCode":
            expected.setdefault(member, meta["HTTPStatusCode"])
    assert got == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_status_is_the_models(name: str) -> None:
    status, headers, body = SERVICE.render(SERVICE.operation(name), {}, ID)
    assert status == MODEL.operation_model(name).http["responseCode"]
    named = dict(headers)
    assert named[b"x-amzn-requestid"] == ID.encode()
    assert named[b"content-type"] == b"application/json"
    if status == 204 or name in NO_OUTPUT:
        assert body == b""


def test_a_status_among_the_members_is_the_responses() -> None:
    result = {"StatusCode": 202, "ExecutedVersion": "1", "FunctionError": "Unhandled", "Payload": b"\x00"}
    status, headers, body = SERVICE.render(SERVICE.operation("Invoke"), result, ID)
    assert (status, body) == (202, b"\x00")
    assert (b"x-amz-executed-version", b"1") in headers
    assert (b"x-amz-function-error", b"Unhandled") in headers


def test_what_is_none_or_no_member_is_left_out() -> None:
    _, _, body = SERVICE.render(
        SERVICE.operation("GetAlias"), {"Name": "a", "Description": None, "secret": 1}, ID
    )
    assert json.loads(body) == {"Name": "a"}


@pytest.mark.parametrize("shape", MODEL.error_shapes, ids=lambda shape: shape.name)
def test_every_fault_of_the_model(shape: Any) -> None:
    status, headers, body = SERVICE.error(Fault(shape.name, "what is wrong"), ID)
    assert status == shape.metadata["error"]["httpStatusCode"]
    assert dict(headers)[b"x-amzn-errortype"] == shape.name.encode()
    named = {name for name in shape.members if name.lower() == "message"}
    assert {name: json.loads(body)[name] for name in named} == dict.fromkeys(named, "what is wrong")
    assert "Type" not in json.loads(body), "AWS names none in some: who raises a fault says it"
    got = read((status, headers, body), None)
    assert got["Error"]["Code"] == shape.name
    assert got["Error"]["Message"] == "what is wrong"


def test_a_faults_own_members_are_told() -> None:
    fault = Fault("TooManyRequestsException", "Rate Exceeded.", Type="User", Reason="CallerRateLimitExceeded")
    status, headers, body = SERVICE.error(fault, ID)
    assert status == 429
    assert json.loads(body) == {
        "Type": "User",
        "message": "Rate Exceeded.",
        "Reason": "CallerRateLimitExceeded",
    }
    assert dict(headers)[b"retry-after"] == b"1"
    longer = Fault("TooManyRequestsException", None, retryAfterSeconds="7")
    _, headers, body = SERVICE.error(longer, ID)
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
    got = SERVICE.error(Fault(code, "m"), ID)
    assert (got[0], json.loads(got[2])) == (status, body)
    bare = b'{"Message":null}' if code == "AccessDeniedException" else b"{}"
    assert SERVICE.error(Fault(code, None), ID)[2] == bare


def test_an_unknown_path() -> None:
    with pytest.raises(Fault) as info:
        SERVICE.match("GET", "/nothing", "")
    status, headers, body = SERVICE.error(info.value, ID)
    assert (status, body) == (404, b"<UnknownOperationException/>\n")
    assert dict(headers) == {
        b"x-amzn-requestid": ID.encode(),
        b"x-amzn-errortype": b"UnknownOperationException",
    }


def test_another_services_model_serves_as_well() -> None:
    media = Service.load("mediastore-data")
    operation = media.operation("ListItems")
    result = {"Items": [{"Name": "a", "LastModified": 1735689600, "ContentLength": 3}]}
    got = read(media.render(operation, result, ID), media._model.operation_model("ListItems").output_shape)
    assert got["Items"][0]["LastModified"].timestamp() == 1735689600
    assert (
        read(media.error(Fault("ObjectNotFoundException", "no"), ID), None)["Error"]["Code"]
        == "ObjectNotFoundException"
    )
