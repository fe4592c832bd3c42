"""Versions and aliases: $LATEST frozen under a number, and names for numbers."""

from __future__ import annotations

from typing import Any

from ...aws.faults import Fault
from ...aws.names import LATEST
from ...durable.state import Change, Record
from .control import Control, Operation
from .lookup import INVALID, conflict, invalid, latest, not_found, page, public, stale, timestamp, unqualified

# What may differ between $LATEST and a version that is still the same.
_OWN = {
    "FunctionArn", "LastModified", "LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode",
    "RevisionId", "State", "StateReason", "StateReasonCode", "Version", "Description", "SnapStart", "_description",
}  # fmt: skip


def publish(
    control: Control, change: Change, record: Record, description: str | None, ready: bool = False
) -> Record:
    """$LATEST as a version: a new one, which gives $LATEST another revision, or the newest if nothing has changed
    since. ready: it is active at once, but for one with a snapshot, which has yet to be taken."""
    name = record["FunctionName"]
    about = control.state.get("about", name) or {"NextVersion": 1}
    newest = control.state.get("function", name, str(about["NextVersion"] - 1))
    if newest is not None and _same(newest, record):
        return newest
    number = str(about["NextVersion"])
    version = dict(record)
    version |= {
        "FunctionArn": control.place.function(name, number),
        "Version": number,
        "RevisionId": control.new_id(),
        "LastModified": timestamp(control.now()) if newest is not None else record["LastModified"],
        "_description": record["Description"],  # $LATEST's: another one makes another version
    }
    snapshot = record["SnapStart"]["ApplyOn"] == "PublishedVersions"
    if snapshot:
        version["SnapStart"] = {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    if snapshot or not ready:
        version |= {
            "State": "Pending",
            "StateReason": "The function is being created.",
            "StateReasonCode": "Creating",
        }
        for member in ("LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"):
            version.pop(member, None)
    if description is not None:
        version["Description"] = description
    change.put("function", name, number, version)
    change.put("function", name, LATEST, {**record, "RevisionId": control.new_id()})
    change.put("about", name, "", {**about, "NextVersion": int(number) + 1})
    return version


def _same(version: Record, record: Record) -> bool:
    names = (version.keys() | record.keys()) - _OWN
    return (
        all(version.get(name) == record.get(name) for name in names)
        and version["SnapStart"]["ApplyOn"] == record["SnapStart"]["ApplyOn"]
        and version.get("_description") == record["Description"]
    )


def leads_to(alias: Record) -> set[str]:
    """The versions that an alias means."""
    return {alias["FunctionVersion"], *alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})}


class Versions:
    """The operations on versions and aliases."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {
            "ListVersionsByFunction": self.list_all,
            "CreateAlias": self.create_alias,
            "GetAlias": self.get_alias,
            "ListAliases": self.list_aliases,
            "UpdateAlias": self.update_alias,
            "DeleteAlias": self.delete_alias,
        }

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        name, _ = unqualified(control, request)
        versions = control.state.owned("function", name)
        ordered = [versions[LATEST], *(versions[n] for n in sorted(versions.keys() - {LATEST}, key=int))]
        some, more = page(ordered, request)
        out = []
        for record in some:
            said = {
                member: value
                for member, value in public(record).items()
                if not member.startswith(("State", "LastUpdateStatus")) and member != "RuntimeVersionConfig"
            }
            said["FunctionArn"] = control.place.function(name, record["Version"])
            out.append(said)
        return {"Versions": out, **more}

    def create_alias(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        name, alias = control.place.parse(request["FunctionName"]).name, request["Name"]
        if control.state.get("alias", name, alias) is not None:
            raise conflict(f"Alias already exists: {control.place.function(name, alias)}")
        record: Record = {
            "AliasArn": control.place.function(name, alias),
            "Name": alias,
            "FunctionVersion": request["FunctionVersion"],
            "Description": request.get("Description", ""),
            "RevisionId": control.new_id(),
        }
        if request.get("RoutingConfig", {}).get("AdditionalVersionWeights"):
            record["RoutingConfig"] = request["RoutingConfig"]
        self._check(name, record)
        with control.state.change() as change:
            change.put("alias", name, alias, record)
        return record

    def _check(self, name: str, record: Record) -> None:
        control = self._control
        version = record["FunctionVersion"]
        weights = record.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        if len(weights) > 1:
            raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
        if weights and version == LATEST:
            # AWS names no Type here.
            raise Fault(INVALID, "$LATEST is not supported for an alias pointing to more than 1 version")
        if version in weights:
            raise invalid(
                f"Invalid function version {version}. "
                f"Function version {version} is already included in routing configuration."
            )
        for wanted in (version, *weights):
            if control.state.get("function", name, wanted) is None:
                raise not_found(f"Function not found: {control.place.function(name, wanted)}")

    def _alias(self, request: dict[str, Any], otherwise: str) -> tuple[str, Record]:
        named = self._control.place.parse(request["FunctionName"])
        record = self._control.state.get("alias", named.name, request["Name"])
        if record is None:
            raise not_found(f"{otherwise}: {self._control.place.function(named.name, request['Name'])}")
        return named.name, record

    def get_alias(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._alias(request, "Cannot find alias arn")[1]

    def list_aliases(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named, _ = latest(control, request)
        wanted = request.get("FunctionVersion")
        aliases = control.state.owned("alias", named.name)
        some, more = page(
            [aliases[a] for a in sorted(aliases) if wanted in (None, aliases[a]["FunctionVersion"])], request
        )
        return {"Aliases": some, **more}

    def update_alias(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        name, record = self._alias(request, "Alias not found")
        if request.get("RevisionId") and request["RevisionId"] != record["RevisionId"]:
            raise stale("GetFunction/GetAlias")
        new = dict(record)
        for member in ("FunctionVersion", "Description"):
            if request.get(member) is not None:
                new[member] = request[member]
        if request.get("RoutingConfig") is not None:
            new.pop("RoutingConfig", None)
            if request["RoutingConfig"].get("AdditionalVersionWeights"):
                new["RoutingConfig"] = request["RoutingConfig"]
        self._check(name, new)
        new["RevisionId"] = control.new_id()
        with control.state.change() as change:
            change.put("alias", name, record["Name"], new)
        return new

    def delete_alias(self, request: dict[str, Any]) -> dict[str, Any]:
        control, state = self._control, self._control.state
        named = control.place.parse(request["FunctionName"])
        alias = request["Name"]
        if state.get("alias", named.name, alias) is None:
            return {}
        with state.change() as change:
            for table in ("alias", "policy", "provisioned", "invoke-config", "url"):
                record = state.get(table, named.name, alias)
                if record is not None:
                    change.delete(table, named.name, alias)
                    if table == "url":
                        change.delete("url-id", record["_id"], "")
        return {}
