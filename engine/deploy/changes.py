"""What a deployment would change: a program held against the resources that a stack has. Nothing is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .graph import ordered
from .intrinsics import UNKNOWN, resolve, unknown
from .journal import Record, attribute_of
from .kinds import KINDS
from .program import Program


@dataclass(frozen=True)
class Change:
    """Of one resource. action: Add, Modify or Remove; replacement: True, False or Conditional, "" where it does not
    matter; names: of the properties that change."""

    action: str
    logical: str
    type: str
    id: str = ""
    replacement: str = ""
    names: list[str] = field(default_factory=list)
    policy: str = ""  # what becomes of the resource that goes: Delete or Retain

    def shown(self) -> dict[str, Any]:
        """As DescribeChangeSet shows it."""
        change: dict[str, Any] = {
            "Action": self.action, "LogicalResourceId": self.logical, "ResourceType": self.type, "Scope": [],
            "Details": [],
        }  # fmt: skip
        if self.id:
            change["PhysicalResourceId"] = self.id
        if self.action == "Remove" and self.policy:
            change["PolicyAction"] = self.policy
        if self.action == "Modify":
            kind = KINDS.get(self.type)
            change |= {"Replacement": self.replacement, "Scope": ["Properties"]}
            fixed = {each for each in self.names if kind and kind.replaced_by({each: 0}, {each: 1})}
            change["Details"] = [
                {
                    "Target": {
                        "Attribute": "Properties", "Name": name,
                        "RequiresRecreation": "Always" if name in fixed else "Never",
                    },
                    "Evaluation": "Static", "ChangeSource": "DirectModification",
                }
                for name in self.names
            ]  # fmt: skip
        return {"Type": "Resource", "ResourceChange": change}


def changes(program: Program, records: Mapping[str, Record]) -> list[Change]:
    """In the order of their being made. Raises Fault."""
    fresh: set[str] = set()  # those whose ids are not known yet

    def resource(name: str, attribute: str | None) -> Any:
        record = records.get(name)
        if record is None or name in fresh:
            return UNKNOWN
        return attribute_of(record, attribute)

    scope = program.scope(resource)
    there = program.resources(scope)
    found: list[Change] = []
    for name in ordered(program.edges(scope)):
        wanted, record = there[name], records.get(name)
        properties = resolve(wanted.get("Properties") or {}, scope)
        change = _change(name, wanted["Type"], properties, record)
        if change is not None:
            found.append(change)
            if change.action == "Add" or change.replacement != "False":
                fresh.add(name)
    gone = [name for name in records if name not in there]
    found += [
        Change(
            "Remove", name, records[name]["ResourceType"], records[name]["PhysicalResourceId"],
            policy="Retain" if str(records[name].get("_deletion")).startswith("Retain") else "Delete",
        )
        for name in gone
    ]  # fmt: skip
    return found


def _change(name: str, kind: str, properties: dict[str, Any], record: Record | None) -> Change | None:
    if record is None:
        return Change("Add", name, kind)
    id, before = record["PhysicalResourceId"], record["_properties"]
    names = sorted(each for each in {*before, *properties} if before.get(each) != properties.get(each))
    if record["ResourceType"] != kind:
        return Change("Modify", name, kind, id, "True", names)
    if not names:
        return None
    known = KINDS.get(kind)
    if known is None or not known.replaced_by(before, properties):
        return Change("Modify", name, kind, id, "False", names)
    sure = {each: value for each, value in properties.items() if not unknown(value)}
    unsure = {**properties, **{each: before.get(each) for each in properties if each not in sure}}
    replaced = sure.keys() == properties.keys() or known.replaced_by(before, unsure)
    return Change("Modify", name, kind, id, "True" if replaced else "Conditional", names)
