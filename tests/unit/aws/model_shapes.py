"""Values of models' shapes, generated; requests as botocore writes them, and responses as botocore reads them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import strategies as st

from engine.aws.messages import Request, Response
from engine.aws.model import Model
from engine.services.lambda_.wording import WORDING

SERVICE = Model.load("lambda", WORDING)
MODEL = SERVICE.service_model
NAMES = sorted(MODEL.operation_names)
# A service of rest-json, three of JSON (of both versions), three of the query protocol (one with flattened lists).
SERVICES = {"lambda": SERVICE} | {
    name: Model.load(name) for name in ("logs", "sqs", "events", "sts", "sns", "sdb")
}
# An event stream is no document.
OPERATIONS = [
    (service, name)
    for service, model in SERVICES.items()
    for name in sorted(model.names)
    if not model.service_model.operation_model(name).has_event_stream_output
]
Wire = tuple[int, list[tuple[bytes, bytes]], bytes]

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# What a header can carry and a client does not trim.
_LINE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
# What XML can express.
_XML = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\r\n"
    ),
    max_size=20,
)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63) + 1, 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15),
    "float": st.floats(allow_nan=False, allow_infinity=False, width=32, min_value=-1e9, max_value=1e9),
    "timestamp": st.integers(0, 2**32),
    "blob": st.binary(max_size=30),
}


def values(shape: Shape, depth: int = 4, text: st.SearchStrategy[str] = _TEXT) -> st.SearchStrategy[Any]:
    """Values of the shape's type, whatever its constraints; a timestamp is epoch seconds."""
    place = shape.serialization.get("location")
    if isinstance(shape, StructureShape):
        members = {n: values(m, depth - 1, text) for n, m in shape.members.items()} if depth else {}
        if members and shape.is_tagged_union:  # botocore reads exactly one member
            return st.one_of(*(st.fixed_dictionaries({name: one}) for name, one in members.items()))
        required = {
            n: members.pop(n)
            for n in list(members)
            if shape.members[n].serialization.get("location") == "uri"
        }
        return st.fixed_dictionaries(required, optional=members)
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member, depth, text), min_size=1 if place else 0, max_size=2)
    if isinstance(shape, MapShape):
        return st.dictionaries(text, values(shape.value, depth, text), max_size=2)
    if shape.type_name == "string":
        return _LINE if place == "header" else text.filter(bool) if place == "uri" else text
    if place == "statusCode":
        return st.sampled_from([200, 202])
    return _SCALARS[shape.type_name]


@cache
def inputs(service: str, name: str) -> st.SearchStrategy[Any]:
    """Requests for an operation."""
    return values(SERVICES[service].operation(name).input)


@cache
def outputs(service: str, name: str) -> st.SearchStrategy[Any]:
    """Results of an operation, as far as the protocol can express them."""
    query = SERVICES[service].service_model.resolved_protocol == "query"
    return values(SERVICES[service].operation(name).output, text=_XML if query else _TEXT)


def for_botocore(shape: Shape, value: Any) -> Any:
    """A value as botocore takes and gives it: timestamps as datetimes."""
    if isinstance(shape, StructureShape):
        return {name: for_botocore(shape.members[name], each) for name, each in value.items()}
    if isinstance(shape, ListShape):
        return [for_botocore(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: for_botocore(shape.value, each) for key, each in value.items()}
    return datetime.fromtimestamp(value, UTC) if shape.type_name == "timestamp" else value


def in_form(shape: Shape, value: Any) -> Any:
    """What a form has of a value: a structure or a map without anything in it has no parameter (None)."""
    if isinstance(shape, StructureShape):
        members = {name: in_form(shape.members[name], each) for name, each in value.items()}
        kept = {name: each for name, each in members.items() if each is not None}
        # botocore writes an empty list by its own name, even where a flattened one has its members'.
        return kept or ({} if [] in value.values() else None)
    if isinstance(shape, ListShape) and (value or shape.serialization.get("flattened")):
        return [each for each in (in_form(shape.member, each) for each in value) if each is not None] or None
    if isinstance(shape, MapShape):
        members = {key: in_form(shape.value, each) for key, each in value.items()}
        return {key: {} if each is None else each for key, each in members.items()} or None
    return value


def in_xml(shape: Shape, value: Any) -> Any:
    """What XML has of a value: a flattened list or map without anything in it has no element."""
    if isinstance(shape, StructureShape):
        each = ((name, shape.members[name], each) for name, each in value.items())
        return {
            n: in_xml(member, v) for n, member, v in each if v or not member.serialization.get("flattened")
        }
    if isinstance(shape, ListShape):
        return [in_xml(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: in_xml(shape.value, each) for key, each in value.items()}
    return value


def request(
    method: str, path: str, query: str = "", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> Request:
    return Request(method, path, query, [(name.lower(), value) for name, value in headers], body)


def written(operation: OperationModel, members: dict[str, Any]) -> Request:
    """botocore's request."""
    protocol = operation.service_model.resolved_protocol
    parts = create_serializer(protocol, include_validation=False).serialize_to_request(members, operation)
    prepare_request_dict(parts, "http://localhost:9001")
    prepared = create_request_object(parts).prepare()
    url, body = urlsplit(prepared.url), prepared.body
    headers = [(n, v.decode("latin-1") if isinstance(v, bytes) else v) for n, v in prepared.headers.items()]
    body = body.encode() if isinstance(body, str) else bytes(body or b"")
    return request(prepared.method, url.path, url.query, headers, body)


def wire(response: Response) -> Wire:
    """Status, headers and body."""
    return response.status, response.headers, response.body


def read(response: Wire, shape: Any, protocol: str = "rest-json") -> dict[str, Any]:
    """What botocore makes of a response."""
    status, headers, body = response
    named = HeadersDict({name.decode(): value.decode() for name, value in headers})
    payload = shape and shape.serialization.get("payload")
    content = io.BytesIO(body) if payload else body  # a blob comes as a stream
    raw = {"status_code": status, "headers": named, "body": content}
    out: dict[str, Any] = create_parser(protocol).parse(raw, shape)
    return {**out, payload: content.read()} if isinstance(content, io.BytesIO) else out
