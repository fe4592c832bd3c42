"""Event patterns as naively as can be: what the matcher is checked against.

Every array of the event is replaced by each of its elements in turn, which gives events without arrays; a pattern
without `exists: false` matches an event if it matches one of those. A field is absent if none of them has it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

World = list[tuple[str, Any]]  # paths and their scalars


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    worlds = list(_worlds(event, ""))
    present = {path for world in worlds for path, _ in world}
    return any(_holds(pattern, "", world, present) for world in worlds)


def _worlds(value: Any, path: str) -> Iterator[World]:
    if isinstance(value, list):
        for each in value or [None]:
            yield from _worlds(each, path) if value else iter([[]])
    elif isinstance(value, dict):
        worlds: list[World] = [[]]
        for key, inner in value.items():
            below = list(_worlds(inner, f"{path}.{key}"))
            worlds = [one + other for one in worlds for other in below]
        yield from worlds
    else:
        yield [(path, value)]


def _holds(pattern: Mapping[str, Any], path: str, world: World, present: set[str]) -> bool:
    for key, asked in pattern.items():
        if key == "$or":
            if not any(_holds(each, path, world, present) for each in asked):
                return False
        elif isinstance(asked, dict):
            if not _holds(asked, f"{path}.{key}", world, present):
                return False
        elif not _field(asked, f"{path}.{key}", world, present):
            return False
    return True


def _field(asked: list[Any], path: str, world: World, present: set[str]) -> bool:
    if {"exists": False} in asked and path not in present:
        return True
    return any(_takes(each, value) for at, value in world if at == path for each in asked)


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _takes(asked: Any, value: Any) -> bool:
    if not isinstance(asked, dict):
        return _same(asked, value)
    ((operator, operand),) = asked.items()
    if operator == "exists":
        return bool(operand)
    if operator == "anything-but":
        excluded = operand if isinstance(operand, list) else [operand]
        if isinstance(operand, dict):
            ((inner, each),) = operand.items()
            excluded = [{inner: text} for text in (each if isinstance(each, list) else [each])]
        return not any(_takes(each, value) for each in excluded)
    if operator == "numeric":
        return not isinstance(value, bool | str) and value is not None and _compared(operand, value)
    if not isinstance(value, str):
        return False
    if operator == "cidr":
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(operand, strict=False)
        except ValueError:
            return False
    if isinstance(operand, dict):
        value, operand = value.lower(), operand["equals-ignore-case"].lower()
    if operator == "equals-ignore-case":
        return value.lower() == operand.lower()
    if operator == "prefix":
        return value[: len(operand)] == operand
    if operator == "suffix":
        return value[::-1][: len(operand)] == operand[::-1]
    assert operator == "wildcard"
    regex = "".join(
        ".*" if part == "*" else re.escape(part[-1]) for part in re.findall(r"\\.|[^\\]", operand, re.DOTALL)
    )
    return re.fullmatch(regex, value, re.DOTALL) is not None


def _compared(operand: list[Any], value: float) -> bool:
    return all(
        eval(f"value {'==' if operator == '=' else operator} bound", {"value": value, "bound": bound})
        for operator, bound in zip(operand[::2], operand[1::2], strict=True)
    )
