"""A template's properties as the members of an operation: by botocore's model of it, so that no type is written here.

Templates give numbers and booleans as text as often as not, and documents as objects where the operation has text.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from ..aws.model import service_model
from ..errors import EngineError

_NUMBERS = {"integer": int, "long": int, "float": float, "double": float}


class Unsupported(EngineError):
    """A property that the resource's operation does not have, or a value that it cannot be."""


def shaped(service: str, operation: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an operation's request. Raises Unsupported."""
    shape = service_model(service).operation_model(operation).input_shape
    found: dict[str, Any] = _shaped(shape, dict(properties), "")
    return found


def known(service: str, operation: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Those that an operation's request may have."""
    shape = service_model(service).operation_model(operation).input_shape
    return {name: value for name, value in properties.items() if name in shape.members}


def only(properties: Mapping[str, Any], names: Collection[str]) -> None:
    """Raises Unsupported for one of another name."""
    if strange := sorted(set(properties) - set(names)):
        raise Unsupported(f"Encountered unsupported property {strange[0]}")


def lowered(value: Any) -> Any:
    """With member names that begin in lower case, as some APIs have them; values that are names stay."""
    if isinstance(value, list):
        return [lowered(each) for each in value]
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: lowered(each) for key, each in value.items()}
    return value


def _shaped(shape: Any, value: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        if not isinstance(value, dict):
            raise Unsupported(f"Value of property {path} must be an object")
        only(value, shape.members)
        return {name: _shaped(shape.members[name], each, name) for name, each in value.items()}
    if kind == "list":
        if not isinstance(value, list):
            raise Unsupported(f"Value of property {path} must be of type List")
        return [_shaped(shape.member, each, path) for each in value]
    if kind == "map":
        if not isinstance(value, dict):
            raise Unsupported(f"Value of property {path} must be an object")
        return {key: _shaped(shape.value, each, path) for key, each in value.items()}
    return _scalar(kind, value, path)


def _scalar(kind: str, value: Any, path: str) -> Any:
    try:
        if kind == "boolean":
            if str(value).lower() not in ("true", "false"):
                raise ValueError
            return str(value).lower() == "true"
        if kind in _NUMBERS:
            return _NUMBERS[kind](value)
    except (ValueError, TypeError):
        raise Unsupported(f"Value of property {path} must be of type {kind.capitalize()}") from None
    if kind == "string":
        return text(value)
    return value


def text(value: Any) -> str:
    """A value where an operation has text."""
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
