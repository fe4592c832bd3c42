"""Small settings of a function: recursive loops, and how its runtime is kept up to date."""

from __future__ import annotations

from typing import Any

from .control import Control, Operation
from .lookup import invalid, unqualified, version


class RuntimeConfig:
    """The operations on recursion and runtime management."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> dict[str, Operation]:
        return {
            "PutFunctionRecursionConfig": self.put_recursion,
            "GetFunctionRecursionConfig": self.get_recursion,
            "PutRuntimeManagementConfig": self.put_runtime,
            "GetRuntimeManagementConfig": self.get_runtime,
        }

    def put_recursion(self, request: dict[str, Any]) -> dict[str, Any]:
        name, _ = unqualified(self._control, request)
        record = {"RecursiveLoop": request["RecursiveLoop"]}
        with self._control.state.change() as change:
            change.put("recursion", name, "", record)
        return record

    def get_recursion(self, request: dict[str, Any]) -> dict[str, Any]:
        name, _ = unqualified(self._control, request)
        return self._control.state.get("recursion", name) or {"RecursiveLoop": "Terminate"}

    def put_runtime(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named, record = version(control, request)
        manual = request["UpdateRuntimeOn"] == "Manual"
        if manual and not request.get("RuntimeVersionArn"):
            raise invalid(
                "RuntimeVersionArn is required when UpdateRuntimeOn is Manual. Provide a RuntimeVersionArn."
            )
        if not manual and request.get("RuntimeVersionArn"):
            raise invalid(
                "RuntimeVersionArn is only supported when UpdateRuntimeOn is Manual. Remove RuntimeVersionArn."
            )
        said = {"UpdateRuntimeOn": request["UpdateRuntimeOn"]}
        if manual:
            said["RuntimeVersionArn"] = request["RuntimeVersionArn"]
        with control.state.change() as change:
            change.put("runtime-management", named.name, record["Version"], said)
        return {**said, "FunctionArn": control.place.function(named.name, named.qualifier)}

    def get_runtime(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        named, record = version(control, request)
        said = control.state.get("runtime-management", named.name, record["Version"])
        return {
            **(said or {"UpdateRuntimeOn": "Auto"}),
            "FunctionArn": control.place.function(named.name, named.qualifier),
        }
