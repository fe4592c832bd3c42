"""Intrinsic functions: what stands in a template for a value that is only known when it is deployed.

`resolve` is pure: what names stand for is a Scope's. A value that is not known yet (of a resource that is to be made,
when two templates are compared) is UNKNOWN, and so is whatever is made of it.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..aws.faults import Fault


class _Marker:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


NO_VALUE = _Marker("AWS::NoValue")
UNKNOWN = _Marker("(known after apply)")
_VARIABLE = re.compile(r"\$\{(!?)([^{}]*)\}")
CONDITIONAL = ("Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Condition")


@dataclass
class Scope:
    """What the names of one stack stand for. resource: the physical id and attributes of a logical id, or UNKNOWN; an
    attribute that it does not have raises KeyError."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    pseudo: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    resource: Callable[[str, str | None], Any] = lambda _name, _attribute: UNKNOWN
    exported: Callable[[str], Any] = lambda _name: None
    _decided: dict[str, bool] = field(default_factory=dict)

    def ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        return self.attribute(name, None)

    def attribute(self, name: str, attribute: str | None) -> Any:
        try:
            return self.resource(name, attribute)
        except KeyError:
            raise fault(
                f"resource {name} does not support attribute type {attribute} in Fn::GetAtt"
            ) from None

    def decide(self, name: str) -> bool:
        """A condition's value. Raises Fault."""
        if name not in self._decided:
            if name not in self.conditions:
                raise fault(f"unresolved condition dependency {name}")
            self._decided[name] = False  # a condition that asks for itself
            self._decided[name] = _truth(resolve(self.conditions[name], self), name)
        return self._decided[name]


def fault(text: str) -> Fault:
    return Fault("ValidationError", f"Template error: {text}")


def resolve(value: Any, scope: Scope) -> Any:
    """A value without intrinsics; NO_VALUE is taken out of the object or list that it stands in. Raises Fault."""
    if isinstance(value, dict):
        if len(value) == 1:
            (name, arguments) = next(iter(value.items()))
            if name == "Ref":
                return scope.ref(_text(arguments, "Ref"))
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](arguments, scope)
            if name == "Condition" and isinstance(arguments, str) and arguments in scope.conditions:
                return scope.decide(arguments)
            if name.startswith("Fn::"):
                raise fault(f"unsupported function {name}")
        pairs = ((key, resolve(each, scope)) for key, each in value.items())
        return {key: each for key, each in pairs if each is not NO_VALUE}
    if isinstance(value, list):
        return [each for each in (resolve(each, scope) for each in value) if each is not NO_VALUE]
    return value


def unknown(value: Any) -> bool:
    """Is any part of it UNKNOWN?"""
    if isinstance(value, dict):
        return any(unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(unknown(each) for each in value)
    return value is UNKNOWN


def variables(text: str) -> list[str]:
    """The names in ${}, as Fn::Sub reads them."""
    return [name.strip() for literal, name in _VARIABLE.findall(text) if not literal]


def scalar(value: Any, where: str) -> str:
    """As text, as CloudFormation writes booleans and numbers. Raises Fault."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise fault(f"every {where} value must be a string")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise fault(f"every {where} object must have a single String value.")
    return value


def _truth(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise fault(f"the condition {name} is neither true nor false")


def _get_att(arguments: Any, scope: Scope) -> Any:
    if isinstance(arguments, str):
        arguments = arguments.split(".", 1)
    if not isinstance(arguments, list) or len(arguments) != 2 or not isinstance(arguments[0], str):
        raise fault(
            "every Fn::GetAtt object requires two non-empty parameters, the resource name and the attribute"
        )
    attribute = resolve(arguments[1], scope)
    return UNKNOWN if attribute is UNKNOWN else scope.attribute(arguments[0], attribute)


def _sub(arguments: Any, scope: Scope) -> Any:
    given: dict[str, Any] = {}
    if isinstance(arguments, list) and len(arguments) == 2 and isinstance(arguments[1], dict):
        arguments, given = arguments[0], {name: resolve(each, scope) for name, each in arguments[1].items()}
    if not isinstance(arguments, str):
        raise fault("One or more Fn::Sub intrinsic functions don't specify expected arguments.")
    lost = False

    def replaced(found: re.Match[str]) -> str:
        nonlocal lost
        if found[1]:
            return "${" + found[2] + "}"
        name = found[2].strip()
        if name in given:
            value = given[name]
        elif "." in name:
            value = scope.attribute(*name.split(".", 1))
        else:
            value = scope.ref(name)
        if value is UNKNOWN:
            lost = True
            return ""
        return scalar(value, "Fn::Sub")

    text = _VARIABLE.sub(replaced, arguments)
    return UNKNOWN if lost else text


def _join(arguments: Any, scope: Scope) -> Any:
    if not isinstance(arguments, list) or len(arguments) != 2 or not isinstance(arguments[0], str):
        raise fault("every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list")
    values = resolve(arguments[1], scope)
    if unknown(values):
        return UNKNOWN
    if not isinstance(values, list):
        raise fault("every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list")
    return arguments[0].join(scalar(each, "Fn::Join") for each in values)


def _select(arguments: Any, scope: Scope) -> Any:
    found = resolve(arguments, scope)
    if unknown(found):
        return UNKNOWN
    if not isinstance(found, list) or len(found) != 2 or not isinstance(found[1], list):
        raise fault("Fn::Select requires a list argument with two elements: an integer index and a list")
    index = str(found[0])
    if not index.isdecimal() or int(index) >= len(found[1]):
        raise fault(f"Fn::Select cannot select nonexistent value at index {index}")
    return found[1][int(index)]


def _split(arguments: Any, scope: Scope) -> Any:
    found = resolve(arguments, scope)
    if unknown(found):
        return UNKNOWN
    if not isinstance(found, list) or len(found) != 2 or not all(isinstance(each, str) for each in found):
        raise fault("every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string")
    return found[1].split(found[0])


def _if(arguments: Any, scope: Scope) -> Any:
    if not isinstance(arguments, list) or len(arguments) != 3 or not isinstance(arguments[0], str):
        raise fault("Fn::If requires a list argument with three elements")
    return resolve(arguments[1 if scope.decide(arguments[0]) else 2], scope)


def _find_in_map(arguments: Any, scope: Scope) -> Any:
    if not isinstance(arguments, list) or len(arguments) not in (3, 4):
        raise fault(
            "every Fn::FindInMap object requires three parameters, the map name, map key and the attribute"
        )
    found: Any = scope.mappings
    names = [resolve(each, scope) for each in arguments[:3]]
    if unknown(names):
        return UNKNOWN
    for each in names:
        name = scalar(each, "Fn::FindInMap")
        if not isinstance(found, dict) or name not in found:
            if len(arguments) == 4 and "DefaultValue" in arguments[3]:
                return resolve(arguments[3]["DefaultValue"], scope)
            raise fault(f"Unable to get mapping for {'::'.join(map(str, names))}")
        found = found[name]
    return found


def _import_value(arguments: Any, scope: Scope) -> Any:
    name = resolve(arguments, scope)
    if unknown(name):
        return UNKNOWN
    value = scope.exported(scalar(name, "Fn::ImportValue"))
    if value is None:
        raise Fault("ValidationError", f"No export named {name} found.")
    return value


def _base64(arguments: Any, scope: Scope) -> Any:
    text = resolve(arguments, scope)
    return UNKNOWN if text is UNKNOWN else base64.b64encode(scalar(text, "Fn::Base64").encode()).decode()


def _zones(arguments: Any, scope: Scope) -> Any:
    region = resolve(arguments, scope) or scope.pseudo.get("AWS::Region", "")
    return UNKNOWN if region is UNKNOWN else [f"{region}{letter}" for letter in "abc"]


def _cidr(arguments: Any, scope: Scope) -> Any:
    found = resolve(arguments, scope)
    if unknown(found):
        return UNKNOWN
    try:
        block, count, *bits = found
        network = ipaddress.ip_network(block)
        prefix = network.max_prefixlen - int(bits[0] if bits else 8)
        subnets = network.subnets(new_prefix=prefix)
        return [str(next(subnets)) for _ in range(int(count))]
    except (ValueError, TypeError, StopIteration):
        raise fault("Fn::Cidr requires a block, a count and a number of bits that fit each other") from None


def _length(arguments: Any, scope: Scope) -> Any:
    found = resolve(arguments, scope)
    if found is UNKNOWN:
        return UNKNOWN
    if not isinstance(found, list):
        raise fault("Fn::Length requires a list")
    return len(found)


def _to_json(arguments: Any, scope: Scope) -> Any:
    found = resolve(arguments, scope)
    return UNKNOWN if unknown(found) else json.dumps(found, separators=(",", ":"))


def _equals(arguments: Any, scope: Scope) -> Any:
    found = resolve(arguments, scope)
    if not isinstance(found, list) or len(found) != 2:
        raise fault("every Fn::Equals object requires a list of 2 string parameters.")
    left, right = (each if isinstance(each, list | dict) else scalar(each, "Fn::Equals") for each in found)
    return bool(left == right)


def _operands(name: str, arguments: Any, scope: Scope, least: int, most: int) -> list[bool]:
    if not isinstance(arguments, list) or not least <= len(arguments) <= most:
        raise fault(f"every {name} object requires a list of {least} to {most} boolean parameters.")
    return [_truth(resolve(each, scope), name) for each in arguments]


_FUNCTIONS: dict[str, Callable[[Any, Scope], Any]] = {
    "Fn::And": lambda arguments, scope: all(_operands("Fn::And", arguments, scope, 2, 10)),
    "Fn::Base64": _base64,
    "Fn::Cidr": _cidr,
    "Fn::Equals": _equals,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAZs": _zones,
    "Fn::GetAtt": _get_att,
    "Fn::If": _if,
    "Fn::ImportValue": _import_value,
    "Fn::Join": _join,
    "Fn::Length": _length,
    "Fn::Not": lambda arguments, scope: not _operands("Fn::Not", arguments, scope, 1, 1)[0],
    "Fn::Or": lambda arguments, scope: any(_operands("Fn::Or", arguments, scope, 2, 10)),
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::Sub": _sub,
    "Fn::ToJsonString": _to_json,
}
