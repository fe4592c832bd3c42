"""Lambda's model, over the wire: boto3's requests are parsed, and its parser reads the responses."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from model_shapes import SERVICE, request

from engine.aws import eventstream
from engine.aws.faults import Fault
from engine.aws.messages import Headers, Response
from engine.aws.model import Operation

ERRORS = list(SERVICE.errors.values())
REQUEST = "11111111-2222-3333-4444-555555555555"
STREAM = "InvokeWithResponseStream"
# An identifier in a path may be an ARN with slashes, percent signs and spaces; "." and ".." are steps, not names.
LABELS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
    lambda text: text not in (".", "..")
)
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
TEXTS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
SECONDS = st.integers(0, 4_000_000_000).map(float)


class Raw(io.BytesIO):
    """A body as urllib3 hands it over."""

    def stream(self, **_options: Any) -> Iterator[bytes]:
        yield self.read()


class Wire:
    """A boto3 client whose requests end here: what it sent, and the response that it gets."""

    def __init__(self) -> None:
        self.sent: Any = None
        self.response = Response(200, [], b"{}")
        self.client = boto3.client(
            "lambda",
            region_name="eu-central-1",
            endpoint_url="http://127.0.0.1:1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )
        self.client.meta.events.register("before-send.lambda", self._respond)
        self.methods = {
            operation: getattr(self.client, method)
            for method, operation in self.client.meta.method_to_api_mapping.items()
        }

    def _respond(self, request: Any, **_options: Any) -> AWSResponse:
        self.sent = request
        response = self.response
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
        return AWSResponse(request.url, response.status, named, Raw(response.body))

    def parsed(self) -> tuple[Operation, dict[str, Any]]:
        """What the service makes of what was sent last."""
        path, _, query = self.sent.url.removeprefix("http://127.0.0.1:1").partition("?")
        headers: Headers = [
            (name, value.decode("latin-1") if isinstance(value, bytes) else value)
            for name, value in self.sent.headers.items()
        ]
        body = self.sent.body or b""
        body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
        received = request(self.sent.method, path, query, headers, body)
        operation, labels = SERVICE.match(received)
        return operation, SERVICE.parse(operation, labels, received)


@cache
def wire() -> Wire:
    return Wire()


def values(shape: Shape, sent: bool) -> st.SearchStrategy[Any]:
    """Values of a shape: of a request, as boto3 takes them, or of a result, as an operation gives them."""
    kind, meta, place = shape.type_name, shape.metadata, shape.serialization.get("location")
    if isinstance(shape, StructureShape):
        return members(shape, sent)
    if isinstance(shape, ListShape):
        least = max(meta.get("min", 0), 1 if place else 0)  # an empty list in a query is none
        return st.lists(values(shape.member, sent), min_size=least, max_size=least + 2)
    if isinstance(shape, MapShape):
        return st.dictionaries(values(shape.key, sent), values(shape.value, sent), max_size=3)
    if isinstance(shape, StringShape) and shape.enum:
        return st.sampled_from(shape.enum)
    if kind == "string":
        least = meta.get("min", 0)
        made = LABELS if place == "uri" else VISIBLE if place == "header" else TEXTS
        return made.map(lambda text: text + "x" * (least - len(text)))
    if kind == "blob":
        return st.binary(max_size=20)
    if kind == "boolean":
        return st.booleans()
    if place == "statusCode":
        return st.integers(200, 299)
    if kind in ("integer", "long"):
        lowest = int(meta.get("min", -(2**31)))
        return st.integers(lowest, max(lowest, int(meta.get("max", 2**31 - 1))))
    if kind == "timestamp":
        return SECONDS
    assert kind in ("double", "float")
    return st.floats(meta.get("min", -1e9), meta.get("max", 1e9))


@cache
def members(shape: StructureShape, sent: bool) -> st.SearchStrategy[dict[str, Any]]:
    must = shape.required_members if sent else []
    each = {name: values(member, sent) for name, member in shape.members.items()}
    made = st.fixed_dictionaries(
        {name: each[name] for name in must},
        optional={name: one for name, one in each.items() if name not in must},
    )
    if getattr(shape, "is_tagged_union", False):  # boto3 wants exactly one
        return st.one_of(*(st.fixed_dictionaries({name: one}) for name, one in each.items()))
    return made


def plain(value: Any) -> Any:
    """With seconds for dates, and bytes for bodies."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.read() if hasattr(value, "read") else value


OPERATIONS = pytest.mark.parametrize("name", SERVICE.names)
FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def test_every_operation_of_the_model_is_there() -> None:
    assert sorted(SERVICE.names) == sorted(wire().methods)
    assert len(SERVICE.names) >= 91


@pytest.mark.slow
@OPERATIONS
@FEW
@given(data=st.data())
def test_what_boto3_sends_is_parsed(name: str, data: st.DataObject) -> None:
    shape = SERVICE.operation(name).input
    sent = {} if shape is None else data.draw(members(shape, True), label="request")
    output = SERVICE.operation(name).output
    wire().response = Response(200, [], b"" if output is None or "payload" in output.serialization else b"{}")
    wire().methods[name](**sent)
    operation, received = wire().parsed()
    assert operation.name == name
    payload = None if shape is None else shape.serialization.get("payload")
    if payload is not None and payload not in sent and received.get(payload) in (b"", {}):
        del received[payload]  # no body and an empty one are the same
    for made, member in shape.members.items() if shape is not None else ():
        if member.metadata.get("idempotencyToken") and made not in sent:  # botocore makes one
            assert received.pop(made)
    assert received == sent


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SERVICE.names if name != STREAM])
@FEW
@given(data=st.data())
def test_what_is_rendered_is_read_by_boto3(name: str, data: st.DataObject) -> None:
    operation = SERVICE.operation(name)
    result = {} if operation.output is None else data.draw(members(operation.output, False), label="result")
    shape = operation.input
    sent = {} if shape is None else data.draw(members(shape, True), label="request")
    wire().response = SERVICE.render(operation, result, REQUEST)
    got = plain(wire().methods[name](**sent))
    metadata = got.pop("ResponseMetadata")
    assert metadata["RequestId"] == REQUEST
    status = next((n for n, m in (operation.output.members.items() if operation.output else ())
                   if m.serialization.get("location") == "statusCode"), None)  # fmt: skip
    assert metadata["HTTPStatusCode"] == (result.get(status) or operation.status)
    if status is not None:
        assert got.pop(status) == metadata["HTTPStatusCode"]
        result.pop(status, None)
    payload = operation.output.serialization.get("payload") if operation.output else None
    if payload is not None and (payload not in result or metadata["HTTPStatusCode"] == 204):
        assert got.pop(payload) == b""
    if metadata["HTTPStatusCode"] == 204:
        assert wire().response.body == b""
        members_of = operation.output.members if operation.output else {}
        in_headers = {n for n, m in members_of.items() if m.serialization.get("location") == "header"}
        assert got == {name: value for name, value in result.items() if name in in_headers}
    else:
        assert got == result


@given(st.binary(max_size=100), st.integers(1, 3))
@settings(max_examples=10, deadline=None)
def test_a_streamed_response_is_read_by_boto3(content: bytes, times: int) -> None:
    payload = content * times * (20_000 if times == 3 else 1)
    headers = [(b"content-type", b"application/vnd.amazon.eventstream")]
    wire().response = Response(200, headers, eventstream.response(payload, failed=False))
    events = list(wire().methods[STREAM](FunctionName="f")["EventStream"])
    assert b"".join(event["PayloadChunk"]["Payload"] for event in events[:-1]) == payload
    assert events[-1] == {"InvokeComplete": {}}


def test_a_streamed_failure_is_read_by_boto3() -> None:
    error = b'{"errorMessage": "\xc3\xa9", "errorType": "ValueError"}'
    wire().response = Response(200, [], eventstream.response(error, failed=True))
    (event,) = wire().methods[STREAM](FunctionName="f")["EventStream"]
    assert event == {"InvokeComplete": {"ErrorCode": "ValueError", "ErrorDetails": error.decode()}}


@pytest.mark.parametrize("shape", ERRORS, ids=lambda shape: shape.name)
@pytest.mark.parametrize("message", ["Why: é", None])
def test_each_error_is_read_by_boto3(shape: StructureShape, message: str | None) -> None:
    """As the exception of its name, with the model's status and members."""
    own = {
        name: "text"
        for name, member in shape.members.items()
        if name not in ("message", "Message") and member.serialization.get("location") is None
    }
    wire().response = SERVICE.error(Fault(shape.name, message, **own), REQUEST)
    status = shape.metadata["error"]["httpStatusCode"]
    with pytest.raises(getattr(wire().client.exceptions, shape.name)) as caught:
        wire().client.list_functions()
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["ResponseMetadata"]["RequestId"] == REQUEST
    assert response["Error"]["Code"] == shape.name
    assert response["Error"]["Message"] == (message or "")
    assert {name: response.get(name) for name in own} == own
    if "retryAfterSeconds" in shape.members:
        assert int(response["retryAfterSeconds"]) > 0


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ValidationException", 400),
        ("SerializationException", 400),
        ("AccessDeniedException", 403),
        ("UnknownOperationException", 404),
        ("NotImplementedException", 501),
    ],
)
def test_errors_of_the_front_door(code: str, status: int) -> None:
    wire().response = SERVICE.error(Fault(code, None if status == 404 else "why"), REQUEST)
    with pytest.raises(ClientError) as caught:
        wire().client.list_functions()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    if status != 404:
        assert caught.value.response["Error"]["Message"] == "why"


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/", ""),
        ("GET", "", ""),
        ("POST", "/2015-03-31", ""),
        ("PATCH", "/2015-03-31/functions", ""),
        ("GET", "/2015-03-31/functions//configuration", ""),
        ("GET", "/2015-03-31/functions/f/nothing", ""),
        ("GET", "/2015-03-30/functions", ""),
        ("GET", "/2018-10-31/layers/a/b", ""),
        ("get", "/2015-03-31/functions", ""),
    ],
)
def test_what_is_no_operation(method: str, path: str, query: str) -> None:
    with pytest.raises(Fault) as caught:
        SERVICE.match(request(method, path, query))
    assert caught.value.code == "UnknownOperationException"


def test_a_query_tells_two_operations_apart() -> None:
    def named(path: str, query: str) -> str:
        return SERVICE.match(request("GET", path, query))[0].name

    assert named("/2018-10-31/layers", "") == "ListLayers"
    assert named("/2018-10-31/layers", "find=LayerVersion&Arn=x") == "GetLayerVersionByArn"
    provisioned = "/2019-09-30/functions/f/provisioned-concurrency"
    assert named(provisioned, "List=ALL&MaxItems=1") == "ListProvisionedConcurrencyConfigs"
    assert named(provisioned, "Qualifier=1&List=ALLES") == "GetProvisionedConcurrencyConfig"


# Noise: whatever is sent, the outcome is an operation with its members, or a fault.

PARTS = sorted({part for name in SERVICE.names for part in SERVICE.operation(name).path.split("/")})
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", ""])
PATHS = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=5)), max_size=7).map(
    lambda p: "/" + "/".join(p)
)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(METHODS, PATHS, st.text(max_size=30))
@example("GET", "/2015-03-31/functions/%ff%", "%ff=%&&==")
def test_any_path_is_an_operations_or_a_fault(method: str, path: str, query: str) -> None:
    try:
        operation, labels = SERVICE.match(request(method, path, query))
    except Fault as fault:
        assert fault.code == "UnknownOperationException"
    else:
        assert operation.method == method
        assert set(labels) == {p.strip("{}+") for p in operation.path.split("/") if p.startswith("{")}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def noisy(shape: Shape | None) -> st.SearchStrategy[Any]:
    """JSON of about this shape, with something else in places."""
    if isinstance(shape, StructureShape):
        each = {
            m.serialization.get("name", name): st.deferred(lambda m=m: noisy(m))
            for name, m in shape.members.items()
        }
        return st.fixed_dictionaries({}, optional=each) | JSON
    if isinstance(shape, ListShape):
        return st.lists(noisy(shape.member), max_size=2) | JSON
    if isinstance(shape, MapShape):
        return st.dictionaries(st.text(max_size=3), noisy(shape.value), max_size=2) | JSON
    return JSON


QUERIES = st.dictionaries(
    st.sampled_from(
        ["Qualifier", "MaxItems", "Marker", "tagKeys", "FunctionVersion", "StartedAfter", "ReverseOrder"]
    ),
    st.sampled_from(
        [
            "",
            "1",
            "-1",
            "1e9",
            "99999999999999999999",
            "nan",
            "inf",
            "true",
            "%ff",
            "\u0663",
            "2024-01-01",
            "1_0",
        ]
    ),
    max_size=3,
).map(lambda query: "&".join(f"{name}={value}" for name, value in query.items()))
VALUES = ["", "1", "null", "\xff", "e30=", "99999999999999999999", "Event"]


@pytest.mark.slow
@OPERATIONS
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(data=st.data())
def test_any_request_is_parsed_or_a_fault(name: str, data: st.DataObject) -> None:
    """Parsed, and then checked: nothing but a fault comes of noise, and it can be rendered."""
    from engine import wire as json

    operation = SERVICE.operation(name)
    names = [part.strip("{}+") for part in operation.path.split("/") if part.startswith("{")]
    labels = {label: data.draw(st.sampled_from(["", "1", "x", "\u0661", "-", "\0", "é"])) for label in names}
    body = data.draw(st.binary(max_size=20) | noisy(operation.input).map(json.encode))
    headers = [
        (header, data.draw(st.sampled_from(VALUES)))
        for header in ("X-Amz-Invocation-Type", "X-Amz-Client-Context", "x-amz-tenant-id")
    ]
    try:
        received = request("", "", data.draw(QUERIES), headers, body)
        members = SERVICE.parse(operation, labels, received)
        SERVICE.validate(operation, members)
    except Fault as fault:
        assert fault.code in ("SerializationException", "ValidationException")
        response = SERVICE.error(fault, REQUEST)
        assert response.status == 400
        assert json.decode(response.body).get("message") == fault.message
    else:
        assert operation.input is None or set(members) <= set(operation.input.members)
        for required in operation.input.required_members if operation.input else ():
            assert members.get(required) is not None


def test_bodies_that_are_deep_or_large() -> None:
    operation = SERVICE.operation("CreateFunction")
    for body in (
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"Tags":' + b"[" * 100_000,
        b'{"Timeout":1e999}',
        b"\xff",
    ):
        with pytest.raises(Fault) as caught:
            SERVICE.parse(operation, {}, request("", "", body=body))
        assert caught.value.code == "SerializationException"
    unknown = request("", "", body=b'{"Unknown":' + b"[" * 100 + b"]" * 100 + b"}")
    assert SERVICE.parse(operation, {}, unknown) == {}


@given(st.text(max_size=20), st.from_regex(r"[A-Za-z]{1,20}", fullmatch=True))
@settings(max_examples=50, deadline=None)
def test_any_message_can_be_rendered(message: str, code: str) -> None:
    response = SERVICE.error(Fault(code, message), REQUEST)
    assert response.status >= 400 and response.body and response.headers
