"""How the operations of JSON services are written and read without botocore, which takes a hundred times as long.

msgspec writes members as they are and reads them back; only where a shape has times or bytes is there something to do,
and a function for just that is made of the model, once for each operation.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.utils import parse_timestamp

from .model import service_model

Convert = Callable[[Any], Any]
_EVERY = ("boolean", "byte", "double", "float", "integer", "long", "short", "string", "character")


@dataclass(frozen=True)
class Plan:
    """One operation. variable: of the environment, that names its service's endpoint; headers: of its requests, names
    in lower case; simple: does msgspec do for it?"""

    model: ServiceModel
    operation: OperationModel
    variable: str
    protocol: str
    signing_name: str
    simple: bool
    headers: tuple[tuple[str, str], ...] = ()
    written: Convert | None = None  # members for msgspec; None: as they are
    read: Convert | None = None

    def body(self, members: Mapping[str, Any]) -> bytes:
        """Raises TypeError for what JSON has not."""
        return _encode(members if self.written is None else self.written(members))

    def result(self, body: bytes) -> dict[str, Any]:
        """Raises ValueError for what is none."""
        found = _decode(body) if body else {}
        if not isinstance(found, dict):
            raise ValueError("the response is no JSON object")
        result: dict[str, Any] = found if self.read is None else self.read(found)
        return result


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@functools.cache
def variables(service: str) -> tuple[str, ...]:
    """Of the environment, that name a service's endpoint: as SDKs have it (AWS_ENDPOINT_URL_DYNAMODB_STREAMS), and by
    botocore's name of the service."""
    names = (str(service_model(service).service_id), service)
    every = [f"AWS_ENDPOINT_URL_{name.upper().replace(' ', '_').replace('-', '_')}" for name in names]
    return tuple(dict.fromkeys(every))


@functools.cache
def plan_of(service: str, operation: str) -> Plan:
    """service: botocore's name of it."""
    model = service_model(service)
    described = model.operation_model(operation)
    metadata = model.metadata
    protocols = metadata.get("protocols") or (metadata["protocol"],)
    protocol = (
        "json" if "json" in protocols else str(getattr(model, "resolved_protocol", metadata["protocol"]))
    )
    variable = variables(service)[0]
    signing = str(model.signing_name)
    simple = (
        protocol == "json"
        and not described.has_streaming_output
        and not described.has_event_stream_output
        and not described.has_event_stream_input
        and not (described.endpoint or {}).get("hostPrefix")
        and _writable(described.input_shape)
        and _writable(described.output_shape)
    )
    if protocol != "json":
        return Plan(model, described, variable, protocol, signing, simple)
    headers = (
        ("content-type", f"application/x-amz-json-{metadata['jsonVersion']}"),
        ("x-amz-target", f"{metadata['targetPrefix']}.{operation}"),
    )
    written, read = _converter(described.input_shape, _WRITE), _converter(described.output_shape, _READ)
    return Plan(model, described, variable, protocol, signing, simple, headers, written, read)


@functools.cache
def event_of(service: str, operation: str, event: str) -> Convert:
    """How one kind of event of a response that is a stream is read from JSON's values."""
    shape = plan_of(service, operation).operation.output_shape
    stream = next(each for each in shape.members.values() if each.serialization.get("eventstream"))
    return _converter(stream.members[event], _READ) or dict


def _writable(shape: Shape | None, seen: frozenset[str] = frozenset()) -> bool:
    """Is its JSON members by their own names, as far as they go? A shape within itself is not unrolled."""
    if shape is None:
        return True
    if shape.name in seen:
        return not _has_leaves(shape)
    seen |= {shape.name}
    if getattr(shape, "is_document_type", False):
        return False
    if shape.type_name == "structure":
        return all(
            member.serialization.get("name", name) == name
            and "location" not in member.serialization
            and _writable(member, seen)
            for name, member in shape.members.items()
        )
    if shape.type_name == "list":
        return _writable(shape.member, seen)
    if shape.type_name == "map":
        return shape.key.type_name == "string" and _writable(shape.value, seen)
    return shape.type_name in (*_EVERY, "timestamp", "blob")


def _has_leaves(shape: Shape, seen: frozenset[str] = frozenset()) -> bool:
    """Are there times or bytes in it?"""
    if shape.name in seen:
        return False
    seen |= {shape.name}
    if shape.type_name == "structure":
        return any(_has_leaves(each, seen) for each in shape.members.values())
    if shape.type_name in ("list", "map"):
        return _has_leaves(shape.member if shape.type_name == "list" else shape.value, seen)
    return shape.type_name in _WRITE


def _converter(
    shape: Shape | None, leaves: Mapping[str, Convert], seen: frozenset[str] = frozenset()
) -> Convert | None:
    """What is to be done with a value of this shape; None: nothing."""
    if shape is None or shape.name in seen:
        return None
    seen |= {shape.name}
    if shape.type_name == "structure":
        made = [(name, _converter(member, leaves, seen)) for name, member in shape.members.items()]
        parts = [(name, convert) for name, convert in made if convert is not None]
        return _of_structure(parts) if parts else None
    if shape.type_name == "list":
        each = _converter(shape.member, leaves, seen)
        return None if each is None else lambda values: [each(value) for value in values]
    if shape.type_name == "map":
        inner = _converter(shape.value, leaves, seen)
        return None if inner is None else lambda found: {name: inner(value) for name, value in found.items()}
    return leaves.get(shape.type_name)


def _of_structure(parts: list[tuple[str, Convert]]) -> Convert:
    def convert(members: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(members)
        for name, part in parts:
            if (value := made.get(name)) is not None:
                made[name] = part(value)
        return made

    return convert


def _seconds(value: Any) -> Any:
    """botocore writes whole seconds as such, and reads a text as the time that it says."""
    if isinstance(value, str):
        value = parse_timestamp(value)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        return int(value) if value == int(value) else value
    return value


def _time(value: Any) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    found: datetime = parse_timestamp(value)
    return found


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value)
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"no base64: {error}") from error


def _base64(value: Any) -> Any:
    """msgspec writes bytes as base64, and texts are meant as UTF-8."""
    return value.encode() if isinstance(value, str) else value


_WRITE: dict[str, Convert] = {"timestamp": _seconds, "blob": _base64}
_READ: dict[str, Convert] = {"timestamp": _time, "blob": _bytes}
