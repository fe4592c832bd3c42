"""A request against its model: the complaint that AWS makes of it, constraint by constraint, in AWS's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from .faults import Fault

_NESTS = (StructureShape, ListShape, MapShape)
_NOT_NULL = "Member must not be null"
Complaint = tuple[str, str, str]  # the value as it is printed ("" of a secret), where, the constraint


@dataclass(frozen=True, slots=True)
class Wording:
    """A service's complaints, where they are not as its model has them. Shapes are named by their names."""

    code: str = "ValidationException"
    enums: Mapping[str, str] = field(default_factory=dict)  # a shape's set as it is printed
    enums_at: Mapping[str, str] = field(default_factory=dict)  # the same of the member at a path
    patterns: Mapping[str, str] = field(default_factory=dict)  # a shape's pattern as it is printed
    full_lists: frozenset[str] = frozenset()  # lists whose members' rules are printed with "must not be null"
    later: frozenset[str] = frozenset()  # paths complained of after all others
    exempt: frozenset[tuple[str, str]] = frozenset()  # (shape, path) of enums that are not checked here
    pattern_first: bool = False  # a pattern and an enum are complained of before a length
    one_by_one: bool = (
        False  # each scalar of a list is complained of by its number, or else the list as a whole
    )


class Validator:
    """Checks requests to one service."""

    def __init__(self, wording: Wording) -> None:
        self._wording = wording

    def check(self, shape: StructureShape, request: Mapping[str, Any]) -> None:
        """Raises Fault when the request breaks a rule of its input's shape. No list or map may have null in it."""
        complaints = sorted(
            self._structure(shape, request, ""), key=lambda each: each[1] in self._wording.later
        )
        if complaints:
            text = "; ".join(
                f"Value{value and ' ' + value} at '{where}' failed to satisfy constraint: {rule}"
                for value, where, rule in complaints
            )
            n = f"{len(complaints)} validation error{'s' if len(complaints) > 1 else ''} detected"
            raise Fault(self._wording.code, f"{n}: {text}")

    def _structure(self, shape: StructureShape, value: Mapping[str, Any], where: str) -> Iterator[Complaint]:
        for name in shape.required_members:
            if value.get(name) is None:
                yield "null", _path(where, name), _NOT_NULL
        for name, member in shape.members.items():
            inner = value.get(name)
            if inner is not None:
                yield from self._member(member, inner, _path(where, name))

    def _member(self, shape: Shape, value: Any, where: str) -> Iterator[Complaint]:
        if isinstance(shape, StructureShape):
            yield from self._structure(shape, value, where)
        elif isinstance(shape, ListShape):
            yield from self._list(shape, value, where)
        elif isinstance(shape, MapShape):
            yield from self._map(shape, value, where)
        else:
            for rule in self._broken(shape, value, where):
                yield _printed(shape, value), where, rule

    def _list(self, shape: ListShape, value: list[Any], where: str) -> Iterator[Complaint]:
        for rule in _bounds(shape.metadata, len(value), "length"):
            yield _printed(shape, value), where, rule
        if self._wording.one_by_one or isinstance(shape.member, _NESTS):
            yield from self._each(shape.member, enumerate(value, 1), where)
        elif any(each is None or self._broken(shape.member, each) for each in value):
            rules = self._rules(shape.member, where)
            if shape.name in self._wording.full_lists or not rules:
                rules.append(_NOT_NULL)
            rule = rules[0] if len(rules) == 1 else f"Member must satisfy constraint: [{', '.join(rules)}]"
            yield _printed(shape, value), where, rule

    def _map(self, shape: MapShape, value: dict[str, Any], where: str) -> Iterator[Complaint]:
        printed = _printed(shape, value)
        for rule in _bounds(shape.metadata, len(value), "length"):
            yield printed, where, rule
        if any(self._broken(shape.key, key) for key in value):
            yield printed, where, f"Map keys must satisfy constraint: [{', '.join(self._rules(shape.key))}]"
        if isinstance(shape.value, _NESTS):
            yield from self._each(shape.value, value.items(), where)
        elif any(each is None or self._broken(shape.value, each) for each in value.values()):
            rules = [*self._rules(shape.value), _NOT_NULL]
            yield printed, where, f"Map value must satisfy constraint: [{', '.join(rules)}]"

    def _each(
        self, shape: Shape, members: Iterable[tuple[int | str, Any]], where: str
    ) -> Iterator[Complaint]:
        """Of members one by one, each by its number, which AWS starts with 1, or its key."""
        for at, each in members:
            if each is None:
                yield "null", f"{where}.{at}.member", _NOT_NULL
            else:
                yield from self._member(shape, each, f"{where}.{at}.member")

    def _broken(self, shape: Shape, value: Any, where: str = "") -> list[str]:
        """The rules of a scalar that this value does not keep."""
        meta = shape.metadata
        sizes: list[str] = []
        forms: list[str] = []
        if isinstance(shape, StringShape) or shape.type_name == "blob":
            sizes = _bounds(meta, len(value), "length")
            if "pattern" in meta and not _pattern(meta["pattern"]).fullmatch(value):
                forms.append(self._pattern_rule(shape))
            exempt = (shape.name, where) in self._wording.exempt
            if isinstance(shape, StringShape) and shape.enum and value not in shape.enum and not exempt:
                forms.append(self._enum_rule(shape, where))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            sizes = _bounds(meta, value, "value")
        return forms + sizes if self._wording.pattern_first else sizes + forms

    def _rules(self, shape: Shape, where: str = "") -> list[str]:
        """All rules of a scalar, in AWS's order."""
        meta = shape.metadata
        what = "value" if shape.type_name in ("integer", "long", "double", "float") else "length"
        out = _bounds(meta, None, what)
        if "pattern" in meta:
            out.append(self._pattern_rule(shape))
        if isinstance(shape, StringShape) and shape.enum:
            out.append(self._enum_rule(shape, where))
        return out

    def _pattern_rule(self, shape: Shape) -> str:
        pattern = self._wording.patterns.get(shape.name, shape.metadata["pattern"])
        return f"Member must satisfy regular expression pattern: {pattern}"

    def _enum_rule(self, shape: StringShape, where: str) -> str:
        wording = self._wording
        values = wording.enums_at.get(where) or wording.enums.get(shape.name) or f"[{', '.join(shape.enum)}]"
        return f"Member must satisfy enum value set: {values}"


def _path(where: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{where}.{name}" if where else name


def _bounds(meta: Mapping[str, Any], size: float | None, what: str) -> list[str]:
    """The bounds that a size is beyond; all of them, of no size."""
    out = []
    if "max" in meta and (size is None or size > meta["max"]):
        out.append(f"Member must have {what} less than or equal to {meta['max']}")
    if "min" in meta and (size is None or size < meta["min"]):
        out.append(f"Member must have {what} greater than or equal to {meta['min']}")
    return out


# Java's classes of characters, as sets that Python knows.
_CLASSES = {"\\p{L}": "\\w", "\\p{N}": "\\d", "\\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
            "\\p{Alnum}": "a-zA-Z0-9", "\\p{Print}": "\\x20-\\x7e"}  # fmt: skip


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of the model, which is Java's: where it names classes of characters, of all of Unicode."""
    flags = re.ASCII
    for java, python in _CLASSES.items():
        if java in pattern:
            pattern, flags = pattern.replace(java, python), re.UNICODE
    try:
        return re.compile(pattern, flags)
    except re.error:  # Java's alone: nothing is refused
        return re.compile(".*", re.DOTALL)


def _printed(shape: Shape, value: Any) -> str:
    """A value in a complaint; of a secret nothing."""
    inner = [getattr(shape, name) for name in ("member", "key", "value") if hasattr(shape, name)]
    if any(each.metadata.get("sensitive") for each in (shape, *inner)):
        return ""
    if shape.type_name == "blob":
        return "'java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]'".format(len(value))
    return f"'{_java(value)}'"


def _java(value: Any) -> str:
    """A value as Java prints it."""
    if isinstance(value, list):
        return f"[{', '.join(_java(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}={_java(each)}' for key, each in value.items())}}}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _double(value) if isinstance(value, float) else str(value)


def _double(value: float) -> str:
    """A number as Java prints it: with an exponent unless it is from a thousandth up to ten millions."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    digits, _, exponent = f"{Decimal(repr(value)).normalize():E}".partition("E")
    return f"{digits}{'' if '.' in digits else '.0'}E{int(exponent)}"
