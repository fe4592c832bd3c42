"""Patch operations, by which every part of a REST API is updated: on records, by the shape that their model has."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.model import Shape

from ...aws.model import Operation
from ...durable.state import Record
from .faults import bad

_CATEGORIES = {
    "metrics/enabled": "metricsEnabled", "logging/loglevel": "loggingLevel", "logging/dataTrace": "dataTraceEnabled",
    "throttling/burstLimit": "throttlingBurstLimit", "throttling/rateLimit": "throttlingRateLimit",
    "caching/enabled": "cachingEnabled", "caching/ttlInSeconds": "cacheTtlInSeconds",
    "caching/dataEncrypted": "cacheDataEncrypted",
}  # fmt: skip


def patched(
    operation: Operation, record: Mapping[str, Any], members: Mapping[str, Any], fixed: Iterable[str]
) -> Record:
    """A record after a request's patches. operation: the request's, whose output is such a record; fixed: members that
    none may change. Raises Fault."""
    shape = operation.output
    assert shape is not None
    changed = copy.deepcopy(dict(record))
    for each in members.get("patchOperations") or ():
        op, path, value = each.get("op"), each.get("path") or "", each.get("value")
        if op not in ("add", "remove", "replace"):
            raise bad(f"Invalid patch operation specified: {op}. Must be one of: [add, remove, replace]")
        steps = [part.replace("~1", "/").replace("~0", "~") for part in path.removeprefix("/").split("/")]
        if not path.startswith("/") or steps[0] in fixed:
            raise _path(path)
        setting = "/".join(steps[2:])
        if setting in _CATEGORIES and "methodSettings" in getattr(shape, "members", {}):
            steps = ["methodSettings", f"{steps[0]}/{steps[1]}", _CATEGORIES[setting]]
        _apply(shape, changed, steps, op, value, path)
    return changed


def _path(path: str) -> Exception:
    return bad(f"Invalid patch path {path}")


def _apply(
    shape: Shape, into: dict[str, Any], steps: list[str], op: str, value: str | None, path: str
) -> None:
    """One operation, in an object that the shape describes."""
    name, *rest = steps
    if shape.type_name == "structure":
        if name not in shape.members:
            raise _path(path)
        inner = shape.members[name]
    else:
        inner = shape.value
    if inner.type_name == "list":
        into[name] = _listed(inner, list(into.get(name) or []), rest, op, value, path)
    elif rest:
        if inner.type_name not in ("structure", "map"):
            raise _path(path)
        below = into[name] = dict(into.get(name) or {})
        _apply(inner, below, rest, op, value, path)
    elif op == "remove":
        into.pop(name, None)
    elif inner.type_name in ("structure", "map") or value is None:
        raise _path(path)
    else:
        into[name] = _typed(inner, value, path)


def _listed(
    shape: Shape, found: list[Any], rest: list[str], op: str, value: str | None, path: str
) -> list[Any]:
    """A list is of texts, one of which is the path's end or the value; or of a usage plan's stages."""
    if shape.member.type_name == "structure":
        api_id, colon, stage = (value or "").partition(":")
        if not colon or rest:
            raise _path(path)
        kept = [each for each in found if (each.get("apiId"), each.get("stage")) != (api_id, stage)]
        return kept if op == "remove" else [*kept, {"apiId": api_id, "stage": stage}]
    text = "/".join(rest) or value
    if text is None:
        return [] if op == "remove" else found
    if op == "remove":
        return [each for each in found if each != text]
    if op == "replace":  # the path names what there is, "" all of it
        return [value if each == "/".join(rest) else each for each in found] if rest else [value]
    return found if text in found else [*found, text]


def _typed(shape: Shape, value: str, path: str) -> Any:
    kind = shape.type_name
    try:
        if kind == "boolean":
            return {"true": True, "false": False}[value.lower()]
        if kind in ("integer", "long"):
            return int(value)
        if kind in ("double", "float"):
            return float(value)
    except (KeyError, ValueError):
        raise bad(f"Invalid value {value!r} for {path}") from None
    if getattr(shape, "enum", None) and value not in shape.enum:
        raise bad(f"Invalid value {value!r} for {path}. Must be one of: [{', '.join(shape.enum)}]")
    return value
