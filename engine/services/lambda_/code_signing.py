"""Code signing configurations: kept and returned. Nothing here is signed, so none is enforced."""

from __future__ import annotations

import secrets
import string

from ...aws.faults import Fault
from ...durable.state import Record
from .control import Operations, Request, Response
from .lookup import signing_config, unqualified
from .records import discard
from .responses import NOT_FOUND, changed, conflict, paged, timestamp


class CodeSigning(Operations):
    """The operations on code signing configurations."""

    def create_code_signing_config(self, request: Request) -> Response:
        id = "csc-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(17))
        arn = self.place.arn(f"code-signing-config:{id}")
        record = changed({}, request, ("AllowedPublishers", "Description")) | {
            "CodeSigningConfigId": id,
            "CodeSigningConfigArn": arn,
            "CodeSigningPolicies": request.get("CodeSigningPolicies")
            or {"UntrustedArtifactOnDeployment": "Warn"},
            "LastModified": timestamp(self.control.now()),
        }
        with self.state.change() as change:
            change.put("code-signing-config", id, "", record)
            if request.get("Tags"):
                change.put("tags", arn, "", request["Tags"])
        return {"CodeSigningConfig": record}

    def _found(self, arn: str) -> tuple[str, Record]:
        id = arn.rsplit(":", 1)[-1]
        record = self.state.get("code-signing-config", id)
        if record is None:
            # AWS names no Type here.
            raise Fault(NOT_FOUND, f"The Lambda code signing configuration {arn} can not be found.")
        return id, record

    def get_code_signing_config(self, request: Request) -> Response:
        return {"CodeSigningConfig": self._found(request["CodeSigningConfigArn"])[1]}

    def list_code_signing_configs(self, request: Request) -> Response:
        return paged("CodeSigningConfigs", [*self.by_owner("code-signing-config").values()], request)

    def update_code_signing_config(self, request: Request) -> Response:
        id, record = self._found(request["CodeSigningConfigArn"])
        new = changed(record, request, ("Description", "AllowedPublishers", "CodeSigningPolicies"))
        new["LastModified"] = timestamp(self.control.now())
        self.put("code-signing-config", id, "", new)
        return {"CodeSigningConfig": new}

    def _users(self, arn: str) -> list[str]:
        users = self.by_owner("code-signing")
        return [name for name, record in users.items() if record["CodeSigningConfigArn"] == arn]

    def delete_code_signing_config(self, request: Request) -> Response:
        arn = request["CodeSigningConfigArn"]
        id, _ = self._found(arn)
        if self._users(arn):
            raise conflict(f"The code signing configuration {arn} is attached to a function.")
        with self.state.change() as change:
            change.delete("code-signing-config", id, "")
            discard(self.state, change, "tags", arn)
        return {}

    def put_function_code_signing_config(self, request: Request) -> Response:
        arn = request["CodeSigningConfigArn"]
        signing_config(self.control, arn)
        name, _ = unqualified(self.control, request)
        self.put("code-signing", name, "", {"CodeSigningConfigArn": arn})
        return {"CodeSigningConfigArn": arn, "FunctionName": name}

    def get_function_code_signing_config(self, request: Request) -> Response:
        name, _ = unqualified(self.control, request)
        record = self.state.get("code-signing", name)
        return {**record, "FunctionName": name} if record else {}

    def delete_function_code_signing_config(self, request: Request) -> Response:
        name, _ = unqualified(self.control, request)
        self.discard("code-signing", name)
        return {}

    def list_functions_by_code_signing_config(self, request: Request) -> Response:
        arn = request["CodeSigningConfigArn"]
        self._found(arn)
        return paged("FunctionArns", [self.place.function(name) for name in self._users(arn)], request)
