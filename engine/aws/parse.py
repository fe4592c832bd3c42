"""An HTTP request as the members of an operation's input, typed as the model has them.

What cannot be read is a SerializationException. Its texts are those that AWS's services of the same framework were
measured to answer with, by what the JSON has and what the model wants: a body that is no JSON has no message.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from botocore.model import ListShape, MapShape, Shape, StructureShape

from .. import wire
from .faults import Fault

_WANTED = {
    "string": "a String", "integer": "an Integer", "long": "a Long", "boolean": "an Boolean", "double": "a Double",
    "float": "a Float", "blob": "a ByteBuffer", "timestamp": "a Timestamp",
}  # fmt: skip
_LIST = "Start of list found where not expected"
_STRUCTURE = "Start of structure or map found where not expected."
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_LONG = 2**63


def request(
    shape: StructureShape,
    labels: Mapping[str, str],
    raw_query: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
) -> dict[str, Any]:
    """Members by their names in the model: blobs are bytes, timestamps epoch seconds; unknown ones are ignored.

    Raises Fault: SerializationException.
    """
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
        if isinstance(document, list):
            raise _broken(_LIST)
        if not isinstance(document, dict):
            raise _broken(None)
        _members(inside, document, out)
    return out


def _document(body: bytes) -> Any:
    """A body's JSON: strict, without NaN and without halves of surrogate pairs, which nothing could store."""
    try:
        return wire.fast_decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise _broken(None) from None


def _members(members: Mapping[str, Shape], document: dict[str, Any], out: dict[str, Any]) -> None:
    for name, member in members.items():
        value = document.get(member.serialization.get("name", name))
        if value is not None:
            out[name] = _value(member, value)


def _value(shape: Shape, value: Any) -> Any:
    if isinstance(shape, ListShape):
        if isinstance(value, list):
            return [None if each is None else _value(shape.member, each) for each in value]
        raise _broken(_STRUCTURE if isinstance(value, dict) else "Expected list or null")
    if isinstance(value, list):
        raise _broken(_LIST)
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise _broken("Expected null")
        out: dict[str, Any] = {}
        _members(shape.members, value, out)
        return out
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            raise _broken("Expected map or null")
        return {key: None if each is None else _value(shape.value, each) for key, each in value.items()}
    if isinstance(value, dict):
        raise _broken(_STRUCTURE)
    return _scalar(shape.type_name, value)


def _scalar(kind: str, value: str | bool | int | float) -> Any:
    if kind == "string":
        if isinstance(value, str):
            return value
    elif kind == "boolean":
        if isinstance(value, bool):
            return value
    elif kind == "blob":
        if isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                pass
    elif not isinstance(value, bool | str) and abs(value) < _LONG:
        if kind in ("integer", "long"):
            return int(value)  # 1.5 is 1 to AWS
        return value if kind == "timestamp" else float(value)
    raise _not(kind, value)


def _text(shape: Shape, text: str) -> Any:
    """A member from a path, a query or a header."""
    kind = shape.type_name
    if kind in ("integer", "long"):
        if _WHOLE.fullmatch(text):
            return _scalar(kind, int(text))
    elif kind in ("double", "float", "timestamp"):
        number = _seconds(text) if kind == "timestamp" else _number(text)
        if number is not None:
            return number
    elif kind != "boolean":
        return text
    elif text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise _not(kind, text)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds(text: str) -> float | None:
    """Epoch seconds of a date as ISO 8601 has it, UTC unless it says otherwise, or of seconds as they are."""
    try:
        date = datetime.fromisoformat(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return _number(text)


def _not(kind: str, value: str | bool | int | float) -> Fault:
    given = (
        "STRING" if isinstance(value, str) else str(value).upper() if isinstance(value, bool) else "NUMBER"
    )
    return _broken(f"{given}_VALUE can not be converted to {_WANTED[kind]}")


def _broken(message: str | None) -> Fault:
    return Fault("SerializationException", message)
