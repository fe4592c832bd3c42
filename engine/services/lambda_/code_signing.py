"""Code signing configurations: kept and answered. Nothing here is signed, so none is enforced."""

from __future__ import annotations

import secrets
import string
from typing import Any

from ...aws.faults import Fault
from ...durable.state import Record
from .control import Control, Operation
from .lookup import NOT_FOUND, conflict, page, signing_config, timestamp, unqualified


class CodeSigning:
    """The operations on code signing configurations."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateCodeSigningConfig": self.create,
            "GetCodeSigningConfig": self.get,
            "ListCodeSigningConfigs": self.list_all,
            "UpdateCodeSigningConfig": self.update,
            "DeleteCodeSigningConfig": self.delete,
            "PutFunctionCodeSigningConfig": self.attach,
            "GetFunctionCodeSigningConfig": self.attached,
            "DeleteFunctionCodeSigningConfig": self.detach,
            "ListFunctionsByCodeSigningConfig": self.functions,
        }

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        id = "csc-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(17))
        arn = control.place.arn(f"code-signing-config:{id}")
        record: Record = {
            "CodeSigningConfigId": id,
            "CodeSigningConfigArn": arn,
            "AllowedPublishers": request["AllowedPublishers"],
            "CodeSigningPolicies": request.get("CodeSigningPolicies")
            or {"UntrustedArtifactOnDeployment": "Warn"},
            "LastModified": timestamp(control.now()),
        }
        if request.get("Description") is not None:
            record["Description"] = request["Description"]
        with control.state.change() as change:
            change.put("code-signing-config", id, "", record)
            if request.get("Tags"):
                change.put("tags", arn, "", request["Tags"])
        return {"CodeSigningConfig": record}

    def _found(self, arn: str) -> tuple[str, Record]:
        id = arn.rsplit(":", 1)[-1]
        record = self._control.state.get("code-signing-config", id)
        if record is None:
            # AWS names no Type here.
            raise Fault(NOT_FOUND, f"The Lambda code signing configuration {arn} can not be found.")
        return id, record

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"CodeSigningConfig": self._found(request["CodeSigningConfigArn"])[1]}

    def list_all(self, request: dict[str, Any]) -> dict[str, Any]:
        state = self._control.state
        records = [state.get("code-signing-config", id) for id in state.owners("code-signing-config")]
        some, more = page(records, request)
        return {"CodeSigningConfigs": some, **more}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        id, record = self._found(request["CodeSigningConfigArn"])
        said = {
            member: request[member]
            for member in ("Description", "AllowedPublishers", "CodeSigningPolicies")
            if request.get(member) is not None
        }
        new = {**record, **said, "LastModified": timestamp(self._control.now())}
        with self._control.state.change() as change:
            change.put("code-signing-config", id, "", new)
        return {"CodeSigningConfig": new}

    def _users(self, arn: str) -> list[str]:
        state = self._control.state
        return [
            name
            for name in state.owners("code-signing")
            if (state.get("code-signing", name) or {}).get("CodeSigningConfigArn") == arn
        ]

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = request["CodeSigningConfigArn"]
        id, _ = self._found(arn)
        if self._users(arn):
            raise conflict(f"The code signing configuration {arn} is attached to a function.")
        with self._control.state.change() as change:
            change.delete("code-signing-config", id, "")
            if self._control.state.get("tags", arn) is not None:
                change.delete("tags", arn, "")
        return {}

    def attach(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = request["CodeSigningConfigArn"]
        signing_config(self._control, arn)
        name, _ = unqualified(self._control, request)
        with self._control.state.change() as change:
            change.put("code-signing", name, "", {"CodeSigningConfigArn": arn})
        return {"CodeSigningConfigArn": arn, "FunctionName": name}

    def attached(self, request: dict[str, Any]) -> dict[str, Any]:
        name, _ = unqualified(self._control, request)
        record = self._control.state.get("code-signing", name)
        return {**record, "FunctionName": name} if record else {}

    def detach(self, request: dict[str, Any]) -> dict[str, Any]:
        name, _ = unqualified(self._control, request)
        if self._control.state.get("code-signing", name) is not None:
            with self._control.state.change() as change:
                change.delete("code-signing", name, "")
        return {}

    def functions(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = request["CodeSigningConfigArn"]
        self._found(arn)
        some, more = page([self._control.place.function(name) for name in self._users(arn)], request)
        return {"FunctionArns": some, **more}
