"""The language of event patterns, EventBridge's, and AWS's reasons for what it refuses.

A pattern is a JSON object of the event's form whose leaves are arrays of what a field may be: values, or objects with
one operator. `$or` makes alternatives (patterns.py).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import wire
from . import conditions
from .conditions import Condition, Operator, Scalar, scalar
from .patterns import Alternative, Pattern

ALTERNATIVES = 1000  # that one pattern may have
_LARGEST = 5.0e9  # AWS's bound of numbers that are compared
_WORDS = frozenset(
    {"exactly", "prefix", "suffix", "anything-but", "exists", "numeric", "cidr", "equals-ignore-case", "wildcard"}
    | {"=", "<", "<=", ">", ">=", "anything-but-ignore-case"}
)  # fmt: skip


class InvalidPattern(ValueError):
    """A pattern that AWS refuses. Its text is AWS's reason, without what stands before it."""


def parse(text: str | bytes) -> Pattern:
    """A pattern as JSON. Raises InvalidPattern."""
    try:
        described = wire.decode(text if isinstance(text, bytes) else text.encode())
    except (ValueError, RecursionError):
        raise InvalidPattern("Filter is not valid JSON") from None
    if not isinstance(described, dict):
        raise InvalidPattern("Filter is not an object")
    return compiled(described)


def compiled(described: Mapping[str, Any]) -> Pattern:
    """A pattern as JSON decodes it. Raises InvalidPattern."""
    try:
        return Pattern(_alternatives(described, ""))
    except RecursionError:
        raise InvalidPattern("Rule is too complex - it is nested too deeply") from None


def _alternatives(described: Mapping[str, Any], before: str) -> list[Alternative]:
    found: list[Alternative] = [()]
    for key, value in described.items():
        if key == "$or" and _is_or(value):
            inner = [each for one in value for each in _alternatives(one, before)]
        elif isinstance(value, dict):
            if not value:
                raise InvalidPattern("Empty objects are not allowed")
            inner = _alternatives(value, f"{before}{key}.")
        elif isinstance(value, list):
            path = before + key
            inner = [(_condition(path, value),)]
        else:
            raise InvalidPattern(f'"{key}" must be an object or an array')
        if len(found) * len(inner) > ALTERNATIVES:
            raise InvalidPattern(f"Rule is too complex - $or makes more than {ALTERNATIVES} combinations")
        found = [one + other for one in found for other in inner]
    return found


def _is_or(value: Any) -> bool:
    """An alternative, or a field that is called so? As AWS tells them apart."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(each, dict) and each and not _WORDS & each.keys() for each in value)
    )


def _condition(path: str, members: list[Any]) -> Condition:
    if not members:
        raise InvalidPattern("Empty arrays are not allowed")
    values: list[Scalar] = []
    operators: list[Operator] = []
    absent = False
    for each in members:
        if isinstance(each, list):
            raise InvalidPattern("Match value must be String, number, true, false, or null")
        if not isinstance(each, dict):
            values.append(scalar(each))
            continue
        if len(each) != 1:
            raise InvalidPattern("Only one key allowed in match expression")
        (name, operand), = each.items()  # fmt: skip
        compile_ = _OPERATORS.get(name)
        if compile_ is None:
            raise InvalidPattern(f"Unrecognized match type {name}")
        operator = compile_(operand)
        if operator is None:
            absent = True
        elif operator.kind == "value":
            values.append(operator.key)
        else:
            operators.append(operator)
    return Condition(path, frozenset(values), tuple(operators), absent)


def _text(name: str, operand: Any) -> str:
    if not isinstance(operand, str):
        raise InvalidPattern(f"{name} match pattern must be a string")
    return operand


def _affix(
    name: str, plain: Callable[[str], Operator], ignoring_case: Callable[[str], Operator]
) -> Callable[[Any], Operator]:
    def compile_(operand: Any) -> Operator:
        if isinstance(operand, dict):
            if len(operand) != 1:
                raise InvalidPattern("Only one key allowed in match expression")
            (inner, text), = operand.items()  # fmt: skip
            if inner != "equals-ignore-case":
                raise InvalidPattern(f"Unsupported {name} pattern: {inner}")
            return ignoring_case(_text("equals-ignore-case", text))
        return plain(_text(name, operand))

    return compile_


def _exists(operand: Any) -> Operator | None:
    if not isinstance(operand, bool):
        raise InvalidPattern("exists match pattern must be either true or false.")
    return conditions.exists() if operand else None


def _wildcard(operand: Any) -> Operator:
    """Stars are wildcards; a backslash makes a star or a backslash literal."""
    text = _text("wildcard", operand)
    parts, part, at = [], "", 0
    while at < len(text):
        character = text[at]
        if character == "*":
            if text[at + 1 : at + 2] == "*":
                raise InvalidPattern(f"Consecutive wildcard characters at pos {at + 1}")
            parts.append(part)
            part = ""
        elif character == "\\":
            at += 1
            if text[at : at + 1] not in ("*", "\\"):
                raise InvalidPattern(f"Invalid escape character at pos {at}")
            part += text[at]
        else:
            part += character
        at += 1
    return conditions.wildcard([*parts, part])


def _anything_but(operand: Any) -> Operator:
    if isinstance(operand, dict):
        return _anything_but_operator(operand)
    members = operand if isinstance(operand, list) else [operand]
    if isinstance(operand, bool) or operand is None:
        raise InvalidPattern("Value of anything-but must be an array or single string/number value.")
    if not members:
        raise InvalidPattern("Empty arrays are not allowed")
    for each in members:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise InvalidPattern("Inside anything but list, start|null|boolean is not supported.")
    if len({isinstance(each, str) for each in members}) > 1:
        text = "Inside anything but list, either all values are number or string, mixed type is not supported"
        raise InvalidPattern(text)
    return conditions.anything_but(frozenset(members))


def _anything_but_operator(operand: Mapping[str, Any]) -> Operator:
    if len(operand) != 1:
        raise InvalidPattern("Only one key allowed in match expression")
    (name, inner), = operand.items()  # fmt: skip
    if name not in _NEGATED:
        raise InvalidPattern(f"Unsupported anything-but pattern: {name}")
    members = inner if isinstance(inner, list) else [inner]
    if not members:
        raise InvalidPattern("Empty arrays are not allowed")
    for each in members:
        if isinstance(each, str):
            if not each and name in ("prefix", "suffix"):
                raise InvalidPattern("Null prefix/suffix not allowed")
        elif isinstance(inner, list):
            raise InvalidPattern(
                f"Inside anything-but/{name} list, number|start|null|boolean is not supported."
            )
        elif name in ("prefix", "suffix"):
            raise InvalidPattern("prefix/suffix match pattern must be a string")
        else:
            text = f"Value of anything-but/{name} must be an array or single string/number value."
            raise InvalidPattern("wildcard match pattern must be a string" if name == "wildcard" else text)
    return conditions.anything_but(frozenset(), tuple(_NEGATED[name](each) for each in members))


def _numeric(operand: Any) -> Operator:
    if not isinstance(operand, list):
        raise InvalidPattern("Value of numeric must be an array.")
    members = iter(operand)
    operator = next(members, "]")
    if not isinstance(operator, str) or operator == "]":
        raise InvalidPattern(f"Invalid member in numeric match: {_printed(operator)}")
    if operator not in ("=", "<", "<=", ">", ">="):
        raise InvalidPattern(f"Unrecognized numeric range operator: {operator}")
    bound = _bound(members, "equals" if operator == "=" else operator)
    rest = len(operand) - 2
    if operator == "=" or operator in ("<", "<="):
        if rest:
            raise InvalidPattern("Too many elements in numeric expression")
        if operator == "=":
            return conditions.numeric((bound, True, bound, True))
        return conditions.numeric((-math.inf, False, bound, operator == "<="))
    if not rest:
        return conditions.numeric((bound, operator == ">=", math.inf, False))
    other = next(members)
    if not isinstance(other, str):
        raise InvalidPattern(f"Bad value in numeric range: {_printed(other)}")
    if other not in ("<", "<="):
        raise InvalidPattern(f"Bad numeric range operator: {other}")
    top = _bound(members, other)
    if top <= bound:
        raise InvalidPattern("Bottom must be less than top")
    if rest > 2:
        raise InvalidPattern("Too many terms in numeric range expression")
    return conditions.numeric((bound, operator == ">=", top, other == "<="))


def _bound(members: Iterator[Any], operator: str) -> float:
    bound: Any = next(members, None)
    if not conditions.is_number(bound):
        raise InvalidPattern(f"Value of {operator} must be numeric")
    if not -_LARGEST <= bound <= _LARGEST:
        raise InvalidPattern(f"Value must be between {-_LARGEST} and {_LARGEST}, inclusive")
    number: float = bound
    return number


def _printed(value: Any) -> str:
    return value if isinstance(value, str) else wire.encode(value).decode()


def _cidr(operand: Any) -> Operator:
    address, slash, mask = operand.partition("/") if isinstance(operand, str) else ("", "", "")
    if not slash or "/" in mask:
        raise InvalidPattern("Malformed CIDR, one '/' required")
    if not (mask.isascii() and mask.removeprefix("-").isdigit()):
        raise InvalidPattern("Malformed CIDR, mask bits must be an integer")
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise InvalidPattern(f"Nonstandard IP address: {address}") from None
    bits = int(mask)
    if bits < 0:
        raise InvalidPattern("Malformed CIDR, mask bits must not be negative")
    if bits > found.max_prefixlen:
        kind = "IPv4" if found.version == 4 else "IPv6"
        raise InvalidPattern(f"{kind} mask bits must be less than or equal to {found.max_prefixlen}")
    return conditions.network(found.version, bits, int(found))


def _ignoring_case(operand: Any) -> Operator:
    return conditions.ignoring_case(_text("equals-ignore-case", operand))


_NEGATED: dict[str, Callable[[Any], Operator]] = {
    "prefix": conditions.prefix,
    "suffix": conditions.suffix,
    "equals-ignore-case": _ignoring_case,
    "wildcard": _wildcard,
}
_OPERATORS: dict[str, Callable[[Any], Operator | None]] = {
    "anything-but": _anything_but,
    "cidr": _cidr,
    "equals-ignore-case": _ignoring_case,
    "exactly": lambda operand: Operator("value", _text("exactly", operand), lambda value: False),
    "exists": _exists,
    "numeric": _numeric,
    "prefix": _affix("prefix", conditions.prefix, conditions.prefix_ignoring_case),
    "suffix": _affix("suffix", conditions.suffix, conditions.suffix_ignoring_case),
    "wildcard": _wildcard,
}
