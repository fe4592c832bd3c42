"""A template, checked as a whole before anything is made of it: its sections, names, types and references."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from ..aws.faults import Fault
from .extensions import LOOP
from .graph import named, needs, ordered, references

RESOURCES, PARAMETERS, OUTPUTS = 500, 200, 200  # AWS's quotas of a template
SECTIONS = {
    "AWSTemplateFormatVersion", "Conditions", "Description", "Globals", "Hooks", "Mappings", "Metadata", "Outputs",
    "Parameters", "Resources", "Rules", "Transform",
}  # fmt: skip
ATTRIBUTES = {
    "Condition", "Connectors", "CreationPolicy", "DeletionPolicy", "DependsOn", "IgnoreGlobals", "Metadata",
    "Properties", "Type", "UpdatePolicy", "UpdateReplacePolicy",
}  # fmt: skip
SAM = "AWS::Serverless-2016-10-31"
EXTENSIONS = "AWS::LanguageExtensions"
VERSION = "2010-09-09"
_TYPE = re.compile(
    r"String|Number|CommaDelimitedList|(List<)*(String|Number|AWS(::[A-Za-z0-9]+){2,3})(<.+>)?>*"
)
_LOGICAL = re.compile(r"[A-Za-z0-9]{1,255}", re.ASCII)
_PSEUDO = {
    f"AWS::{name}"
    for name in (
        "AccountId", "NotificationARNs", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix",
    )
}  # fmt: skip
_NAMED_IAM = {
    "AWS::IAM::Group": "GroupName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName", "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName", "AWS::IAM::InstanceProfile": "InstanceProfileName",
}  # fmt: skip
_IAM = {*_NAMED_IAM, "AWS::IAM::AccessKey", "AWS::IAM::Policy", "AWS::IAM::UserToGroupAddition"}


@dataclass(frozen=True)
class Template:
    """The sections of one, after its transforms."""

    document: Mapping[str, Any]

    def section(self, name: str) -> dict[str, Any]:
        return self.document.get(name) or {}

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        return self.section("Resources")

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        return self.section("Parameters")

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return self.section("Outputs")

    @property
    def description(self) -> str | None:
        return self.document.get("Description")

    def capabilities(self) -> list[str]:
        """What its user must agree to."""
        found = [each for each in self.resources.values() if each.get("Type") in _IAM]
        own = any(_NAMED_IAM.get(each["Type"], "-") in (each.get("Properties") or {}) for each in found)
        return [] if not found else ["CAPABILITY_NAMED_IAM" if own else "CAPABILITY_IAM"]

    def check_kinds(self, resources: Mapping[str, Mapping[str, Any]], kinds: Container[str]) -> None:
        """Raises Fault for a type that cannot be made. resources: those whose conditions hold."""
        unknown = {name: each["Type"] for name, each in resources.items() if each["Type"] not in kinds}
        if unknown:
            listed = ", ".join(f"{kind} ({name})" for name, kind in sorted(unknown.items()))
            raise format_error(f"Unrecognized resource types: [{listed}]")

    def check(self) -> None:
        """Raises Fault, in AWS's words."""
        _check_resources(self.resources, set(self.section("Conditions")))
        for name, quota in ("Parameters", PARAMETERS), ("Outputs", OUTPUTS):
            if len(self.section(name)) > quota:
                raise format_error(
                    f"Number of {name.lower()}, {len(self.section(name))}, is greater than {quota}"
                )
        names = set(self.resources) | set(self.parameters) | _PSEUDO
        if missing := sorted(set().union(*map(named, self.resources.values())) - names):
            raise format_error(
                f"Unresolved resource dependencies [{', '.join(missing)}] in the Resources block of the template"
            )
        shown = (references(each.get("Value")) for each in self.outputs.values())
        if missing := sorted(set().union(*shown) - names):
            raise format_error(
                f"Unresolved resource dependencies [{', '.join(missing)}] in the Outputs block of the template"
            )
        ordered({name: needs(each, self.resources) for name, each in self.resources.items()})


def of(document: Mapping[str, Any], *, looped: bool = False) -> Template:
    """looped: its loops are still to be expanded. Raises Fault for sections that are none, or not of the form that they
    must have."""
    if strange := sorted(set(document) - SECTIONS):
        raise format_error(f"Invalid template property or properties [{', '.join(strange)}]")
    for name in SECTIONS - {"AWSTemplateFormatVersion", "Description", "Transform"}:
        section = document.get(name)
        if section is not None and not isinstance(section, dict):
            raise format_error(f"[/{name}] must be an object")
    for name in "Parameters", "Outputs", "Resources":
        for key, each in (document.get(name) or {}).items():
            if not isinstance(each, dict) and not (looped and key.startswith(LOOP)):
                raise format_error(f"[/{name}/{key}] must be an object")
    for key, each in (document.get("Outputs") or {}).items():
        if isinstance(each, dict) and "Value" not in each:
            raise format_error(
                f"Output {key} is malformed. [/Outputs/{key}] Every Outputs member must contain a Value"
            )
    for key, each in (document.get("Parameters") or {}).items():
        if "Type" not in each:
            raise format_error(f"[/Parameters/{key}] Every Parameters object must contain a Type member.")
        if not _TYPE.fullmatch(str(each["Type"])):
            raise format_error(f"Unrecognized parameter type: {each['Type']}")
    if str(document.get("AWSTemplateFormatVersion") or VERSION) != VERSION:
        raise format_error("unsupported value for AWSTemplateFormatVersion.")
    if not document.get("Resources"):
        raise format_error("At least one Resources member must be defined.")
    return Template(document)


def transforms(document: Mapping[str, Any]) -> list[str]:
    """The macros that a template asks for. Raises Fault for one that is not here."""
    given = document.get("Transform") or []
    found = [
        str(each.get("Name") if isinstance(each, dict) else each)
        for each in ([given] if isinstance(given, str | dict) else given)
    ]
    for name in found:
        if name not in (SAM, EXTENSIONS):
            raise Fault("ValidationError", f"No transform named {name} found.")
    return found


def format_error(text: str) -> Fault:
    return Fault("ValidationError", f"Template format error: {text}")


def _check_resources(resources: Mapping[str, Any], conditions: set[str]) -> None:
    if len(resources) > RESOURCES:
        raise format_error(
            f"Number of resources, {len(resources)}, is greater than maximum allowed, {RESOURCES}"
        )
    for name, resource in resources.items():
        if not _LOGICAL.fullmatch(name):
            raise format_error(f"Resource name {name} is non alphanumeric.")
        if not isinstance(resource.get("Type"), str):
            raise format_error(f"[/Resources/{name}] Every Resources object must contain a Type member.")
        if strange := sorted(set(resource) - ATTRIBUTES):
            raise format_error(f"Invalid template resource property '{strange[0]}'")
        if not isinstance(resource.get("Properties") or {}, dict):
            raise format_error(f"[/Resources/{name}/Properties] must be an object")
        condition = resource.get("Condition")
        if condition is not None and condition not in conditions:
            raise format_error(
                f"Unresolved condition dependency {condition} in the Resources block of the template"
            )
        for policy in "DeletionPolicy", "UpdateReplacePolicy":
            if resource.get(policy) not in (None, "Delete", "Retain", "Snapshot", "RetainExceptOnCreate"):
                raise format_error(f"Unrecognized {policy} {resource[policy]} for resource {name}")
