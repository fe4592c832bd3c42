"""An HTTP request as the members of an operation's input, typed as the model has them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from botocore.model import ListShape, MapShape, Shape, StructureShape

from .. import wire
from ..functions.faults import Fault

_KINDS = {str: "STRING_VALUE", bool: "BOOLEAN_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE"}
_WANTED = {
    "string": "a String", "integer": "an Integer", "long": "a Long", "boolean": "a Boolean", "double": "a Double",
    "float": "a Float", "blob": "a ByteBuffer", "timestamp": "a Timestamp",
}  # fmt: skip


def request(
    shape: StructureShape,
    labels: Mapping[str, str],
    raw_query: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
) -> dict[str, Any]:
    """Raises Fault: SerializationException."""
    out: dict[str, Any] = {}
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw_query, keep_blank_values=True, errors="replace"):
        query.setdefault(name, []).append(value)
    given = {name.lower(): value for name, value in headers}
    payload = shape.serialization.get("payload")
    inside: dict[str, Shape] = {}
    for name, member in shape.members.items():
        place = member.serialization.get("location")
        called = member.serialization.get("name", name)
        if place == "uri":
            out[name] = _text(member, labels[called])
        elif place == "querystring":
            if called in query:
                values = query[called]
                out[name] = (
                    [_text(member.member, value) for value in values]
                    if isinstance(member, ListShape)
                    else _text(member, values[-1])
                )
        elif place == "header":
            if called.lower() in given:
                out[name] = _text(member, given[called.lower()])
        elif name == payload and member.type_name in ("blob", "string"):
            out[name] = body if member.type_name == "blob" else body.decode("utf-8", "replace")
        elif name == payload:
            if body:
                out[name] = _value(member, _document(body))
        else:
            inside[name] = member
    if inside and payload is None and body.strip():
        document = _document(body)
        if not isinstance(document, dict):
            raise _broken("Unexpected token: a structure is expected")
        _members(inside, document, out)
    return out


def _document(body: bytes) -> Any:
    try:
        return wire.decode(body)
    except (ValueError, RecursionError) as error:
        raise _broken(f"Could not parse request body into json: {error}") from None


def _members(members: Mapping[str, Shape], document: dict[str, Any], out: dict[str, Any]) -> None:
    for name, member in members.items():
        value = document.get(member.serialization.get("name", name))
        if value is not None:
            out[name] = _value(member, value)


def _value(shape: Shape, value: Any) -> Any:
    kind = shape.type_name
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise _broken("Unexpected field type" if isinstance(value, list) else _not(value, "a structure"))
        out: dict[str, Any] = {}
        _members(shape.members, value, out)
        return out
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise _broken(
                "Expected list or null" if not isinstance(value, dict) else "Unrecognized collection type"
            )
        return [None if each is None else _value(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            raise _broken("Expected map or null")
        return {key: None if each is None else _value(shape.value, each) for key, each in value.items()}
    if isinstance(value, list | dict):
        raise _broken("Start of list found where not expected" if isinstance(value, list) else _STRUCTURE)
    if kind == "string":
        if isinstance(value, str):
            return value
        raise _broken(_not(value, kind))
    if kind == "boolean":
        if isinstance(value, bool):
            return value
        raise _broken(_not(value, kind))
    if kind == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise _broken(_not(value, kind)) from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _broken(_not(value, kind))
    if kind in ("integer", "long"):
        if isinstance(value, float) and not value.is_integer():
            raise _broken(_not(value, kind))
        return int(value)
    return value


def _text(shape: Shape, text: str) -> Any:
    """A member from a path, a query or a header."""
    kind = shape.type_name
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("double", "float"):
            return float(text)
    except ValueError:
        raise _broken(_not(text, kind)) from None
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise _broken(_not(text, kind))
        return text.lower() == "true"
    return text


_STRUCTURE = "Start of structure or map found where not expected."


def _not(value: Any, wanted: str) -> str:
    return f"{_KINDS.get(type(value), 'VALUE')} can not be converted to {_WANTED.get(wanted, wanted)}"


def _broken(message: str) -> Fault:
    return Fault("SerializationException", message)
