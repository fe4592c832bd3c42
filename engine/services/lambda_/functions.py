"""Functions: created, found, listed, changed and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import limits
from ...aws.names import LATEST
from ...durable.state import Change, Record
from ...hosting.packages import Package
from . import code as packaged
from .configuration import applied, check_size, defaults, refuse
from .control import Control, Operation
from .lookup import (
    conflict,
    invalid,
    latest,
    page,
    public,
    signing_config,
    stale,
    timestamp,
    unqualified,
    version,
)
from .tags import check_number
from .versions import leads_to, publish

_CREATING = {
    "State": "Pending",
    "StateReason": "The function is being created.",
    "StateReasonCode": "Creating",
}
_UPDATING = {
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": "The function is being created.",
    "LastUpdateStatusReasonCode": "Creating",
}
# Tables whose owner is a function's name: what goes with the function. The id: a version, an alias, or "".
OF_A_FUNCTION = (
    "about",
    "alias",
    "code-signing",
    "concurrency",
    "function",
    "invoke-config",
    "policy",
    "provisioned",
    "recursion",
    "runtime-management",
    "url",
)
_PASSING = (*_CREATING, *_UPDATING)
_CODE_BYTES = 300 * 1024 * limits.MIB  # AWS's quota of a region


class Functions:
    """The operations on functions themselves."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._pending: set[tuple[str, str]] = {
            (name, number)
            for name in control.state.owners("function")
            for number, record in control.state.owned("function", name).items()
            if _passing(record)
        }

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateFunction": self.create,
            "GetFunction": self.get,
            "GetFunctionConfiguration": self.configuration,
            "ListFunctions": self.list_all,
            "DeleteFunction": self.delete,
            "UpdateFunctionCode": self.update_code,
            "UpdateFunctionConfiguration": self.update_configuration,
            "PublishVersion": self.publish_version,
            "GetAccountSettings": self.account,
        }

    def settle(self) -> None:
        """What is being made is made."""
        state = self._control.state
        with state.change() as change:
            for name, number in self._pending:
                record = state.get("function", name, number)
                if record is None or not _passing(record):
                    continue
                new = {member: value for member, value in record.items() if member not in _PASSING}
                new |= {
                    "State": "Active",
                    "LastUpdateStatus": "Successful",
                    "RevisionId": self._control.new_id(),
                }
                change.put("function", name, number, new)
        self._pending.clear()

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        name = control.place.parse(request["FunctionName"]).name
        if len(name) > limits.NAME_CHARS:
            raise invalid(
                f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
                f"Member must have length less than or equal to {limits.NAME_CHARS}"
            )
        if request.get("PackageType", "Zip") == "Image":
            raise invalid("Container images are not run here: use PackageType Zip")
        if not request.get("Runtime") or not request.get("Handler"):
            raise invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        if control.state.get("function", name, LATEST) is not None:
            raise conflict(f"Function already exist: {name}")
        check_number(request.get("Tags") or {})
        signing = request.get("CodeSigningConfigArn")
        if signing:
            signing_config(control, signing)
        record = applied(control, defaults(control, name), {**request, "Layers": None})
        _architectures(record, request)
        record |= _code(packaged.received(control, request["Code"]), request["Code"])
        record = applied(control, record, {"Layers": request.get("Layers")})
        record |= {"LastModified": timestamp(control.now()), "RevisionId": control.new_id(), **_CREATING}
        with control.state.change() as change:
            change.put("function", name, LATEST, record)
            change.put("about", name, "", {"NextVersion": 1})
            if request.get("Tags"):
                change.put("tags", control.place.function(name), "", request["Tags"])
            if signing:
                change.put("code-signing", name, "", {"CodeSigningConfigArn": signing})
            answer = record
            if request.get("Publish"):
                answer = publish(control, change, record, request.get("Description"))
        self._pending |= {(name, LATEST), (name, answer["Version"])}
        return {**public(answer), "FunctionArn": record["FunctionArn"]}

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named, record = version(control, request)
        location = f"{control.base_url()}/2015-03-31/functions/{named.name}/code-archive/{record['_digest']}"
        out: dict[str, Any] = {
            "Configuration": self._answered(record, named.qualifier),
            "Code": {"RepositoryType": "S3", "Location": location},
        }
        if key := record.get("_key"):
            out["Code"]["SourceKMSKeyArn"] = key
        if tags := control.state.get("tags", control.place.function(named.name)):
            out["Tags"] = tags
        if reserved := control.state.get("concurrency", named.name):
            out["Concurrency"] = reserved
        return out

    def configuration(self, request: dict[str, Any]) -> dict[str, Any]:
        named, record = version(self._control, request)
        return self._answered(record, named.qualifier)

    def _answered(self, record: Record, qualifier: str | None) -> dict[str, Any]:
        out = public(record)
        if qualifier:
            out["FunctionArn"] = self._control.place.function(record["FunctionName"], qualifier)
        return out

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        state = self._control.state
        everything = request.get("FunctionVersion") == "ALL"
        master = request.get("MasterRegion")
        if master and not everything:
            raise invalid("FunctionVersion must be ALL when MasterRegion is specified")
        found: list[tuple[str, str]] = []
        # No function here is a replica of one in another region.
        for name in state.owners("function") if master in (None, "ALL") else ():
            found.append((name, LATEST))
            if everything:
                numbers = state.owned("function", name).keys() - {LATEST}
                found += [(name, number) for number in sorted(numbers, key=int)]
        some, more = page(found, request)
        listed = []
        for name, number in some:
            record = state.owned("function", name)[number]
            out = _summary(record)
            if everything and record["Version"] == LATEST:
                out["FunctionArn"] = self._control.place.function(record["FunctionName"], LATEST)
            listed.append(out)
        return {"Functions": listed, **more}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        control, state = self._control, self._control.state
        named = control.place.parse(request["FunctionName"], request.get("Qualifier"))
        name, qualifier = named.name, named.qualifier
        if qualifier == LATEST:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        if qualifier and not qualifier.isdigit() and "$" not in qualifier:
            raise invalid("Deletion of aliases is not currently supported.")
        latest(control, {"FunctionName": name})
        with state.change() as change:
            if qualifier is None:
                _forget(control, change, name)
            elif state.get("function", name, qualifier) is not None:
                if aliases := [
                    a for a, alias in state.owned("alias", name).items() if qualifier in leads_to(alias)
                ]:
                    raise conflict(
                        "Unable to delete version because the following aliases reference it: "
                        f"[{', '.join(sorted(aliases))}]"
                    )
                for table in OF_A_FUNCTION:
                    if state.get(table, name, qualifier) is not None:
                        change.delete(table, name, qualifier)
        return {"StatusCode": 204}

    def update_code(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        name, record = unqualified(control, request)
        _unless_busy(control, record)
        _unchanged(request, record)
        if request.get("ImageUri"):
            raise invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
        refuse(request)
        package = packaged.received(control, request)
        new = dict(record)
        _architectures(new, request)
        new |= _code(package, request)
        check_size(new)
        new["LastModified"] = timestamp(control.now())
        if request.get("DryRun"):
            return public(new)
        new |= {"RevisionId": control.new_id(), **_UPDATING}
        with control.state.change() as change:
            change.put("function", name, LATEST, new)
            answer = publish(control, change, new, None) if request.get("Publish") else new
        self._pending |= {(name, LATEST), (name, answer["Version"])}
        return public(answer)

    def update_configuration(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        name, record = unqualified(control, request)
        _unless_busy(control, record)
        _unchanged(request, record)
        new = applied(control, record, request)
        new |= {"LastModified": timestamp(control.now()), "RevisionId": control.new_id(), **_UPDATING}
        with control.state.change() as change:
            change.put("function", name, LATEST, new)
        self._pending.add((name, LATEST))
        return public(new)

    def publish_version(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        name, record = unqualified(control, request)
        _unless_busy(control, record)
        _unchanged(request, record)
        refuse(request)
        wanted = request.get("CodeSha256")
        if wanted and wanted != record["CodeSha256"]:
            raise invalid(
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({record['CodeSha256']}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
        with control.state.change() as change:
            answer = publish(control, change, record, request.get("Description"), ready=True)
        self._pending.add((name, answer["Version"]))
        return public(answer)

    def account(self, _request: dict[str, Any]) -> dict[str, Any]:
        state = self._control.state
        reserved = used = functions = 0
        for name in state.owners("layer"):
            used += sum(record["Content"]["CodeSize"] for record in state.owned("layer", name).values())
        for name in state.owners("function"):
            functions += 1
            used += sum(record["CodeSize"] for record in state.owned("function", name).values())
            if record := state.get("concurrency", name):
                reserved += record["ReservedConcurrentExecutions"]
        return {
            "AccountLimit": {
                "TotalCodeSize": _CODE_BYTES,
                "CodeSizeUnzipped": limits.UNZIPPED_BYTES,
                "CodeSizeZipped": limits.ZIPPED_BYTES,
                "ConcurrentExecutions": limits.CONCURRENCY_MAX,
                "UnreservedConcurrentExecutions": limits.CONCURRENCY_MAX - reserved,
            },
            "AccountUsage": {"TotalCodeSize": used, "FunctionCount": functions},
        }


def _summary(record: Record) -> dict[str, Any]:
    """As lists have it: AWS leaves out there what changes from moment to moment."""
    hidden = ("State", "StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason",
              "LastUpdateStatusReasonCode", "RuntimeVersionConfig")  # fmt: skip
    return {name: value for name, value in public(record).items() if name not in hidden}


def _forget(control: Control, change: Change, name: str) -> None:
    """A function and all that hangs on it."""
    state = control.state
    for table in OF_A_FUNCTION:
        for id, record in state.owned(table, name).items():
            change.delete(table, name, id)
            if table == "url":
                change.delete("url-id", record["_id"], "")
    arn = control.place.function(name)
    if state.get("tags", arn) is not None:
        change.delete("tags", arn, "")


def _passing(record: Record) -> bool:
    return record.get("State") == "Pending" or record.get("LastUpdateStatus") == "InProgress"


def _code(package: Package, source: Mapping[str, Any]) -> Record:
    return {
        "CodeSize": package.size,
        "CodeSha256": package.sha256,
        "_digest": package.digest,
        "_unzipped": package.unzipped,
        "_key": source.get("SourceKMSKeyArn"),
    }


def _architectures(record: Record, request: Mapping[str, Any]) -> None:
    if request.get("Architectures"):
        record["Architectures"] = request["Architectures"]


def _unless_busy(control: Control, record: Record) -> None:
    if _passing(record):
        arn = control.place.function(record["FunctionName"])
        raise conflict(
            "The operation cannot be performed at this time. "
            + (
                "The function is currently in the following state: Pending"
                if record.get("State") == "Pending"
                else f"An update is in progress for resource: {arn}"
            )
        )


def _unchanged(request: Mapping[str, Any], record: Record) -> None:
    revision = request.get("RevisionId")
    if revision and revision != record["RevisionId"]:
        raise stale("GetFunction/GetAlias")
