"""A service of AWS's JSON protocol as botocore models it: a request's body is parsed and checked, with AWS's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

from .. import wire
from .faults import Fault

CONTENT_TYPE = "application/x-amz-json-1.1"
_KINDS = {"string": str, "integer": int, "long": int, "double": float, "float": float, "boolean": bool}
_JSON_NAMES = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "DECIMAL_VALUE", bool: "TRUE_VALUE"}
_TYPE_NAMES = {"string": "a String", "integer": "an Integer", "long": "a Long", "boolean": "a Boolean"}
_RANGE = {
    "string": ("length", len),
    "list": ("length", len),
    "map": ("length", len),
    "integer": ("value", lambda n: n),
    "long": ("value", lambda n: n),
}


class JsonService:
    """A model's operations. `code` is the error that the service gives where a member breaks the model's rules."""

    def __init__(self, name: str, code: str) -> None:
        self.model = ServiceModel(Loader().load_service_model(name, "service-2"), name)
        self.operations = frozenset(self.model.operation_names)
        self._code = code

    def parse(self, operation: str, body: bytes) -> dict[str, Any]:
        """The members that the model knows and that are not null. Raises Fault."""
        shape = self.model.operation_model(operation).input_shape
        try:
            given = wire.decode(body or b"{}")
        except (ValueError, RecursionError):
            raise Fault("SerializationException", None) from None
        if not isinstance(given, dict):
            raise Fault("SerializationException", None)
        if shape is None:
            return {}
        request = _typed(shape, given)
        wrong = list(_violations(shape, request, ""))
        if wrong:
            plural = "s" if len(wrong) > 1 else ""
            raise Fault(self._code, f"{len(wrong)} validation error{plural} detected: " + "; ".join(wrong))
        return dict(request)


def _typed(shape: Shape, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        members = shape.members.items()
        return {n: _typed(s, value[n]) for n, s in members if value.get(n) is not None}
    if kind == "list" and isinstance(value, list):
        return [_typed(shape.member, each) for each in value if each is not None]
    if kind == "map" and isinstance(value, dict):
        return {k: _typed(shape.value, v) for k, v in value.items() if v is not None}
    wanted = _KINDS.get(kind)
    if wanted and isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return value
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is int and isinstance(value, float) and value.is_integer():
        return int(value)
    given = _JSON_NAMES.get(type(value))
    if given and kind in _TYPE_NAMES:
        raise Fault("SerializationException", f"{given} can not be converted to {_TYPE_NAMES[kind]}")
    raise Fault("SerializationException", None)


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield _said(None, f"{path}{name}", "Member must not be null")
        for name, each in value.items():
            yield from _violations(shape.members[name], each, f"{path}{name}.")
        return
    at = path.rstrip(".")
    yield from _own_violations(shape, value, at)
    if kind == "list":
        for n, each in enumerate(value, 1):
            yield from _violations(shape.member, each, f"{at}.{n}.member.")
    elif kind == "map":
        for key, each in value.items():
            broken = [*_own_violations(shape.key, key, at), *_own_violations(shape.value, each, at)]
            if broken:
                yield broken[0]


def _own_violations(shape: Shape, value: Any, at: str) -> Iterator[str]:
    rules = shape.metadata
    if shape.type_name == "string":
        pattern = rules.get("pattern")
        if pattern and not _pattern(pattern)(value):
            yield _said(value, at, f"Member must satisfy regular expression pattern: {pattern}")
        if shape.enum and value not in shape.enum:
            yield _said(value, at, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    measure = _RANGE.get(shape.type_name)
    if measure is None:
        return
    what, size = measure
    if "max" in rules and size(value) > rules["max"]:
        yield _said(value, at, f"Member must have {what} less than or equal to {rules['max']}")
    if "min" in rules and size(value) < rules["min"]:
        yield _said(value, at, f"Member must have {what} greater than or equal to {rules['min']}")


def _said(value: Any, at: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{_shown(value)}'"
    return f"Value {shown} at '{at}' failed to satisfy constraint: {constraint}"


def _shown(value: Any) -> str:
    """As Java prints it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={_shown(v)}" for k, v in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=256)
def _pattern(source: str) -> Callable[[str], Any]:
    """A model's pattern, which is Java's: its Unicode classes are spelt differently here."""
    for java, ours in (("\\p{L}", "\\w"), ("\\p{N}", "\\d"), ("\\p{Z}", "\\s")):
        source = source.replace(java, ours)
    try:
        return re.compile(source).fullmatch
    except re.error:
        return lambda value: True
