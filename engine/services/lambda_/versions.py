"""Versions and aliases: $LATEST frozen under a number, and names for numbers."""

from __future__ import annotations

from ...aws.faults import Fault
from ...aws.names import LATEST
from ...durable.state import Change, Record
from .control import Control, Operations, Request, Response
from .lookup import latest, name_of, unqualified
from .records import forget
from .responses import (
    INVALID,
    changed,
    check_revision,
    conflict,
    invalid,
    not_found,
    page,
    paged,
    public,
    timestamp,
)

# What may differ between $LATEST and a version that is still the same.
_OWN = {
    "FunctionArn", "LastModified", "LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode",
    "RevisionId", "State", "StateReason", "StateReasonCode", "Version", "Description", "SnapStart", "_description",
}  # fmt: skip
CREATING = {
    "State": "Pending",
    "StateReason": "The function is being created.",
    "StateReasonCode": "Creating",
}
UPDATING = {
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": "The function is being created.",
    "LastUpdateStatusReasonCode": "Creating",
}
# What changes from moment to moment: lists leave it out.
_UNLISTED = {*CREATING, *UPDATING, "RuntimeVersionConfig"}


def summary(record: Record, arn: str) -> Response:
    """A version as lists have it."""
    members = {name: value for name, value in public(record).items() if name not in _UNLISTED}
    return {**members, "FunctionArn": arn}


def publish(
    control: Control, change: Change, record: Record, description: str | None, ready: bool = False
) -> Record:
    """$LATEST as a version: a new one, which gives $LATEST another revision, or the newest if nothing has changed
    since. ready: it is active at once, unless it has a snapshot, which has yet to be taken."""
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
        version |= CREATING
        for member in UPDATING:
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
    """The versions that an alias routes to."""
    return {alias["FunctionVersion"], *alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})}


class Versions(Operations):
    """The operations on versions and aliases."""

    def list_versions_by_function(self, request: Request) -> Response:
        name, _ = unqualified(self.control, request)
        versions = self.state.owned("function", name)
        ordered = [versions[LATEST], *(versions[n] for n in sorted(versions.keys() - {LATEST}, key=int))]
        records, more = page(ordered, request)
        return {"Versions": [summary(r, self.place.function(name, r["Version"])) for r in records], **more}

    def create_alias(self, request: Request) -> Response:
        name, alias = self._names(request)
        if self.state.get("alias", name, alias) is not None:
            raise conflict(f"Alias already exists: {self.place.function(name, alias)}")
        record = {
            "AliasArn": self.place.function(name, alias),
            "Description": "",
            "RevisionId": self.control.new_id(),
            **changed({}, request, ("Name", "FunctionVersion", "Description", "RoutingConfig")),
        }
        self._check(name, record)
        self.put("alias", name, alias, record)
        return record

    def _check(self, name: str, record: Record) -> None:
        """Raises Fault. A routing without weights is none: it is removed."""
        version = record["FunctionVersion"]
        weights = record.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        if not weights:
            record.pop("RoutingConfig", None)
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
        for number in (version, *weights):
            if self.state.get("function", name, number) is None:
                raise not_found(f"Function not found: {self.place.function(name, number)}")

    def _alias(self, request: Request, missing: str) -> tuple[str, Record]:
        name, alias = self._names(request)
        record = self.state.get("alias", name, alias)
        if record is None:
            raise not_found(f"{missing}: {self.place.function(name, alias)}")
        return name, record

    def _names(self, request: Request) -> tuple[str, str]:
        return name_of(self.control, request).name, request["Name"]

    def get_alias(self, request: Request) -> Response:
        return self._alias(request, "Cannot find alias arn")[1]

    def list_aliases(self, request: Request) -> Response:
        name, _ = latest(self.control, request)
        version = request.get("FunctionVersion")
        aliases = self.state.owned("alias", name.name)
        found = [aliases[id] for id in sorted(aliases) if version in (None, aliases[id]["FunctionVersion"])]
        return paged("Aliases", found, request)

    def update_alias(self, request: Request) -> Response:
        name, record = self._alias(request, "Alias not found")
        check_revision(request, record)
        new = changed(record, request, ("FunctionVersion", "Description", "RoutingConfig"))
        self._check(name, new)
        new["RevisionId"] = self.control.new_id()
        self.put("alias", name, record["Name"], new)
        return new

    def delete_alias(self, request: Request) -> Response:
        name, alias = self._names(request)
        if self.state.get("alias", name, alias) is not None:
            with self.state.change() as change:
                forget(self.state, change, name, alias)
        return {}
