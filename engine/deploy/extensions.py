"""AWS::LanguageExtensions: Fn::ForEach as what it repeats, and intrinsic functions where else only names may stand.

A loop's collection must be known before anything is made: of parameters, mappings and pseudo parameters. What is left
(Fn::Length, Fn::ToJsonString, Fn::FindInMap's default) is resolved as any other function (`intrinsics`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..aws.faults import Fault
from .intrinsics import Scope, resolve, scalar, unknown
from .parameters import typed

LOOP = "Fn::ForEach::"
SECTIONS = ("Conditions", "Resources", "Outputs")
_NAMES = ("Condition", "DeletionPolicy", "UpdateReplacePolicy")  # of a resource or an output
_NESTED = 5  # loops, one in the other, as on AWS


def loops(value: Any) -> bool:
    """Is there any?"""
    if isinstance(value, list):
        return any(map(loops, value))
    if not isinstance(value, dict):
        return False
    return any(str(key).startswith(LOOP) or loops(each) for key, each in value.items())


def once(document: Mapping[str, Any]) -> dict[str, Any]:
    """A template with what each loop repeats, a single time, for whoever looks at it without its values. Raises
    Fault."""
    return {name: _expand(each, None) if name in SECTIONS else each for name, each in document.items()}


def expanded(
    document: Mapping[str, Any], values: Mapping[str, str], pseudo: Mapping[str, Any]
) -> dict[str, Any]:
    """A template without loops. values: its parameters', as text; pseudo: those that are known. Raises Fault."""
    declared = document.get("Parameters") or {}
    scope = Scope(
        parameters={name: typed(declared[name], value) for name, value in values.items()},
        pseudo=pseudo, mappings=document.get("Mappings") or {}, conditions=document.get("Conditions") or {},
    )  # fmt: skip
    made = dict(document)
    for section in SECTIONS:
        if section in document:
            made[section] = _expand(document[section], scope)
    for section in "Resources", "Outputs":
        for each in (made.get(section) or {}).values():
            for member in _NAMES:
                if isinstance(each, dict) and isinstance(each.get(member), dict):
                    each[member] = _name(each[member], scope)
    return made


def _expand(value: Any, scope: Scope | None, depth: int = 0) -> Any:
    """scope: None for one time of each loop."""
    if isinstance(value, list):
        return [_expand(each, scope, depth) for each in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for key, each in value.items():
        if not str(key).startswith(LOOP):
            made[key] = _expand(each, scope, depth)
            continue
        for name, one in _repeated(each, scope, depth + 1):
            if name in made or name in value:
                raise _failed(f"{key} makes {name} more than once")
            made[name] = one
    if len(made) == 1 and scope is not None:
        (name, arguments) = next(iter(made.items()))
        if name == "Ref" and isinstance(arguments, dict):
            return {name: _name(arguments, scope)}
        if name == "Fn::GetAtt" and isinstance(arguments, list):
            return {name: [_name(each, scope) if isinstance(each, dict) else each for each in arguments]}
    return made


def _repeated(given: Any, scope: Scope | None, depth: int) -> Iterator[tuple[str, Any]]:
    """What a loop makes, in the order of its collection."""
    if not isinstance(given, list) or len(given) != 3 or depth > _NESTED:
        raise _failed("Fn::ForEach layout is incorrect")
    identifier, collection, fragment = given
    if not isinstance(identifier, str) or not isinstance(fragment, dict):
        raise _failed("Fn::ForEach layout is incorrect")
    items = [identifier] if scope is None else resolve(collection, scope)
    if not isinstance(items, list) or unknown(items):
        raise _failed("Could not find a collection or could not be resolved for Fn::ForEach")
    for item in items:
        yield from _expand(_put(fragment, identifier, scalar(item, LOOP[:-2])), scope, depth).items()


def _put(value: Any, identifier: str, item: str) -> Any:
    """A loop's fragment for one item."""
    if isinstance(value, str):
        plain = re.sub(r"[^A-Za-z0-9]", "", item)
        return value.replace(f"${{{identifier}}}", item).replace(f"&{{{identifier}}}", plain)
    if isinstance(value, list):
        return [_put(each, identifier, item) for each in value]
    if not isinstance(value, dict):
        return value
    if value == {"Ref": identifier}:
        return item
    return {_put(key, identifier, item): _put(each, identifier, item) for key, each in value.items()}


def _name(value: Any, scope: Scope) -> str:
    """What a function gives where a name is to stand."""
    found = resolve(value, scope)
    if not isinstance(found, str):
        raise _failed(f"{value} is not known before the stack is made: a name is to stand there")
    return found


def _failed(text: str) -> Fault:
    return Fault("ValidationError", f"Transform AWS::LanguageExtensions failed with: {text}")
