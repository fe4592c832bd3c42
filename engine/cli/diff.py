"""`stoker diff`: what a template would change in a stack, without changing it."""

from __future__ import annotations

import argparse
from typing import Any

from . import guided, stacks
from .client import SERVER, Link, ServerError, server_errors
from .status import OK, option

PARSER = {"help": "show what deploying a template would change"}
OPTIONS = (
    option("source TEMPLATE", "the template (.yaml, .yml, .json)"),
    *stacks.OPTIONS,
    SERVER,
)
_SIGNS = {"Add": "+", "Modify": "~", "Remove": "-"}
_REPLACED = {"True": "replaced", "Conditional": "perhaps replaced"}


@server_errors()
def run(options: argparse.Namespace) -> int:
    guided.recall(options)
    api, name = stacks.connect(options), stacks.stack_name(options)
    brought = stacks.bring(options, Link(options))
    before = stacks.stack(api, name)
    planned = stacks.change_set(api, options, name, before, brought.url, brought.declared)
    api.delete_change_set(ChangeSetName=planned["ChangeSetId"])
    if before is None:  # nothing is left of the question
        api.delete_stack(StackName=name)
    if planned["Status"] == "FAILED" and stacks.NO_CHANGES not in planned.get("StatusReason", ""):
        raise ServerError(f"{name}: {planned.get('StatusReason')}")
    for each in planned.get("Changes", []):
        print(_line(each["ResourceChange"]))
    if not planned.get("Changes"):
        print(f"{name}: no resource changes")
    return OK


def _line(change: dict[str, Any]) -> str:
    line = f"{_SIGNS[change['Action']]} {change['ResourceType']:<36} {change['LogicalResourceId']}"
    names = [each["Target"]["Name"] for each in change.get("Details", [])]
    remarks = [", ".join(names)] if names else []
    remarks += [_REPLACED[change["Replacement"]]] if change.get("Replacement") in _REPLACED else []
    remarks += ["kept"] if change.get("PolicyAction") == "Retain" else []
    return f"{line}  ({'; '.join(remarks)})" if remarks else line
