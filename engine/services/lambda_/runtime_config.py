"""Small settings of a function: recursive loops, and how its runtime is kept up to date."""

from __future__ import annotations

from .control import Operations, Request, Response
from .lookup import unqualified, version
from .responses import invalid


class RuntimeConfig(Operations):
    """The operations on recursion and runtime management."""

    def put_function_recursion_config(self, request: Request) -> Response:
        name, _ = unqualified(self.control, request)
        record = {"RecursiveLoop": request["RecursiveLoop"]}
        self.put("recursion", name, "", record)
        return record

    def get_function_recursion_config(self, request: Request) -> Response:
        name, _ = unqualified(self.control, request)
        return self.state.get("recursion", name) or {"RecursiveLoop": "Terminate"}

    def put_runtime_management_config(self, request: Request) -> Response:
        name, record = version(self.control, request)
        manual = request["UpdateRuntimeOn"] == "Manual"
        if manual and not request.get("RuntimeVersionArn"):
            raise invalid(
                "RuntimeVersionArn is required when UpdateRuntimeOn is Manual. Provide a RuntimeVersionArn."
            )
        if not manual and request.get("RuntimeVersionArn"):
            raise invalid(
                "RuntimeVersionArn is only supported when UpdateRuntimeOn is Manual. Remove RuntimeVersionArn."
            )
        settings = {m: request[m] for m in ("UpdateRuntimeOn", "RuntimeVersionArn") if request.get(m)}
        self.put("runtime-management", name.name, record["Version"], settings)
        return {**settings, "FunctionArn": self.place.function(name.name, name.qualifier)}

    def get_runtime_management_config(self, request: Request) -> Response:
        name, record = version(self.control, request)
        settings = self.state.get("runtime-management", name.name, record["Version"])
        arn = self.place.function(name.name, name.qualifier)
        return {**(settings or {"UpdateRuntimeOn": "Auto"}), "FunctionArn": arn}
