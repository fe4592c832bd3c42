"""A template's parameters: given values, defaults and earlier values, held against what the template declares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..aws.faults import Fault
from .intrinsics import scalar

HIDDEN = "****"  # what is shown of a NoEcho parameter
SSM = "AWS::SSM::Parameter::Value<"
_NUMBERS = ("Number", "List<Number>")
_BOUNDS = ("MinLength", "MaxLength", "MinValue", "MaxValue")


def values(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str | None], earlier: Mapping[str, str]
) -> dict[str, str]:
    """Each parameter's value as text. given: None where the earlier value holds (UsePreviousValue). Raises Fault."""
    if strange := sorted(set(given) - set(declared)):
        raise invalid(f"Parameters: [{', '.join(strange)}] do not exist in the template")
    found: dict[str, str] = {}
    missing = []
    for name, declaration in declared.items():
        value = given.get(name)
        if name in given and value is None:
            value = earlier.get(name)
        if value is None and "Default" in declaration:
            value = scalar(declaration["Default"], "Default")
        if value is None:
            missing.append(name)
        else:
            _check(name, declaration, value)
            found[name] = value
    if missing:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    return found


def typed(declaration: Mapping[str, Any], value: str) -> Any:
    """The value as intrinsics see it: lists are lists."""
    kind = str(declaration.get("Type", "String")).removeprefix(SSM)
    if kind.startswith(("List<", "CommaDelimitedList")):
        return [each.strip() for each in value.split(",")] if value else []
    return value


def shown(declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> list[dict[str, str]]:
    """As DescribeStacks shows them."""
    return [
        {
            "ParameterKey": name,
            "ParameterValue": HIDDEN if hidden(declared.get(name, {})) else value,
        }
        for name, value in given.items()
    ]


def invalid(text: str) -> Fault:
    return Fault("ValidationError", text)


def hidden(declaration: Mapping[str, Any]) -> bool:
    """Is its value not to be shown?"""
    return str(declaration.get("NoEcho", "false")).lower() == "true"


def _check(name: str, declaration: Mapping[str, Any], value: str) -> None:
    kind = str(declaration.get("Type", ""))
    described = declaration.get("ConstraintDescription")

    def refused(what: str) -> Fault:
        if described:
            return invalid(f"Parameter {name} failed to satisfy constraint: {described}")
        return invalid(f"Parameter '{name}' {what}")

    listed = kind.startswith("List<") or kind == "CommaDelimitedList"
    items = [each.strip() for each in value.split(",")] if listed else [value]
    if kind in _NUMBERS and not all(map(_number, items)):
        raise invalid(f"Parameter '{name}' must be a number.")
    allowed = declaration.get("AllowedValues")
    if allowed is not None:
        choices = [scalar(each, "AllowedValues") for each in allowed]
        if not all(each in choices for each in items):
            raise refused("must be one of AllowedValues")
    pattern = declaration.get("AllowedPattern")
    if pattern is not None and not all(re.fullmatch(str(pattern), each) for each in items):
        raise refused(f"must match pattern {pattern}")
    for bound in _BOUNDS:
        if bound not in declaration or ("Value" in bound) != (kind in _NUMBERS):
            continue
        limit, sizes = float(declaration[bound]), map(float, items) if "Value" in bound else [len(value)]
        if any(size < limit if bound.startswith("Min") else size > limit for size in sizes):
            word = {
                "MinLength": "must contain at least {} characters", "MaxLength": "must contain at most {} characters",
                "MinValue": "must be a number not less than {}", "MaxValue": "must be a number not greater than {}",
            }[bound]  # fmt: skip
            raise refused(word.format(declaration[bound]))


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
