"""A function of a template that is to wait for a debugger."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from typing import Any

from .status import UsageError

PORT = 5678
_VARIABLE = "STOKER_DEBUG"  # engine/worker/debugging.py looks at it


@dataclass(frozen=True)
class Debugged:
    """The function's logical id, and the debugger's port."""

    name: str
    port: int

    def change(self, template: dict[str, Any]) -> None:
        """Have the function wait. Raises UsageError."""
        resource = (template.get("Resources") or {}).get(self.name)
        if not isinstance(resource, dict) or not str(resource.get("Type")).endswith("::Function"):
            raise UsageError(f"--debug {self.name}: the template has no function of this logical id")
        environment = resource.setdefault("Properties", {}).setdefault("Environment", {})
        variables = environment.setdefault("Variables", {}) if isinstance(environment, dict) else None
        if not isinstance(variables, dict):
            raise UsageError(f"--debug {self.name}: its Environment is no object with Variables")
        variables[_VARIABLE] = str(self.port)

    def hint(self) -> str:
        attach = {
            "name": self.name, "type": "debugpy", "request": "attach",
            "connect": {"host": "127.0.0.1", "port": self.port},
            "pathMappings": [{"localRoot": "${workspaceFolder}/CODE_URI", "remoteRoot": "/var/task"}],
        }  # fmt: skip
        return f"{self.name} waits at its first event for a debugger on 127.0.0.1:{self.port}\n{json.dumps(attach)}"


def parse(text: str) -> Debugged:
    """NAME or NAME:PORT. Raises UsageError."""
    if importlib.util.find_spec("debugpy") is None:
        raise UsageError('--debug needs debugpy, for the server too: pip install "stoker[debug]"')
    name, colon, port = text.partition(":")
    if not name or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise UsageError(f"--debug {text}: write NAME or NAME:PORT")
    return Debugged(name, int(port) if colon else PORT)
