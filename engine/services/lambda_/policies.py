"""Resource policies: who may invoke a function, or use a layer. Kept and returned as AWS writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ...aws.faults import Fault
from ...aws.names import LATEST
from ...durable.state import Record
from .control import Operations, Request, Response
from .lookup import existing, latest, layer_number, name_of
from .responses import check_revision, conflict, invalid, not_found

LIMIT = 20_480  # bytes of a policy
_EMPTY = {"Version": "2012-10-17", "Id": "default"}
_NOTHING = "The resource you requested does not exist."
_NO_POLICY = "No policy is associated with the given resource."
_NOT_LATEST = "We currently do not support adding policies for $LATEST."
# Members of a request that are conditions, by what a policy calls them.
_EQUALS = {
    "SourceAccount": "AWS:SourceAccount",
    "PrincipalOrgID": "aws:PrincipalOrgID",
    "EventSourceToken": "lambda:EventSourceToken",
    "FunctionUrlAuthType": "lambda:FunctionUrlAuthType",
}
_ACCOUNT = re.compile(r"\d{12}")
_SERVICE = re.compile(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com)")
_ARN = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")


class Policies(Operations):
    """The operations on policies."""

    def add_permission(self, request: Request) -> Response:
        name, record = existing(self.control, request)
        if name.qualifier == LATEST:
            raise invalid(_NOT_LATEST)
        before = self.state.get("policy", name.name, name.qualifier or "")
        # Without a policy, its first revision is that of the function, version or alias.
        check_revision(request, before or record, "GetPolicy")
        statement = _statement(request, self.place.function(name.name, name.qualifier))
        self._put("policy", name.name, name.qualifier or "", before, statement)
        return {"Statement": msgspec.json.encode(statement).decode()}

    def _put(
        self, table: str, owner: str, id: str, before: Record | None, statement: dict[str, Any]
    ) -> Record:
        statements = _statements(before)
        sid = statement["Sid"]
        if any(each.get("Sid") == sid for each in statements):
            raise conflict(
                f"The statement id ({sid}) provided already exists. "
                "Please provide a new statement id, or remove the existing statement."
            )
        new = self._revised(before, [*statements, statement])
        if len(_text(new)) > LIMIT:
            raise Fault(
                "PolicyLengthExceededException",
                f"The final policy size ({len(_text(new))}) is bigger than the limit ({LIMIT}).",
                Type="User",
            )
        self.put(table, owner, id, new)
        return new

    def _revised(self, before: Record | None, statements: list[Any]) -> Record:
        document = {**(before["Document"] if before else _EMPTY), "Statement": statements}
        return {"Document": document, "RevisionId": self.control.new_id()}

    def remove_permission(self, request: Request) -> Response:
        name = name_of(self.control, request)
        arn = self.place.function(name.name, name.qualifier)
        latest(self.control, request, f"No policy found for: {arn}")
        existing(self.control, request)
        before = self.state.get("policy", name.name, name.qualifier or "")
        self._remove("policy", name.name, name.qualifier or "", before, request, "GetPolicy")
        return {}

    def _remove(
        self,
        table: str,
        owner: str,
        id: str,
        before: Record | None,
        request: Mapping[str, Any],
        operation: str,
    ) -> None:
        if before is None:
            raise not_found(_NO_POLICY)
        sid = request["StatementId"]
        statements = _statements(before)
        left = [each for each in statements if each.get("Sid") != sid]
        if len(left) == len(statements):
            raise not_found(f"Statement {sid} is not found in resource policy.")
        check_revision(request, before, operation)
        with self.state.change() as change:
            if left:
                change.put(table, owner, id, self._revised(before, left))
            else:
                change.delete(table, owner, id)

    def get_policy(self, request: Request) -> Response:
        name = name_of(self.control, request)
        return _response(self.state.get("policy", name.name, name.qualifier or ""), _NOTHING)

    def _of_arn(self, request: Request) -> tuple[str, str, Record | None]:
        name, _ = existing(self.control, {"FunctionName": request["ResourceArn"]})
        if name.qualifier == LATEST:
            raise invalid(_NOT_LATEST)
        qualifier = name.qualifier or ""
        return name.name, qualifier, self.state.get("policy", name.name, qualifier)

    def get_resource_policy(self, request: Request) -> Response:
        return _response(self._of_arn(request)[2], _NOTHING)

    def put_resource_policy(self, request: Request) -> Response:
        name, qualifier, before = self._of_arn(request)
        check_revision(request, before, "GetResourcePolicy")
        new: Record = {"Document": _parsed(request["Policy"]), "RevisionId": self.control.new_id()}
        self.put("policy", name, qualifier, new)
        return _response(new, _NOTHING)

    def delete_resource_policy(self, request: Request) -> Response:
        name, qualifier, before = self._of_arn(request)
        if before is None:
            raise not_found(_NOTHING)
        check_revision(request, before, "GetResourcePolicy")
        self.discard("policy", name, qualifier)
        return {}

    def _layer(self, request: Request) -> tuple[str, str, Record | None]:
        name, number = request["LayerName"].rsplit(":", 1)[-1], layer_number(request["VersionNumber"])
        if self.state.get("layer", name, number) is None:
            raise not_found(f"Layer version {self.place.layer(name, number)} does not exist.")
        return name, number, self.state.get("layer-policy", name, number)

    def add_layer_version_permission(self, request: Request) -> Response:
        name, number, before = self._layer(request)
        check_revision(request, before, "GetLayerPolicy")
        account = _ACCOUNT.fullmatch(request["Principal"])
        statement = {
            "Sid": request["StatementId"],
            "Effect": "Allow",
            "Principal": _account(request["Principal"]) if account else request["Principal"],
            "Action": request["Action"],
            "Resource": self.place.layer(name, number),
        }
        if request.get("OrganizationId"):
            statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": request["OrganizationId"]}}
        new = self._put("layer-policy", name, number, before, statement)
        return {"Statement": msgspec.json.encode(statement).decode(), "RevisionId": new["RevisionId"]}

    def remove_layer_version_permission(self, request: Request) -> Response:
        name, number, before = self._layer(request)
        self._remove("layer-policy", name, number, before, request, "GetLayerPolicy")
        return {}

    def get_layer_version_policy(self, request: Request) -> Response:
        return _response(self._layer(request)[2], _NO_POLICY)


def _account(id: str) -> dict[str, str]:
    return {"AWS": f"arn:aws:iam::{id}:root"}


def _principal(text: str) -> str | dict[str, str]:
    """A statement's Principal. Raises Fault."""
    if text == "*":
        return text
    if _ACCOUNT.fullmatch(text):
        return _account(text)
    if _ARN.fullmatch(text):
        return {"AWS": text}
    if _SERVICE.fullmatch(text):
        return {"Service": text}
    raise invalid("The provided principal was invalid. Please check the principal and try again.")


def _statement(request: Mapping[str, Any], resource: str) -> dict[str, Any]:
    principal = _principal(request["Principal"])
    equals = {condition: request[member] for member, condition in _EQUALS.items() if request.get(member)}
    conditions: dict[str, Any] = {}
    if equals:
        conditions["StringEquals"] = equals
    if request.get("SourceArn"):
        conditions["ArnLike"] = {"AWS:SourceArn": request["SourceArn"]}
    if request.get("InvokedViaFunctionUrl") is not None:
        conditions["Bool"] = {"lambda:InvokedViaFunctionUrl": str(request["InvokedViaFunctionUrl"]).lower()}
    statement: dict[str, Any] = {
        "Sid": request["StatementId"],
        "Effect": "Allow",
        "Principal": principal,
        "Action": request["Action"],
        "Resource": resource,
    }
    if conditions:
        statement["Condition"] = conditions
    return statement


def _statements(record: Mapping[str, Any] | None) -> list[Any]:
    found = record["Document"]["Statement"] if record else []
    return found if isinstance(found, list) else [found]


def _text(record: Mapping[str, Any]) -> str:
    return msgspec.json.encode(record["Document"]).decode()


def _response(record: Record | None, missing: str) -> Response:
    if record is None:
        raise not_found(missing)
    return {"Policy": _text(record), "RevisionId": record["RevisionId"]}


def _parsed(text: str) -> dict[str, Any]:
    """A policy document as its owner wrote it. Raises Fault."""
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError:
        document = None
    if not isinstance(document, dict) or not document.get("Statement"):
        raise invalid("The policy is not a valid JSON policy document.")
    for each in _statements({"Document": document}):
        if not isinstance(each, dict) or each.get("Effect") not in ("Allow", "Deny"):
            raise invalid("The policy is not a valid JSON policy document.")
    return document
