"""A template with the values that one deployment of it has: which resources there are, and what they are to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..aws.faults import Fault
from ..aws.names import Place
from .graph import needs
from .intrinsics import CONDITIONAL, Scope, resolve, scalar, unknown
from .parameters import typed
from .template import Template


@dataclass(frozen=True)
class Stack:
    """Whose resources they are."""

    name: str
    id: str
    place: Place


@dataclass
class Program:
    """One template for one stack. values: of its parameters, as text, SSM's already looked up. exported: what other
    stacks export, None for what none does. exporters, importers: other stacks that have an export, or use it."""

    stack: Stack
    template: Template
    values: Mapping[str, str]
    exported: Callable[[str], Any]
    exporters: Callable[[str], list[str]] = lambda _name: []
    importers: Callable[[str], list[str]] = lambda _name: []
    imports: set[str] = field(default_factory=set)
    notifications: list[str] = field(default_factory=list)

    def scope(self, resource: Callable[[str, str | None], Any]) -> Scope:
        declared, place = self.template.parameters, self.stack.place

        def exported(name: str) -> Any:
            self.imports.add(name)
            return self.exported(name)

        return Scope(
            parameters={name: typed(declared[name], value) for name, value in self.values.items()},
            pseudo=pseudo(place) | {
                "AWS::StackId": self.stack.id, "AWS::StackName": self.stack.name,
                "AWS::NotificationARNs": list(self.notifications),
            },
            mappings=self.template.section("Mappings"),
            conditions=self.template.section("Conditions"),
            resource=resource,
            exported=exported,
        )  # fmt: skip

    def resources(self, scope: Scope) -> dict[str, dict[str, Any]]:
        """Those whose conditions hold. Raises Fault."""
        return {
            name: each
            for name, each in self.template.resources.items()
            if "Condition" not in each or scope.decide(each["Condition"])
        }

    def edges(self, scope: Scope) -> dict[str, set[str]]:
        """By resource, those that it needs; what stands behind a condition that does not hold is not needed."""
        there = self.resources(scope)
        return {name: needs(_decided(each, scope), there) for name, each in there.items()}

    def outputs(self, scope: Scope) -> list[dict[str, str]]:
        """As DescribeStacks shows them. Raises Fault."""
        found = []
        for name, declared in self.template.outputs.items():
            if "Condition" in declared and not scope.decide(declared["Condition"]):
                continue
            value = resolve(declared["Value"], scope)
            output = {"OutputKey": name}
            if unknown(value):
                output["OutputValue"] = repr(value)
            elif isinstance(value, str | int | float):
                output["OutputValue"] = scalar(value, "Outputs")
            else:
                text = f"The Value field of every Outputs member must evaluate to a String ({name})"
                raise Fault("ValidationError", f"Template format error: {text}")
            if "Description" in declared:
                output["Description"] = str(declared["Description"])
            if "Export" in declared:
                output["ExportName"] = scalar(resolve(declared["Export"]["Name"], scope), "Export")
            found.append(output)
        return found

    def check_exports(self, outputs: list[dict[str, str]], before: list[dict[str, str]]) -> None:
        """Raises Fault: an export's name is taken, or one that others use would go or change."""
        new = {each["ExportName"]: each["OutputValue"] for each in outputs if "ExportName" in each}
        old = {each["ExportName"]: each["OutputValue"] for each in before if "ExportName" in each}
        for name in new:
            if others := self.exporters(name):
                text = f"Export with name {name} is already exported by stack {others[0]}. Rolling back"
                raise Fault("ValidationError", text)
        for name, value in old.items():
            if new.get(name) != value and (users := self.importers(name)):
                verb = "updated" if name in new else "deleted"
                text = f"Export {name} cannot be {verb} as it is in use by {', '.join(users)}"
                raise Fault("ValidationError", text)


def pseudo(place: Place) -> dict[str, Any]:
    """The pseudo parameters that are not a stack's own."""
    return {
        "AWS::AccountId": place.account, "AWS::Region": place.region, "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }  # fmt: skip


def _decided(value: Any, scope: Scope) -> Any:
    """With each Fn::If as the side of it that holds."""
    if isinstance(value, list):
        return [_decided(each, scope) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        name, arguments = next(iter(value.items()))
        if name == "Fn::If" and isinstance(arguments, list) and len(arguments) == 3:
            return _decided(arguments[1 if scope.decide(arguments[0]) else 2], scope)
        if name in CONDITIONAL:
            return value
    return {key: _decided(each, scope) for key, each in value.items()}
