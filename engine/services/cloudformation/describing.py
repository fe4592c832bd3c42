"""The operations that show stacks, their resources, events, templates and exports."""

from __future__ import annotations

import json
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...deploy import extensions, template
from ...deploy.journal import Record
from ...deploy.parameters import hidden
from .catalog import DELETED, Catalog, page, public
from .preparing import Preparing, document_of

_NOT_CHECKED = {"StackDriftStatus": "NOT_CHECKED"}


class Describing:
    """Belongs to one event loop."""

    def __init__(self, catalog: Catalog, preparing: Preparing) -> None:
        self._catalog = catalog
        self._preparing = preparing

    def describe_stacks(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = members.get("StackName")
        if name:
            return {"Stacks": [_shown(self._catalog.stack(caller.place, name))]}
        there = [each for each in self._catalog.stacks(caller.place) if each["StackStatus"] != DELETED]
        found, token = page(there, members)
        return {"Stacks": [_shown(each) for each in found], "NextToken": token}

    def list_stacks(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        wanted = members.get("StackStatusFilter") or ()
        stacks = self._catalog.stacks(caller.place)
        found, token = page([each for each in stacks if not wanted or each["StackStatus"] in wanted], members)
        shown = [{**_shown(each), "TemplateDescription": each.get("Description")} for each in found]
        return {"StackSummaries": shown, "NextToken": token}

    def describe_stack_events(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = members.get("StackName") or ""
        record = self._catalog.stack(caller.place, name, "Stack [{}] does not exist")
        found, token = page(self._catalog.events(caller.place, record), members)
        return {"StackEvents": found, "NextToken": token}

    def describe_stack_resource(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self._catalog.stack(caller.place, members["StackName"], "Stack '{}' does not exist")
        found = self._resource(caller.place, record, members["LogicalResourceId"])
        detail = {**_resource(record, found), "LastUpdatedTimestamp": found["Timestamp"]}
        described = template.Template(record.get("_processed") or {}).resources.get(
            found["LogicalResourceId"], {}
        )
        if "Metadata" in described:
            detail["Metadata"] = json.dumps(described["Metadata"])
        return {"StackResourceDetail": detail}

    def describe_stack_resources(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name, id = members.get("StackName"), members.get("PhysicalResourceId")
        logical = members.get("LogicalResourceId")
        if not name and not id:
            raise Fault("ValidationError", "Either StackName or PhysicalResourceId must be specified.")
        place = caller.place
        record = self._catalog.stack(place, name) if name else self._owner(place, str(id))
        owned = self._catalog.resources(caller.place, record).values()
        found = [
            _resource(record, each) for each in owned if not logical or each["LogicalResourceId"] == logical
        ]
        if logical and not found:
            self._resource(caller.place, record, logical)
        return {"StackResources": sorted(found, key=lambda each: str(each["LogicalResourceId"]))[:100]}

    def list_stack_resources(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self._catalog.stack(caller.place, members["StackName"])
        owned = sorted(self._catalog.resources(caller.place, record).items())
        found, token = page([each for _, each in owned], members)
        shown = [{**_resource(record, each), "LastUpdatedTimestamp": each["Timestamp"]} for each in found]
        return {"StackResourceSummaries": shown, "NextToken": token}

    def get_template(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        place, record = caller.place, None
        if members.get("StackName"):
            record = self._catalog.stack(place, members["StackName"])
        if name := members.get("ChangeSetName"):
            sets = self._catalog.change_sets(place, record) if record else {}
            found = next((each for label, each in sets.items() if name in (label, each["ChangeSetId"])), None)
            if found is None:
                raise Fault("ChangeSetNotFoundException", f"ChangeSet [{name}] does not exist")
            record = found.get("_prepared") or record
        if record is None:
            raise Fault("ValidationError", "1 validation error detected: Value null at 'stackName'")
        kept = record if "_body" in record else record.get("_pending") or {}
        body = str(kept.get("_body", "{}"))
        if members.get("TemplateStage") == "Processed":
            body = json.dumps(kept.get("_processed", {}))
        return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}

    async def get_template_summary(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        if members.get("StackName"):
            record = self._catalog.stack(caller.place, members["StackName"])
            members = {**members, "TemplateBody": record.get("_body", "{}")}
        document, found = await self._looked_at(members, caller.place)
        declared = document.get("Parameters") or {}
        shown = [
            {
                **_parameter(name, each), "ParameterType": each.get("Type"),
                "ParameterConstraints": {"AllowedValues": [str(value) for value in each.get("AllowedValues") or ()]},
            }
            for name, each in declared.items()
        ]  # fmt: skip
        resources = document.get("Resources") or {}
        return {
            **found, "Parameters": shown, "Version": document.get("AWSTemplateFormatVersion", "2010-09-09"),
            "ResourceTypes": sorted({each.get("Type", "") for each in resources.values()}),
        }  # fmt: skip

    async def validate_template(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        document, found = await self._looked_at(members, caller.place)
        declared = document.get("Parameters") or {}
        return {**found, "Parameters": [_parameter(name, each) for name, each in declared.items()]}

    def list_exports(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        there = sorted(self._catalog.exports(caller.place), key=lambda each: each[0])
        found, token = page(there, members)
        shown = [{"Name": n, "Value": v, "ExportingStackId": record["StackId"]} for n, v, record in found]
        return {"Exports": shown, "NextToken": token}

    def list_imports(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name = members["ExportName"]
        users = self._catalog.importers(caller.place, name)
        if not users:
            raise Fault("ValidationError", f"Export '{name}' is not imported by any stack.")
        found, token = page(users, members)
        return {"Imports": found, "NextToken": token}

    async def _looked_at(
        self, members: dict[str, Any], place: Place
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A template as it was sent, and its summary. Raises Fault."""
        document = document_of(await self._preparing.text(members, None, place))
        asked = template.transforms(document)
        if template.EXTENSIONS in asked:
            document = extensions.once(document)
        found = template.of(document)
        if not asked:
            found.check()
        needed = found.capabilities()
        if template.SAM in asked and not needed:
            kinds = {each.get("Type") for each in found.resources.values()}
            needed = ["CAPABILITY_IAM"] if "AWS::Serverless::Function" in kinds else []
        reason = f"The following resource(s) require capabilities: [{', '.join(needed)}]" if needed else None
        if asked:
            needed = [*needed, "CAPABILITY_AUTO_EXPAND"]
        shown = {"Description": found.description, "Capabilities": needed, "CapabilitiesReason": reason}
        return document, {**shown, "DeclaredTransforms": asked}

    def _resource(self, place: Place, record: Record, logical: str) -> Record:
        found = self._catalog.resources(place, record).get(logical)
        if found is None:
            text = f"Resource {logical} does not exist for stack {record['StackName']}"
            raise Fault("ValidationError", text)
        return found

    def _owner(self, place: Place, id: str) -> Record:
        for record in self._catalog.stacks(place):
            owned = self._catalog.resources(place, record).values()
            if any(each["PhysicalResourceId"] == id for each in owned):
                return record
        raise Fault("ValidationError", f"Stack for {id} does not exist")


def _parameter(name: str, declared: dict[str, Any]) -> Record:
    default = None if "Default" not in declared else str(declared["Default"])
    shown = {"ParameterKey": name, "Description": declared.get("Description"), "DefaultValue": default}
    return {**shown, "NoEcho": hidden(declared)}


def _shown(record: Record) -> Record:
    return {**public(record), "DriftInformation": _NOT_CHECKED}


def _resource(record: Record, found: Record) -> Record:
    return {
        **public(found), "StackId": record["StackId"],
        "StackName": record["StackName"], "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }  # fmt: skip
