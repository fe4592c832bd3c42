"""Values of a model's shapes, generated, and requests as botocore writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import prepare_request_dict
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.serialize import create_serializer
from hypothesis import strategies as st

from engine.aws.model import Service

SERVICE = Service.load("lambda")
MODEL = SERVICE._model
NAMES = sorted(MODEL.operation_names)
STREAMED = "InvokeWithResponseStream"  # its response is an event stream: no JSON
_WRITER = create_serializer("rest-json", include_validation=False)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# What a header can carry and a client does not trim.
_LINE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63) + 1, 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15),
    "float": st.floats(allow_nan=False, allow_infinity=False, width=32, min_value=-1e9, max_value=1e9),
    "timestamp": st.integers(0, 2**32),
    "blob": st.binary(max_size=30),
}


def values(shape: Shape, depth: int = 4) -> st.SearchStrategy[Any]:
    """Values of the shape's type, whatever its constraints; a timestamp is epoch seconds."""
    place = shape.serialization.get("location")
    if isinstance(shape, StructureShape):
        members = {n: values(m, depth - 1) for n, m in shape.members.items()} if depth else {}
        required = {
            n: members.pop(n)
            for n in list(members)
            if shape.members[n].serialization.get("location") == "uri"
        }
        return st.fixed_dictionaries(required, optional=members)
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member, depth), min_size=1 if place else 0, max_size=2)
    if isinstance(shape, MapShape):
        return st.dictionaries(_TEXT, values(shape.value, depth), max_size=2)
    if shape.type_name == "string":
        return _LINE if place == "header" else _TEXT.filter(bool) if place == "uri" else _TEXT
    if place == "statusCode":
        return st.sampled_from([200, 202])
    return _SCALARS[shape.type_name]


def for_botocore(shape: Shape, value: Any) -> Any:
    """A value as botocore takes and gives it: timestamps as datetimes."""
    if isinstance(shape, StructureShape):
        return {name: for_botocore(shape.members[name], each) for name, each in value.items()}
    if isinstance(shape, ListShape):
        return [for_botocore(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: for_botocore(shape.value, each) for key, each in value.items()}
    return datetime.fromtimestamp(value, UTC) if shape.type_name == "timestamp" else value


def written(
    operation: OperationModel, given: dict[str, Any]
) -> tuple[str, str, str, list[tuple[str, str]], bytes]:
    """Method, path, query, headers and body of botocore's request."""
    said = _WRITER.serialize_to_request(given, operation)
    prepare_request_dict(said, "http://localhost:9001")
    url, body = urlsplit(said["url"]), said["body"]
    body = body.encode() if isinstance(body, str) else bytes(body or b"")
    return said["method"], url.path, url.query, list(said["headers"].items()), body
