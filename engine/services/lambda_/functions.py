"""Functions: created, found, listed, changed and deleted."""

from __future__ import annotations

from ... import limits
from ...aws.names import LATEST
from ...durable.state import Record
from ...hosting.packages import Package
from . import code as packaged
from .configuration import applied, check_size, defaults, refuse
from .control import Control, Operations, Request, Response
from .lookup import latest, name_of, signing_config, unqualified, version
from .records import discard, forget
from .responses import changed, check_revision, conflict, invalid, page, public, timestamp
from .tags import check_number
from .versions import CREATING, UPDATING, leads_to, publish, summary

_PENDING = {*CREATING, *UPDATING}
_CODE_BYTES = 300 * 1024 * limits.MIB  # AWS's quota of a region


class Functions(Operations):
    """The operations on functions themselves."""

    def __init__(self, control: Control) -> None:
        super().__init__(control)
        self._pending: set[tuple[str, str]] = {
            (name, number)
            for name in self.state.owners("function")
            for number, record in self.state.owned("function", name).items()
            if _is_pending(record)
        }

    def settle(self) -> None:
        """What is pending becomes active."""
        with self.state.change() as change:
            for name, number in self._pending:
                record = self.state.get("function", name, number)
                if record is None or not _is_pending(record):
                    continue
                new = {member: value for member, value in record.items() if member not in _PENDING}
                new |= {
                    "State": "Active",
                    "LastUpdateStatus": "Successful",
                    "RevisionId": self.control.new_id(),
                }
                change.put("function", name, number, new)
        self._pending.clear()

    def create_function(self, request: Request) -> Response:
        name = self.place.parse(request["FunctionName"]).name
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
        if request.get("Layers"):  # before the name, as AWS does
            applied(self.control, defaults(self.control, name), {"Layers": request["Layers"]})
        if self.state.get("function", name, LATEST) is not None:
            raise conflict(f"Function already exist: {name}")
        check_number(request.get("Tags") or {})
        signing = request.get("CodeSigningConfigArn")
        if signing:
            signing_config(self.control, signing)
        record = applied(self.control, defaults(self.control, name), {**request, "Layers": None})
        record |= _code(packaged.received(self.control, request, request["Code"]), request["Code"])
        record = applied(self.control, record, {"Layers": request.get("Layers")})
        record |= {**self._revision(), **CREATING}
        with self.state.change() as change:
            change.put("function", name, LATEST, record)
            change.put("about", name, "", {"NextVersion": 1})
            if request.get("Tags"):
                change.put("tags", self.place.function(name), "", request["Tags"])
            if signing:
                change.put("code-signing", name, "", {"CodeSigningConfigArn": signing})
            description = request.get("Description")
            made = publish(self.control, change, record, description) if request.get("Publish") else record
        self._pending |= {(name, LATEST), (name, made["Version"])}
        return {**public(made), "FunctionArn": record["FunctionArn"]}

    def _revision(self) -> Record:
        return {"LastModified": timestamp(self.control.now()), "RevisionId": self.control.new_id()}

    def get_function(self, request: Request) -> Response:
        name, record = version(self.control, request)
        functions = f"{self.control.base_url()}/2015-03-31/functions"
        location = f"{functions}/{name.name}/code-archive/{record['_digest']}"
        code = {"RepositoryType": "S3", "Location": location}
        out: Response = {"Configuration": self._described(record, name.qualifier), "Code": code}
        if key := record.get("_key"):
            code["SourceKMSKeyArn"] = key
        if tags := self.state.get("tags", self.place.function(name.name)):
            out["Tags"] = tags
        if reserved := self.state.get("concurrency", name.name):
            out["Concurrency"] = reserved
        return out

    def get_function_configuration(self, request: Request) -> Response:
        name, record = version(self.control, request)
        return self._described(record, name.qualifier)

    def _described(self, record: Record, qualifier: str | None) -> Response:
        out = public(record)
        if qualifier:
            out["FunctionArn"] = self.place.function(record["FunctionName"], qualifier)
        return out

    def list_functions(self, request: Request) -> Response:
        everything = request.get("FunctionVersion") == "ALL"
        master = request.get("MasterRegion")
        if master and not everything:
            raise invalid("FunctionVersion must be ALL when MasterRegion is specified")
        found: list[tuple[str, str]] = []
        # No function here is a replica of one in another region.
        for name in self.state.owners("function") if master in (None, "ALL") else ():
            found.append((name, LATEST))
            if everything:
                numbers = self.state.owned("function", name).keys() - {LATEST}
                found += [(name, number) for number in sorted(numbers, key=int)]
        versions, more = page(found, request)
        functions = []
        for name, number in versions:
            arn = self.place.function(name, number if everything else None)
            functions.append(summary(self.state.owned("function", name)[number], arn))
        return {"Functions": functions, **more}

    def delete_function(self, request: Request) -> Response:
        found = name_of(self.control, request)
        name, qualifier = found.name, found.qualifier
        if qualifier == LATEST:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        if qualifier and not qualifier.isdigit() and "$" not in qualifier:
            raise invalid("Deletion of aliases is not currently supported.")
        latest(self.control, {"FunctionName": name})
        with self.state.change() as change:
            if qualifier is None:
                forget(self.state, change, name)
                discard(self.state, change, "tags", self.place.function(name))
            elif self.state.get("function", name, qualifier) is not None:
                aliases = self.state.owned("alias", name)
                if users := sorted(id for id in aliases if qualifier in leads_to(aliases[id])):
                    text = "Unable to delete version because the following aliases reference it"
                    raise conflict(f"{text}: [{', '.join(users)}]")
                forget(self.state, change, name, qualifier)
        return {"StatusCode": 204}

    def update_function_code(self, request: Request) -> Response:
        name, record = self._idle(request)
        if request.get("ImageUri"):
            raise invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
        refuse(request)
        package = packaged.received(self.control, request, request)
        new = changed(record, request, ("Architectures",)) | _code(package, request)
        check_size(new)
        new["LastModified"] = timestamp(self.control.now())
        if request.get("DryRun"):
            return public(new)
        new |= {"RevisionId": self.control.new_id(), **UPDATING}
        with self.state.change() as change:
            change.put("function", name, LATEST, new)
            made = publish(self.control, change, new, None) if request.get("Publish") else new
        self._pending |= {(name, LATEST), (name, made["Version"])}
        return public(made)

    def update_function_configuration(self, request: Request) -> Response:
        name, record = self._idle(request)
        new = {**applied(self.control, record, request), **self._revision(), **UPDATING}
        self.put("function", name, LATEST, new)
        self._pending.add((name, LATEST))
        return public(new)

    def publish_version(self, request: Request) -> Response:
        name, record = self._idle(request)
        refuse(request)
        sha256 = request.get("CodeSha256")
        if sha256 and sha256 != record["CodeSha256"]:
            raise invalid(
                f"CodeSHA256 ({sha256}) is different from current CodeSHA256 in $LATEST ({record['CodeSha256']}). "
                "Please try again with the CodeSHA256 in $LATEST."
            )
        with self.state.change() as change:
            made = publish(self.control, change, record, request.get("Description"), ready=True)
        self._pending.add((name, made["Version"]))
        return public(made)

    def _idle(self, request: Request) -> tuple[str, Record]:
        """An unqualified function that is to change, and may. Raises Fault."""
        name, record = unqualified(self.control, request)
        if _is_pending(record):
            why = f"An update is in progress for resource: {self.place.function(name)}"
            if record.get("State") == "Pending":
                why = "The function is currently in the following state: Pending"
            raise conflict(f"The operation cannot be performed at this time. {why}")
        check_revision(request, record)
        return name, record

    def get_account_settings(self, _request: Request) -> Response:
        reserved = used = functions = 0
        for name in self.state.owners("layer"):
            used += sum(record["Content"]["CodeSize"] for record in self.state.owned("layer", name).values())
        for name in self.state.owners("function"):
            functions += 1
            used += sum(record["CodeSize"] for record in self.state.owned("function", name).values())
            if record := self.state.get("concurrency", name):
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


def _is_pending(record: Record) -> bool:
    return record.get("State") == "Pending" or record.get("LastUpdateStatus") == "InProgress"


def _code(package: Package, source: Request) -> Record:
    return {
        "CodeSize": package.size,
        "CodeSha256": package.sha256,
        "_digest": package.digest,
        "_unzipped": package.unzipped,
        "_key": source.get("SourceKMSKeyArn"),
    }
