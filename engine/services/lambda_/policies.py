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

Key = tuple[str, str, str]  # a policy's table, owner and id
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
        key = ("policy", name.name, name.qualifier or "")
        before = self.state.get(*key)
        # Without a policy, its first revision is that of the function, version or alias.
        check_revision(request, before or record, "GetPolicy")
        statement = _statement(request, self.place.function(name.name, name.qualifier))
        self._add(key, before, statement)
        return {"Statement": msgspec.json.encode(statement).decode()}

    def _add(self, key: Key, before: Record | None, statement: dict[str, Any]) -> Record:
        statements = _statements(before)
        sid = statement["Sid"]
        if any(each.get("Sid") == sid for each in statements):
            raise conflict(
                f"The statement id ({sid}) provided already exists. "
                "Please provide a new statement id, or remove the existing statement."
            )
        new = self._revised(before, [*statements, statement])
        if (size := len(_text(new))) > LIMIT:
            text = f"The final policy size ({size}) is bigger than the limit ({LIMIT})."
            raise Fault("PolicyLengthExceededException", text, Type="User")
        self.put(*key, new)
        return new

    def _revised(self, before: Record | None, statements: list[Any]) -> Record:
        document = {**(before["Document"] if before else _EMPTY), "Statement": statements}
        return {"Document": document, "RevisionId": self.control.new_id()}

    def remove_permission(self, request: Request) -> Response:
        name = name_of(self.control, request)
        arn = self.place.function(name.name, name.qualifier)
        latest(self.control, request, f"No policy found for: {arn}")
        existing(self.control, request)
        return self._remove(("policy", name.name, name.qualifier or ""), request, "GetPolicy")

    def _remove(self, key: Key, request: Request, operation: str) -> Response:
        before = self.state.get(*key)
        if before is None:
            raise not_found(_NO_POLICY)
        sid = request["StatementId"]
        statements = _statements(before)
        left = [each for each in statements if each.get("Sid") != sid]
        if len(left) == len(statements):
            raise not_found(f"Statement {sid} is not found in resource policy.")
        check_revision(request, before, operation)
        if left:
            self.put(*key, self._revised(before, left))
        else:
            self.discard(*key)
        return {}

    def get_policy(self, request: Request) -> Response:
        name = name_of(self.control, request)
        return _response(self.state.get("policy", name.name, name.qualifier or ""), _NOTHING)

    def _of_arn(self, request: Request) -> tuple[Key, Record | None]:
        name, _ = existing(self.control, {"FunctionName": request["ResourceArn"]})
        if name.qualifier == LATEST:
            raise invalid(_NOT_LATEST)
        key = ("policy", name.name, name.qualifier or "")
        return key, self.state.get(*key)

    def get_resource_policy(self, request: Request) -> Response:
        return _response(self._of_arn(request)[1], _NOTHING)

    def put_resource_policy(self, request: Request) -> Response:
        key, before = self._of_arn(request)
        check_revision(request, before, "GetResourcePolicy")
        new: Record = {"Document": _parsed(request["Policy"]), "RevisionId": self.control.new_id()}
        self.put(*key, new)
        return _response(new, _NOTHING)

    def delete_resource_policy(self, request: Request) -> Response:
        key, before = self._of_arn(request)
        if before is None:
            raise not_found(_NOTHING)
        check_revision(request, before, "GetResourcePolicy")
        self.discard(*key)
        return {}

    def _layer(self, request: Request) -> Key:
        name, number = request["LayerName"].rsplit(":", 1)[-1], layer_number(request["VersionNumber"])
        if self.state.get("layer", name, number) is None:
            raise not_found(f"Layer version {self.place.layer(name, number)} does not exist.")
        return "layer-policy", name, number

    def add_layer_version_permission(self, request: Request) -> Response:
        key = self._layer(request)
        before = self.state.get(*key)
        check_revision(request, before, "GetLayerPolicy")
        principal, organization = request["Principal"], request.get("OrganizationId")
        if organization and principal != "*":
            raise invalid("An organization ID can only be specified with the principal '*'.")
        if _ACCOUNT.fullmatch(principal):
            principal = _account(principal)
        conditions = {"StringEquals": {"aws:PrincipalOrgID": organization}} if organization else {}
        statement = _allow(request, principal, self.place.layer(*key[1:]), conditions)
        new = self._add(key, before, statement)
        return {"Statement": msgspec.json.encode(statement).decode(), "RevisionId": new["RevisionId"]}

    def remove_layer_version_permission(self, request: Request) -> Response:
        return self._remove(self._layer(request), request, "GetLayerPolicy")

    def get_layer_version_policy(self, request: Request) -> Response:
        return _response(self.state.get(*self._layer(request)), _NO_POLICY)


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
    return _allow(request, principal, resource, conditions)


def _allow(
    request: Mapping[str, Any], principal: str | dict[str, str], resource: str, conditions: Mapping[str, Any]
) -> dict[str, Any]:
    statement = {"Sid": request["StatementId"], "Effect": "Allow", "Principal": principal}
    statement |= {"Action": request["Action"], "Resource": resource}
    return {**statement, "Condition": conditions} if conditions else statement


def opens_url(record: Mapping[str, Any] | None) -> bool:
    """Does a function's policy let everybody call its URL of AuthType NONE?"""
    for statement in _statements(record):
        action, principal = statement.get("Action"), statement.get("Principal")
        actions = action if isinstance(action, list) else [action]
        kinds = (statement.get("Condition") or {}).get("StringEquals") or {}
        if (
            statement.get("Effect") == "Allow"
            and principal in ("*", {"AWS": "*"})
            and {"lambda:InvokeFunctionUrl", "lambda:*", "*"} & set(actions)
            and kinds.get("lambda:FunctionUrlAuthType", "NONE") == "NONE"
        ):
            return True
    return False


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
    if isinstance(document, dict) and document.get("Statement"):
        statements = _statements({"Document": document})
        if all(isinstance(each, dict) and each.get("Effect") in ("Allow", "Deny") for each in statements):
            return document
    raise invalid("The policy is not a valid JSON policy document.")
