"""A request against its model: AWS's ValidationException, constraint by constraint, in AWS's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from ..services.lambda_.configuration import RUNTIMES
from .faults import Fault


@dataclass(frozen=True, slots=True)
class Wording:
    """How a service words what is wrong with a request, where that is more than its model has.

    enums: sets as it prints them, by shape name; enums_at: by a member's path. patterns: by shape name.
    full_lists: shapes of lists of whose members it says, beside their other rules, that they must not be null.
    later: paths of members that it complains of last. exempt: (shape name, path) of enums that the operation checks."""

    enums: Mapping[str, str] = field(default_factory=dict)
    enums_at: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    full_lists: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    exempt: frozenset[tuple[str, str]] = frozenset()


# As AWS prints them, where that is known: its sets have an order of their own, and more than the model tells.
_ENUMS = {
    "EventSourcePosition": "[LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
    "InvokeMode": "[RESPONSE_STREAM, BUFFERED]",
    "RecursiveLoop": "[Terminate, Allow]",
}
# The same of one member, by its path: of the runtimes, AWS shows these two sets.
_ENUMS_AT = {
    "compatibleRuntimes": f"[{RUNTIMES}]",
    "compatibleRuntime":
    "[ruby3.5, ruby2.6, dotnetcore1.0, python3.7, nodejs8.10, nasa, ruby2.7, python2.7-greengrass, "
    "dotnetcore2.0, python3.8, java21, dotnet6, dotnetcore2.1, python3.9, java11, nodejs6.10, provided, "
    "dotnetcore3.1, dotnet8, java25, java17, nodejs, nodejs4.3, java8.al2, go1.x, dotnet10, nodejs20.x, "
    "go1.9, byol, nodejs10.x, provided.al2023, nodejs22.x, python3.10, java8, nodejs12.x, python3.11, "
    "nodejs24.x, nodejs8.x, python3.12, nodejs14.x, nodejs8.9, nodejs26.x, python3.13, python3.14, "
    "nodejs16.x, python3.15, provided.al2, nodejs4.3-edge, nodejs18.x, ruby3.2, python3.4, ruby3.3, "
    "ruby3.4, ruby2.5, python3.6, python2.7]",
}  # fmt: skip
_PATTERNS = {
    "LayerVersionArn": "(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}"
    ":layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)",
    "TaggableResource": "arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}"
    ":(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)"
    "|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}"
    "-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)",
}
_NESTS = (StructureShape, ListShape, MapShape)
_NOT_NULL = "Member must not be null"
# Lists of whose members AWS says beside the other rules that they must not be null. No list may have null in it.
_FULL_LISTS = {"ArchitecturesList", "CompatibleArchitectures", "LayerList"}
# Complained of after all else, unlike the model's order: a member that its operation was given later.
_LATER = {"compatibleArchitectures"}
Complaint = tuple[str, str, str]  # the value as it is printed ("" of a secret), where, the constraint


def compiled(shape: StructureShape) -> Callable[[dict[str, Any]], None]:
    """A check of requests with this input: raises Fault, ValidationException."""

    def check(request: dict[str, Any]) -> None:
        complaints = list(_structure(shape, request, ""))
        if complaints:
            raise fault(sorted(complaints, key=lambda each: each[1] in _LATER))

    return check


def fault(complaints: list[Complaint]) -> Fault:
    """What AWS says of them."""
    n = len(complaints)
    told = "; ".join(
        f"Value{value and ' ' + value} at '{where}' failed to satisfy constraint: {rule}"
        for value, where, rule in complaints
    )
    return Fault("ValidationException", f"{n} validation error{'s' if n > 1 else ''} detected: {told}")


def _structure(shape: StructureShape, value: dict[str, Any], where: str) -> Iterator[Complaint]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield "null", _path(where, name), _NOT_NULL
    for name, member in shape.members.items():
        inner = value.get(name)
        if inner is not None:
            yield from _member(member, inner, _path(where, name))


def _path(where: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{where}.{name}" if where else name


def _member(shape: Shape, value: Any, where: str) -> Iterator[Complaint]:
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, where)
    elif isinstance(shape, ListShape):
        yield from _list(shape, value, where)
    elif isinstance(shape, MapShape):
        yield from _map(shape, value, where)
    else:
        for rule in _broken(shape, value, where):
            yield _shown(shape, value), where, rule


def _list(shape: ListShape, value: list[Any], where: str) -> Iterator[Complaint]:
    for rule in _lengths(shape, len(value)):
        yield _shown(shape, value), where, rule
    if isinstance(shape.member, _NESTS):
        yield from _each(shape.member, enumerate(value, 1), where)
    elif any(each is None or _broken(shape.member, each) for each in value):
        rules = _rules(shape.member, where)
        if shape.name in _FULL_LISTS or not rules:
            rules.append(_NOT_NULL)
        told = rules[0] if len(rules) == 1 else f"Member must satisfy constraint: [{', '.join(rules)}]"
        yield _shown(shape, value), where, told


def _map(shape: MapShape, value: dict[str, Any], where: str) -> Iterator[Complaint]:
    shown = _shown(shape, value)
    for rule in _lengths(shape, len(value)):
        yield shown, where, rule
    if any(_broken(shape.key, key) for key in value):
        yield shown, where, f"Map keys must satisfy constraint: [{', '.join(_rules(shape.key))}]"
    if isinstance(shape.value, _NESTS):
        yield from _each(shape.value, value.items(), where)
    elif any(each is None or _broken(shape.value, each) for each in value.values()):
        rules = [*_rules(shape.value), _NOT_NULL]
        yield shown, where, f"Map value must satisfy constraint: [{', '.join(rules)}]"


def _each(shape: Shape, members: Iterable[tuple[int | str, Any]], where: str) -> Iterator[Complaint]:
    """Of members that have members themselves, each by its number, which AWS starts with 1, or its key."""
    for at, each in members:
        if each is None:
            yield "null", f"{where}.{at}.member", _NOT_NULL
        else:
            yield from _member(shape, each, f"{where}.{at}.member")


def _own_words(shape: Shape, where: str) -> bool:
    """A function's runtime is refused by the operation, which says more than the enum."""
    return shape.name == "Runtime" and where == "runtime"


def _broken(shape: Shape, value: Any, where: str = "") -> list[str]:
    """The rules of a scalar that this value does not keep."""
    out: list[str] = []
    meta = shape.metadata
    if isinstance(shape, StringShape) or shape.type_name == "blob":
        out += _lengths(shape, len(value))
        if "pattern" in meta and not _pattern(shape.name, meta["pattern"]).fullmatch(value):
            out.append(_pattern_rule(shape))
        if (
            isinstance(shape, StringShape)
            and shape.enum
            and value not in shape.enum
            and not _own_words(shape, where)
        ):
            out.append(_enum_rule(shape, where))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "max" in meta and value > meta["max"]:
            out.append(f"Member must have value less than or equal to {meta['max']}")
        if "min" in meta and value < meta["min"]:
            out.append(f"Member must have value greater than or equal to {meta['min']}")
    return out


def _lengths(shape: Shape, length: int) -> list[str]:
    meta = shape.metadata
    out = []
    if "max" in meta and length > meta["max"]:
        out.append(f"Member must have length less than or equal to {meta['max']}")
    if "min" in meta and length < meta["min"]:
        out.append(f"Member must have length greater than or equal to {meta['min']}")
    return out


def _rules(shape: Shape, where: str = "") -> list[str]:
    """All rules of a scalar, in AWS's order."""
    meta = shape.metadata
    what = "value" if shape.type_name in ("integer", "long", "double", "float") else "length"
    out = []
    if "max" in meta:
        out.append(f"Member must have {what} less than or equal to {meta['max']}")
    if "min" in meta:
        out.append(f"Member must have {what} greater than or equal to {meta['min']}")
    if "pattern" in meta:
        out.append(_pattern_rule(shape))
    if isinstance(shape, StringShape) and shape.enum:
        out.append(_enum_rule(shape, where))
    return out


def _pattern_rule(shape: Shape) -> str:
    return f"Member must satisfy regular expression pattern: {_PATTERNS.get(shape.name, shape.metadata['pattern'])}"


def _enum_rule(shape: StringShape, where: str) -> str:
    known = _ENUMS_AT.get(where) or _ENUMS.get(shape.name) or f"[{', '.join(shape.enum)}]"
    return f"Member must satisfy enum value set: {known}"


# Java's classes of characters, as sets that Python knows.
_CLASSES = {"\\p{L}": "\\w", "\\p{N}": "\\d", "\\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
            "\\p{Alnum}": "a-zA-Z0-9", "\\p{Print}": "\\x20-\\x7e"}  # fmt: skip


@cache
def _pattern(_name: str, pattern: str) -> re.Pattern[str]:
    """A pattern of the model, which is Java's: where it names classes of characters, of all of Unicode."""
    flags = re.ASCII
    for java, python in _CLASSES.items():
        if java in pattern:
            pattern, flags = pattern.replace(java, python), re.UNICODE
    return re.compile(pattern, flags)


def _shown(shape: Shape, value: Any) -> str:
    """A value in a complaint; of a secret nothing."""
    inner = [getattr(shape, name) for name in ("member", "key", "value") if hasattr(shape, name)]
    if any(each.metadata.get("sensitive") for each in (shape, *inner)):
        return ""
    if shape.type_name == "blob":
        return "'java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]'".format(len(value))
    return f"'{_printed(value)}'"


def _printed(value: Any) -> str:
    """As Java prints it."""
    if isinstance(value, list):
        return f"[{', '.join(_printed(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}={_printed(each)}' for key, each in value.items())}}}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _double(value) if isinstance(value, float) else str(value)


def _double(value: float) -> str:
    """As Java prints it: with an exponent unless it is from a thousandth up to ten millions."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    digits, _, exponent = f"{Decimal(repr(value)).normalize():E}".partition("E")
    return f"{digits}{'' if '.' in digits else '.0'}E{int(exponent)}"
