"""What a resource needs before it can be made: by reference, or because its template says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..aws.faults import Fault
from .intrinsics import variables


def references(value: Any) -> set[str]:
    """The names that Ref, Fn::GetAtt and Fn::Sub have in a value: of resources, parameters, or nothing."""
    found: set[str] = set()
    if isinstance(value, list):
        for each in value:
            found |= references(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if len(value) == 1 and key == "Ref" and isinstance(each, str):
                found.add(each)
            elif len(value) == 1 and key == "Fn::GetAtt":
                name = each.split(".")[0] if isinstance(each, str) else each[0] if each else ""
                found.add(str(name))
                found |= references(each)
            elif len(value) == 1 and key == "Fn::Sub":
                text, given = (each, {}) if isinstance(each, str) else ([*each, {}])[:2] if each else ("", {})
                if isinstance(text, str) and isinstance(given, dict):
                    found |= {name.split(".")[0] for name in variables(text) if name not in given}
                    found |= references(given)
            else:
                found |= references(each)
    return found


def needs(resource: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """Which of `names` a resource of a template needs."""
    return named(resource) & set(names)


def named(resource: Mapping[str, Any]) -> set[str]:
    """All names that it refers to or says that it depends on."""
    depends = resource.get("DependsOn") or []
    return references(resource.get("Properties", {})) | set(
        [depends] if isinstance(depends, str) else depends
    )


def ordered(edges: Mapping[str, Collection[str]]) -> list[str]:
    """Names, each behind those that it needs. Raises Fault when some need each other."""
    try:
        return list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        circle = ", ".join(sorted(set(error.args[1])))
        raise Fault("ValidationError", f"Circular dependency between resources: [{circle}]") from None
