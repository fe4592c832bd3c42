"""Resource policies: who may invoke a function, or use a layer. Kept and answered as AWS writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ...aws.faults import Fault
from ...aws.names import LATEST
from ...durable.state import Record
from .control import Control, Operation
from .lookup import conflict, invalid, not_found, stale
from .resource import existing

LIMIT = 20_480  # bytes of a policy
_EMPTY = {"Version": "2012-10-17", "Id": "default"}
_NOTHING = "The resource you requested does not exist."
_NO_POLICY = "No policy is associated with the given resource."
_NOT_LATEST = "We currently do not support adding policies for $LATEST."
_ACCOUNT = re.compile(r"\d{12}")
_SERVICE = re.compile(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com)")
_ARN = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")


class Policies:
    """The operations on policies."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {
            "AddPermission": self.add,
            "RemovePermission": self.remove,
            "GetPolicy": self.get,
            "GetResourcePolicy": self.get_resource,
            "PutResourcePolicy": self.put_resource,
            "DeleteResourcePolicy": self.delete_resource,
            "AddLayerVersionPermission": self.add_layer,
            "RemoveLayerVersionPermission": self.remove_layer,
            "GetLayerVersionPolicy": self.get_layer,
        }

    def add(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named, record = existing(control, request)
        if named.qualifier == LATEST:
            raise invalid(_NOT_LATEST)
        before = control.state.get("policy", named.name, named.qualifier or "")
        # Without a policy, its first revision is that of what it is to belong to.
        _unchanged(request, before or record, "GetPolicy")
        resource = control.place.function(named.name, named.qualifier)
        statement = _statement(request, resource)
        self._put("policy", named.name, named.qualifier or "", before, statement)
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
        with self._control.state.change() as change:
            change.put(table, owner, id, new)
        return new

    def _revised(self, before: Record | None, statements: list[Any]) -> Record:
        document = {**(before["Document"] if before else _EMPTY), "Statement": statements}
        return {"Document": document, "RevisionId": self._control.new_id()}

    def remove(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named = control.place.parse(request["FunctionName"], request.get("Qualifier"))
        if control.state.get("function", named.name, LATEST) is None:
            raise not_found(f"No policy found for: {control.place.function(named.name, named.qualifier)}")
        existing(control, request)
        before = control.state.get("policy", named.name, named.qualifier or "")
        self._remove("policy", named.name, named.qualifier or "", before, request, "GetPolicy")
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
        _unchanged(request, before, operation)
        with self._control.state.change() as change:
            if left:
                change.put(table, owner, id, self._revised(before, left))
            else:
                change.delete(table, owner, id)

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named = control.place.parse(request["FunctionName"], request.get("Qualifier"))
        return _answer(control.state.get("policy", named.name, named.qualifier or ""), _NOTHING)

    def _of_arn(self, request: dict[str, Any]) -> tuple[str, str, Record | None]:
        named, _ = existing(self._control, {"FunctionName": request["ResourceArn"]})
        if named.qualifier == LATEST:
            raise invalid(_NOT_LATEST)
        qualifier = named.qualifier or ""
        return named.name, qualifier, self._control.state.get("policy", named.name, qualifier)

    def get_resource(self, request: dict[str, Any]) -> dict[str, Any]:
        return _answer(self._of_arn(request)[2], _NOTHING)

    def put_resource(self, request: dict[str, Any]) -> dict[str, Any]:
        name, qualifier, before = self._of_arn(request)
        _unchanged(request, before, "GetResourcePolicy")
        new: Record = {"Document": _parsed(request["Policy"]), "RevisionId": self._control.new_id()}
        with self._control.state.change() as change:
            change.put("policy", name, qualifier, new)
        return _answer(new, _NOTHING)

    def delete_resource(self, request: dict[str, Any]) -> dict[str, Any]:
        name, qualifier, before = self._of_arn(request)
        if before is None:
            raise not_found(_NOTHING)
        _unchanged(request, before, "GetResourcePolicy")
        with self._control.state.change() as change:
            change.delete("policy", name, qualifier)
        return {}

    def _layer(self, request: dict[str, Any]) -> tuple[str, str, Record | None]:
        name, number = request["LayerName"].rsplit(":", 1)[-1], str(request["VersionNumber"])
        if request["VersionNumber"] < 1:
            raise invalid("Layer Version Cannot be less than 1")
        if self._control.state.get("layer", name, number) is None:
            raise not_found(f"Layer version {self._control.place.layer(name, number)} does not exist.")
        return name, number, self._control.state.get("layer-policy", name, number)

    def add_layer(self, request: dict[str, Any]) -> dict[str, Any]:
        name, number, before = self._layer(request)
        _unchanged(request, before, "GetLayerPolicy")
        principal = request["Principal"]
        who: Any = principal
        if _ACCOUNT.fullmatch(principal):
            who = {"AWS": f"arn:aws:iam::{principal}:root"}
        statement: dict[str, Any] = {
            "Sid": request["StatementId"],
            "Effect": "Allow",
            "Principal": who,
            "Action": request["Action"],
            "Resource": self._control.place.layer(name, number),
        }
        if request.get("OrganizationId"):
            statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": request["OrganizationId"]}}
        new = self._put("layer-policy", name, number, before, statement)
        return {"Statement": msgspec.json.encode(statement).decode(), "RevisionId": new["RevisionId"]}

    def remove_layer(self, request: dict[str, Any]) -> dict[str, Any]:
        name, number, before = self._layer(request)
        self._remove("layer-policy", name, number, before, request, "GetLayerPolicy")
        return {}

    def get_layer(self, request: dict[str, Any]) -> dict[str, Any]:
        return _answer(self._layer(request)[2], _NO_POLICY)


def _statement(request: Mapping[str, Any], resource: str) -> dict[str, Any]:
    principal = request["Principal"]
    who: Any
    if principal == "*":
        who = "*"
    elif _ACCOUNT.fullmatch(principal):
        who = {"AWS": f"arn:aws:iam::{principal}:root"}
    elif _ARN.fullmatch(principal):
        who = {"AWS": principal}
    elif _SERVICE.fullmatch(principal):
        who = {"Service": principal}
    else:
        raise invalid("The provided principal was invalid. Please check the principal and try again.")
    equals: dict[str, str] = {}
    for member, condition in (
        ("SourceAccount", "AWS:SourceAccount"),
        ("PrincipalOrgID", "aws:PrincipalOrgID"),
        ("EventSourceToken", "lambda:EventSourceToken"),
        ("FunctionUrlAuthType", "lambda:FunctionUrlAuthType"),
    ):
        if request.get(member):
            equals[condition] = request[member]
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
        "Principal": who,
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


def _answer(record: Record | None, missing: str) -> dict[str, Any]:
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


def _unchanged(request: Mapping[str, Any], before: Record | None, operation: str) -> None:
    wanted = request.get("RevisionId")
    if wanted and (before is None or wanted != before["RevisionId"]):
        raise stale(operation)
