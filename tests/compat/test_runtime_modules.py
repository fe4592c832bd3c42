"""What AWS's Python runtime has beside a function's own code: modules, and a context that can be copied."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Deploy = Callable[..., str]
SNAPSHOT = """
from snapshot_restore_py import register_after_restore, register_before_snapshot
seen = []
@register_before_snapshot
def before(): seen.append("before")
register_after_restore(seen.append, "after")
def handler(event, context):
    return seen
"""
CONTEXT = """
import copy, pickle
def handler(event, context):
    members = vars(context)
    for again in (copy.copy(context), copy.deepcopy(context), pickle.loads(pickle.dumps(context))):
        assert again.aws_request_id == context.aws_request_id
        assert again.function_name == context.function_name
        assert again.log_stream_name == context.log_stream_name
        assert abs(again.get_remaining_time_in_millis() - context.get_remaining_time_in_millis()) < 1000
    return sorted(members), members["aws_request_id"] == context.aws_request_id
"""
BOOTSTRAP = """
import sys
import bootstrap
calls = []
before = bootstrap.handle_event_request
def changed(client, request_handler, *more, **named):
    def wrapped(event, context):
        calls.append(["handler", event])
        return request_handler(event, context)
    return before(client, wrapped, *more, **named)
bootstrap.handle_event_request = changed
for name in ("post_invocation_result", "post_invocation_error"):
    def post(self, *arguments, _name=name, **named):
        calls.append(_name)
    setattr(bootstrap.LambdaRuntimeClient, name, post)
def handler(event, context):
    if event == "fail": raise ValueError("asked for")
    return list(calls)
"""


def invoke(api: Any, name: str, event: Any = None) -> Any:
    return json.loads(api.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read())


@pytest.mark.promise(184)
def test_snapshot_hooks_can_be_imported_and_run(api: Any, deploy: Deploy) -> None:
    assert invoke(api, deploy(SNAPSHOT)) == ["before", "after"]


@pytest.mark.promise(184)
def test_a_context_can_be_looked_at_and_copied(api: Any, deploy: Deploy) -> None:
    members, same = invoke(api, deploy(CONTEXT))
    assert same and members == sorted(
        ["_epoch_deadline_time_in_ms", "aws_request_id", "client_context", "function_name", "function_version",
         "identity", "invoked_function_arn", "log_group_name", "log_stream_name", "memory_limit_in_mb", "tenant_id"]
    )  # fmt: skip


@pytest.mark.promise(184)
def test_what_sdks_change_of_the_runtime_is_called(api: Any, deploy: Deploy) -> None:
    name = deploy(BOOTSTRAP)
    assert invoke(api, name, 1) == [["handler", 1]]
    failed = invoke(api, name, "fail")
    assert failed["errorType"] == "ValueError"
    assert "/var/task/app.py" in failed["stackTrace"][-1] or "app.py" in failed["stackTrace"][-1]
    assert invoke(api, name, 2) == [
        ["handler", 1], "post_invocation_result", ["handler", "fail"], "post_invocation_error", ["handler", 2],
    ]  # fmt: skip
