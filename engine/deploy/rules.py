"""A template's Rules: what its parameters' values must be together, held before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..aws.faults import Fault
from .intrinsics import Scope, fault, resolve
from .parameters import typed


def check(document: Mapping[str, Any], values: Mapping[str, str], pseudo: Mapping[str, Any]) -> None:
    """values: of the template's parameters, as text. Raises Fault: the description of the first assertion that does not
    hold."""
    declared = document.get("Parameters") or {}
    kept = {name: typed(declared[name], value) for name, value in values.items()}
    scope = Scope(parameters=kept, pseudo=pseudo, mappings=document.get("Mappings") or {})
    types = {name: str(declared[name].get("Type")) for name in kept}
    for name, rule in (document.get("Rules") or {}).items():
        if not isinstance(rule, dict) or not isinstance(rule.get("Assertions"), list):
            text = f"[/Rules/{name}] Every Rules object must contain an Assertions list."
            raise Fault("ValidationError", f"Template format error: {text}")
        if "RuleCondition" in rule and not _holds(rule["RuleCondition"], scope, types):
            continue
        for each in rule["Assertions"]:
            if not _holds(each["Assert"], scope, types):
                raise Fault(
                    "ValidationError", str(each.get("AssertDescription") or f"The rule {name} does not hold.")
                )


def _holds(value: Any, scope: Scope, types: Mapping[str, str]) -> bool:
    found = _resolved(value, scope, types)
    if not isinstance(found, bool):
        raise fault("a rule's condition or assertion is neither true nor false")
    return found


def _resolved(value: Any, scope: Scope, types: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_resolved(each, scope, types) for each in value]
    if not isinstance(value, dict) or len(value) != 1:
        return value
    name, arguments = next(iter(value.items()))
    arguments = _resolved(arguments, scope, types)
    if name == "Fn::RefAll":
        return [scope.parameters[each] for each, kind in types.items() if kind == arguments]
    if name in _FUNCTIONS:
        if not isinstance(arguments, list) or len(arguments) != 2 or not isinstance(arguments[0], list):
            raise fault(f"every {name} object requires two parameters, of which the first is a list")
        return _FUNCTIONS[name](*arguments)
    return resolve({name: arguments}, scope)


_FUNCTIONS: dict[str, Callable[[list[Any], Any], bool]] = {
    "Fn::Contains": lambda values, value: value in values,
    "Fn::EachMemberEquals": lambda values, value: all(each == value for each in values),
    "Fn::EachMemberIn": lambda values, others: all(each in others for each in values),
}
