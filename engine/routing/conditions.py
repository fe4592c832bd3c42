"""What an event pattern asks of one field: values, and operators that test a value and may stand in an index."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Scalar = Any  # a str, a number, or one of the three below: Python's True is a 1
NULL, TRUE, FALSE = ("null",), ("true",), ("false",)
_CONSTANTS: dict[Any, Scalar] = {None: NULL, True: TRUE, False: FALSE}


def scalar(value: Any) -> Scalar:
    """A scalar of JSON as one that is equal to its like only."""
    return _CONSTANTS[value] if value is None or value is True or value is False else value


def fold(text: str) -> str:
    """Without case, character by character: what a prefix is stays one."""
    return text.lower() if text.isascii() else "".join(map(str.lower, text))


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator with its operand. kind and key: where an index may have it; "any": nowhere better than with its
    field."""

    kind: str  # prefix, suffix, fold, prefix-fold, suffix-fold, range, network or any
    key: Any
    test: Callable[[Scalar], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field must be: one of `values`, or what an operator takes, or, if `absent`, not there."""

    path: str
    values: frozenset[Scalar]
    operators: tuple[Operator, ...]
    absent: bool

    def test(self, value: Scalar) -> bool:
        return value in self.values or any(operator.test(value) for operator in self.operators)


def prefix(text: str) -> Operator:
    return Operator("prefix", text, lambda value: type(value) is str and value.startswith(text))


def suffix(text: str) -> Operator:
    return Operator("suffix", text, lambda value: type(value) is str and value.endswith(text))


def ignoring_case(text: str) -> Operator:
    folded = fold(text)
    return Operator("fold", folded, lambda value: type(value) is str and fold(value) == folded)


def prefix_ignoring_case(text: str) -> Operator:
    folded = fold(text)
    return Operator(
        "prefix-fold", folded, lambda value: type(value) is str and fold(value).startswith(folded)
    )


def suffix_ignoring_case(text: str) -> Operator:
    folded = fold(text)
    return Operator("suffix-fold", folded, lambda value: type(value) is str and fold(value).endswith(folded))


def exists() -> Operator:
    return Operator("any", None, lambda value: True)


def wildcard(parts: list[str]) -> Operator:
    """Any text of these parts in this order, with anything between them: the first begins it, the last ends it."""
    head, *middle = parts
    tail = middle.pop() if middle else None
    if tail is None:
        return Operator("prefix", head, lambda value: type(value) is str and value == head)
    least = sum(map(len, parts))

    def test(value: Scalar) -> bool:
        if type(value) is not str or len(value) < least:
            return False
        if not (value.startswith(head) and value.endswith(tail)):
            return False
        at, end = len(head), len(value) - len(tail)
        for part in middle:  # the first place is as good as any: no way back is needed
            at = value.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    if head:
        return Operator("prefix", head, test)
    return Operator("suffix", tail, test) if tail else Operator("any", None, test)


def anything_but(values: frozenset[Scalar], operators: tuple[Operator, ...] = ()) -> Operator:
    excluded = Condition("", values, operators, False)
    return Operator("any", None, lambda value: not excluded.test(value))


Range = tuple[float, bool, float, bool]  # low, inclusive, high, inclusive


def is_number(value: Scalar) -> bool:
    return type(value) is int or type(value) is float


def numeric(bounds: Range) -> Operator:
    low, with_low, high, with_high = bounds

    def test(value: Scalar) -> bool:
        if not is_number(value):
            return False
        return (low < value or (with_low and low == value)) and (
            value < high or (with_high and value == high)
        )

    return Operator("range", bounds, test)


Network = tuple[int, int, int]  # IP version, bits of the mask, the bits of the network


def network(version: int, bits: int, address: int) -> Operator:
    shift = (32 if version == 4 else 128) - bits
    key = version, bits, address >> shift

    def test(value: Scalar) -> bool:
        found = parsed_address(value)
        return found is not None and found[0] == version and found[1] >> shift == key[2]

    return Operator("network", key, test)


def parsed_address(value: Scalar) -> tuple[int, int] | None:
    """IP version and address; None: it is none."""
    if type(value) is not str or not value or value[-1] not in "0123456789abcdefABCDEF:":
        return None
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return None
    return found.version, int(found)
