"""An operation's result, or its fault, as an HTTP response in the model's form."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from .. import wire
from .faults import Fault

Rendered = tuple[int, list[tuple[bytes, bytes]], bytes]
# Codes that stand in no service's model, AWS's front door being who answers them.
STATUS = {
    "AccessDeniedException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "NotImplementedException": 501,
    "RequestEntityTooLargeException": 413,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
}
_RETRY_SECONDS = 1
_CAPITAL = {"AccessDeniedException"}  # "Message", where other codes of the front door have "message"
# What AWS's REST services answer to a path or method that is none of theirs: 404 and this, without a content type.
_UNKNOWN = b"<UnknownOperationException/>\n"


def response(
    shape: StructureShape | None, status: int, result: Mapping[str, Any], request_id: str
) -> Rendered:
    """Members are given by their names in the model; what is None or absent is left out."""
    headers = _headers(request_id)
    if shape is None:
        return status, headers, b""
    payload = shape.serialization.get("payload")
    body: dict[str, Any] = {}
    content: bytes | None = None
    for name, member in shape.members.items():
        value = result.get(name)
        if value is None:
            continue
        place = member.serialization.get("location")
        called = member.serialization.get("name", name)
        if place == "statusCode":
            status = value
        elif place == "header":
            headers.append((called.lower().encode(), str(value).encode("latin-1")))
        elif name == payload:
            content = value if isinstance(value, bytes) else wire.encode(_value(member, value))
        else:
            body[called] = _value(member, value)
    if status == 204:
        return status, headers, b""
    if content is None:
        content = wire.encode(body) if shape.members and payload is None and _has_body(shape) else b""
    return status, headers, content


def _has_body(shape: StructureShape) -> bool:
    return any(member.serialization.get("location") is None for member in shape.members.values())


def _value(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        return {
            member.serialization.get("name", name): _value(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [_value(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: _value(shape.value, each) for key, each in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return value


def error(shape: Shape | None, fault: Fault, request_id: str) -> Rendered:
    """A fault: the status and the spelling of its members are the error shape's; without a message there is none."""
    status = getattr(fault, "status", None) or STATUS.get(fault.code, 400)
    headers = [*_headers(request_id), (b"x-amzn-errortype", fault.code.encode())]
    if fault.code == "UnknownOperationException":
        return status, headers[1:], _UNKNOWN
    body: dict[str, Any] = {}
    if isinstance(shape, StructureShape):
        status = shape.metadata.get("error", {}).get("httpStatusCode", status)
        for name, member in shape.members.items():
            if member.serialization.get("location") == "header":
                told = str(fault.members.get(name, _RETRY_SECONDS))
                headers.append((member.serialization["name"].lower().encode(), told.encode()))
            elif name in ("message", "Message"):
                if fault.message is not None:
                    body[name] = fault.message
            elif name in fault.members:
                body[name] = fault.members[name]
    elif fault.code in _CAPITAL:
        body["Message"] = fault.message  # null, where it says no more than that
    elif fault.message is not None:
        body["message"] = fault.message
    return status, headers, wire.encode(body)


def _headers(request_id: str) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"application/json"), (b"x-amzn-requestid", request_id.encode())]
