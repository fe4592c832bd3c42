"""The sample functions, called directly."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

HANDLERS = Path(__file__).resolve().parents[1] / "handlers"
SAMPLES = ["access-log", "echo", "http-api", "ledger", "numbers", "orders", "thumbnail"]


@dataclass(frozen=True)
class Context:
    """As much of Lambda's context object as a sample could ask for."""

    function_name: str
    aws_request_id: str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "128"
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:sample"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def load(name: str) -> ModuleType:
    # All are named app, so they are loaded by path, under names that cannot clash.
    spec = importlib.util.spec_from_file_location(
        f"sample_{name.replace('-', '_')}", HANDLERS / name / "app.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event(name: str, file: str) -> Any:
    return json.loads((HANDLERS / name / "events" / f"{file}.json").read_text(encoding="utf-8"))


def invoke(name: str, payload: Any) -> Any:
    """Call a fresh copy of the sample, its response taken through JSON as an invocation would."""
    payload = event(name, payload) if isinstance(payload, str) else payload
    return json.loads(json.dumps(load(name).handler(payload, Context(name))))
