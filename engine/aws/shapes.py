"""Values by a model's shapes, for every protocol: JSON, form parameters and text to typed members, and members back.

Typed members are named as in the model; blobs are bytes, timestamps epoch seconds. What a protocol reads differently
is a Dialect. The texts of a SerializationException are those that AWS's services were measured to respond with, by
what the request has and what the model has: a document that is no JSON has no text.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from xml.sax.saxutils import escape

import msgspec
from botocore.model import Shape

from .. import wire
from .faults import Fault

EPOCH, ISO, HTTP_DATE = "unixTimestamp", "iso8601", "rfc822"  # formats of a timestamp
KINDS = {
    "string": "a String", "integer": "an Integer", "long": "a Long", "boolean": "an Boolean", "double": "a Double",
    "float": "a Float", "blob": "a ByteBuffer", "timestamp": "a Timestamp",
}  # fmt: skip
_INTEGERS = ("integer", "long")
_LIST = "Start of list found where not expected"
_STRUCTURE = "Start of structure or map found where not expected."
_EXPECTED = {"list": "Expected list or null", "map": "Expected map or null", "structure": "Expected null"}
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_LONG = 2**63
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FORM_DEPTH = 32
Node = dict[str | None, Any]  # of a form: the nodes below it by name, and the text of its own under None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the services of a protocol read JSON."""

    kinds: Mapping[str, str] = field(default_factory=lambda: KINDS)  # how a complaint names each type
    fraction: str = "NUMBER"  # how it names a number that is not whole
    truncates: bool = True  # 1.5 is 1 where an integer is expected, or else refused
    nulls: bool = True  # null stays in lists and maps, for validation to refuse, or else is dropped
    strict: bool = True  # NaN and lone surrogates are no JSON


class Reader:
    """Reads typed members. Every method but `tree` raises Fault: SerializationException."""

    def __init__(self, dialect: Dialect | None = None) -> None:
        self._dialect = dialect or Dialect()

    def document(self, body: bytes) -> Any:
        """A body's JSON."""
        try:
            return wire.fast_decode(body) if self._dialect.strict else wire.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise _broken(None) from None

    def members(self, shapes: Mapping[str, Shape], document: Any) -> dict[str, Any]:
        """The members of a whole document. Unknown ones are ignored, null is as absent."""
        if isinstance(document, list):
            raise _broken(_LIST)
        if not isinstance(document, dict):
            raise _broken(None)
        return self._structure(shapes, document)

    def _structure(self, shapes: Mapping[str, Shape], document: dict[str, Any]) -> dict[str, Any]:
        out = {}
        for name, shape in shapes.items():
            value = document.get(shape.serialization.get("name", name))
            if value is not None:
                out[name] = self.value(shape, value)
        return out

    def value(self, shape: Shape, value: Any) -> Any:
        """A value of JSON that is not null."""
        kind = shape.type_name
        nulls = self._dialect.nulls
        if isinstance(value, list):
            if kind != "list":
                raise _broken(_LIST)
            kept = (each for each in value if nulls or each is not None)
            return [None if each is None else self.value(shape.member, each) for each in kept]
        if isinstance(value, dict):
            if kind == "structure":
                return self._structure(shape.members, value)
            if kind != "map":
                raise _broken(_STRUCTURE)
            pairs = ((key, each) for key, each in value.items() if nulls or each is not None)
            return {key: None if each is None else self.value(shape.value, each) for key, each in pairs}
        if kind in _EXPECTED:
            raise _broken(_EXPECTED[kind])
        return self._scalar(shape, value)

    def _scalar(self, shape: Shape, value: str | bool | int | float) -> Any:
        kind = shape.type_name
        if isinstance(value, str):
            if kind == "string":
                return value
            if kind == "blob":
                try:
                    return base64.b64decode(value, validate=True)
                except (binascii.Error, ValueError):
                    pass
            elif kind == "timestamp" and shape.serialization.get("timestampFormat", EPOCH) != EPOCH:
                seconds = _seconds(value)
                if seconds is not None:
                    return seconds
        elif isinstance(value, bool):
            if kind == "boolean":
                return value
        elif kind in _INTEGERS:
            if abs(value) < _LONG and (self._dialect.truncates or value == int(value)):
                return int(value)
        elif kind in ("double", "float"):
            if isinstance(value, int) or math.isfinite(value):
                return float(value)
        elif kind == "timestamp" and abs(value) < _LONG:
            return value
        raise self._not(kind, value)

    def text(self, shape: Shape, text: str) -> Any:
        """A value that stands as text in a path, a query, a header or a form."""
        kind = shape.type_name
        value: Any = None
        if kind in _INTEGERS and _WHOLE.fullmatch(text):
            value = int(text)
        elif kind in ("double", "float"):
            value = _number(text)
        elif kind == "boolean":
            value = {"true": True, "false": False}.get(text.lower())
        elif kind == "timestamp":
            value = _seconds(text)
        return self._scalar(shape, text if value is None else value)

    def _not(self, kind: str, value: str | bool | int | float) -> Fault:
        if isinstance(value, str):
            name = "STRING"
        elif isinstance(value, bool):
            name = str(value).upper()
        else:
            name = "NUMBER" if isinstance(value, int) else self._dialect.fraction
        return _broken(f"{name}_VALUE can not be converted to {self._dialect.kinds.get(kind, kind)}")

    @staticmethod
    def tree(fields: Mapping[str, str]) -> Node:
        """A form's parameters by the parts of their names: Tags.member.1.Key."""
        root: Node = {}
        for name, text in fields.items():
            node = root
            for part in name.split(".", _FORM_DEPTH):
                node = node.setdefault(part, {})
            node[None] = text
        return root

    def form(self, shape: Shape, node: Node) -> Any:
        """A value of a form: lists are numbered from 1, maps are numbered pairs."""
        kind, flattened = shape.type_name, shape.serialization.get("flattened")
        if kind not in _EXPECTED:
            if None not in node or len(node) > 1:
                raise _broken(_LIST)
            return self.text(shape, node[None])
        if node.get(None):
            raise _broken(_EXPECTED[kind])
        if kind == "structure":
            found = (
                (name, member, node.get(element(member, name))) for name, member in shape.members.items()
            )
            return {name: self.form(member, below) for name, member, below in found if below is not None}
        if kind == "list":
            below = _numbered(node if flattened else node.get(element(shape.member, "member"), {}))
            return [self.form(shape.member, each) for each in below]
        key, value = element(shape.key, "key"), element(shape.value, "value")
        pairs = _numbered(node if flattened else node.get("entry", {}))
        if any(key not in pair for pair in pairs):
            raise _broken(_EXPECTED[kind])
        return {
            self.form(shape.key, pair[key]): self.form(shape.value, pair.get(value, {})) for pair in pairs
        }


def _numbered(node: Node) -> list[Node]:
    numbers = [name for name in node if name and name.isascii() and name.isdigit() and len(name) < 10]
    return [node[number] for number in sorted(numbers, key=int)]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds(text: str) -> float | None:
    """Epoch seconds of a date as ISO 8601 or HTTP has it, UTC unless it names another zone, or of seconds."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            date = read(text)
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            pass
    return _number(text)


def _broken(message: str | None) -> Fault:
    return Fault("SerializationException", message)


def to_json(shape: Shape, value: Any) -> Any:
    """A typed value as JSON has it. Members that are None, or that the model does not have, are left out."""
    kind = shape.type_name
    if kind == "structure":
        return {
            member.serialization.get("name", name): to_json(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if kind == "list":
        return [to_json(shape.member, each) for each in value]
    if kind == "map":
        return {key: to_json(shape.value, each) for key, each in value.items()}
    if kind == "blob" or (kind == "timestamp" and shape.serialization.get("timestampFormat", EPOCH) != EPOCH):
        return to_text(shape, value, EPOCH)
    return value


def to_text(shape: Shape, value: Any, timestamps: str) -> str:
    """A scalar as a header or XML has it. timestamps: the format of those whose shape names none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if shape.type_name != "timestamp" or isinstance(value, str):
        return str(value)
    stamp = shape.serialization.get("timestampFormat", timestamps)
    if stamp == HTTP_DATE:
        return formatdate(value, usegmt=True)
    if stamp == EPOCH:
        return str(value)
    date = datetime.fromtimestamp(value, UTC)
    precision = "milliseconds" if date.microsecond else "seconds"
    return date.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def to_xml(name: str, shape: Shape, value: Any) -> Iterator[str]:
    """A typed value as an element of this name, or as several where a list or a map is flattened."""
    kind, flattened = shape.type_name, shape.serialization.get("flattened")
    if kind not in _EXPECTED:
        yield f"<{name}>{xml_text(to_text(shape, value, ISO))}</{name}>"
        return
    if not flattened:
        yield f"<{name}>"
    if kind == "structure":
        yield from xml_members(shape, value)
    elif kind == "list":
        for each in value:
            yield from to_xml(name if flattened else element(shape.member, "member"), shape.member, each)
    else:
        entry = name if flattened else "entry"
        for key, each in value.items():
            yield f"<{entry}>"
            yield from to_xml(element(shape.key, "key"), shape.key, key)
            yield from to_xml(element(shape.value, "value"), shape.value, each)
            yield f"</{entry}>"
    if not flattened:
        yield f"</{name}>"


def xml_members(shape: Shape, value: Mapping[str, Any]) -> Iterator[str]:
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from to_xml(element(member, name), member, value[name])


def xml_text(text: str) -> str:
    """Text in an element; what XML cannot express is replaced."""
    return escape(_NOT_IN_XML.sub("\ufffd", text), {"\r": "&#13;"})


def element(shape: Shape, name: str) -> str:
    """A member's name in forms and XML: a flattened list has its members' name."""
    if (
        shape.type_name == "list"
        and shape.serialization.get("flattened")
        and "name" in shape.member.serialization
    ):
        return str(shape.member.serialization["name"])
    return str(shape.serialization.get("name", name))
