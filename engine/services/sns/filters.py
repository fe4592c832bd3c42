"""Filter policies: SNS's dialect of event patterns, compiled for a message's attributes or for its body."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ... import wire
from ...routing.conditions import is_number
from ...routing.grammar import InvalidPattern, compiled
from ...routing.patterns import Pattern
from .faults import invalid

ATTRIBUTES, BODY = "MessageAttributes", "MessageBody"
KEYS = 5
COMBINATIONS = 150
POLICY_BYTES = 262_144
_LARGEST = 1e9  # of numbers that are compared
_OPERATORS = {"anything-but", "cidr", "equals-ignore-case", "exists", "numeric", "prefix", "suffix"}


def check(text: str, scope: str) -> None:
    """Raises Fault."""
    try:
        _parsed(text, scope)
    except InvalidPattern as error:
        raise invalid(f"FilterPolicy: {error}") from None


def matches(text: str, scope: str, attributes: Mapping[str, tuple[str, str]], body: str) -> bool:
    """A policy that was checked. attributes: types and values by name."""
    pattern = _parsed(text, scope)
    try:
        event = of_attributes(attributes) if scope == ATTRIBUTES else wire.decode(body.encode())
        return isinstance(event, dict) and pattern.matches(_shortened(event))
    except (ValueError, RecursionError):
        return False


def of_attributes(attributes: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """What a policy is held against: strings, numbers, and the members of String.Array. Binary ones are not there."""
    found: dict[str, Any] = {}
    for name, (kind, value) in attributes.items():
        if kind == "String.Array":
            try:
                found[name] = wire.decode(value.encode())
            except (ValueError, RecursionError):
                continue
        elif kind.partition(".")[0] == "Number":
            number = float(value)
            found[name] = int(number) if number.is_integer() else number
        elif kind.partition(".")[0] == "String":
            found[name] = value
    return found


@lru_cache(4096)
def _parsed(text: str, scope: str) -> Pattern:
    """Raises InvalidPattern."""
    if len(text.encode()) > POLICY_BYTES:
        raise InvalidPattern("Filter policy is too large")
    try:
        described = wire.decode(text.encode())
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        raise InvalidPattern("failed to parse JSON.")
    try:
        keys: set[str] = set()
        combinations = _measured(described, scope, "", 1, keys)
    except RecursionError:
        raise InvalidPattern("Filter policy is too complex") from None
    if len(keys) > KEYS:
        raise InvalidPattern(f"Filter policy can not have more than {KEYS} keys")
    if combinations > COMBINATIONS:
        raise InvalidPattern("Filter policy is too complex")
    return compiled(_shortened(described))


def _measured(described: Mapping[str, Any], scope: str, before: str, level: int, keys: set[str]) -> int:
    """The combinations that AWS counts: values of each key, times its level, multiplied; those of $or added up."""
    combinations = 1
    for key, value in described.items():
        if key == "$or" and isinstance(value, list) and len(value) > 1 and all(map(_is_policy, value)):
            combinations *= sum(_measured(each, scope, before, level, keys) for each in value)
        elif isinstance(value, dict):
            if scope == ATTRIBUTES:
                text = "Filter policy scope MessageAttributes does not support nested filter policy"
                raise InvalidPattern(text)
            combinations *= _measured(value, scope, f"{before}{key}.", level + 1, keys)
        elif isinstance(value, list):
            keys.add(before + key)
            for each in value:
                _check_value(each)
            combinations *= max(1, len(value)) * level
    return combinations


def _shortened(value: Any) -> Any:
    """Numbers count with their first six digits behind the point, as AWS compares them."""
    if isinstance(value, float) and abs(value) <= _LARGEST:
        return int(value * 1e6) / 1e6
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    return [_shortened(each) for each in value] if isinstance(value, list) else value


def _is_policy(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and not _OPERATORS & value.keys()


def _check_value(value: Any) -> None:
    """What the bus's language has and SNS's has not, and numbers beyond SNS's."""
    if not isinstance(value, dict) or len(value) != 1:
        return
    (name, operand), = value.items()  # fmt: skip
    inner = operand.keys() if isinstance(operand, dict) else ()
    if name not in _OPERATORS:
        raise InvalidPattern(f"Unrecognized match type {name}")
    if name == "anything-but" and not set(inner) <= {"prefix", "suffix", "equals-ignore-case"}:
        raise InvalidPattern(f"Unsupported anything-but pattern: {next(iter(inner))}")
    if name in ("prefix", "suffix") and inner:
        raise InvalidPattern(f"{name} match pattern must be a string")
    if name == "numeric" and isinstance(operand, list):
        for each in operand:
            if is_number(each) and not -_LARGEST <= each <= _LARGEST:
                raise InvalidPattern(f"Value must be between {-_LARGEST} and {_LARGEST}, inclusive")
