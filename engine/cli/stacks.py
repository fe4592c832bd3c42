"""Stacks as commands see them: a template brought to the server, a change set of it, what comes of its execution."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client import Link, ServerError, client
from .status import UsageError, option
from .terminal import Bar
from .texts import pair

if TYPE_CHECKING:
    from ..deploy.packaging import Cache, Packaged

SUFFIXES = (".yaml", ".yml", ".json", ".template")
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
OPTIONS = (
    option("--stack NAME", "the stack's name (default: that of the template's directory)"),
    option(
        "--parameter NAME=VALUE", "of the template. Given as often as needed", action="append", default=[]
    ),
    option("--use-system", "install no requirements: functions find what the server's interpreter has"),
)
NO_CHANGES = "didn't contain changes"
_PAUSE = 0.1  # seconds between two looks at a stack's events
_FAILED = re.compile(r"FAILED|ROLLBACK")
_OVER = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
Change = Callable[[dict[str, Any]], object]


def stack_name(options: argparse.Namespace) -> str:
    """--stack, or else the name of the directory that the template lies in."""
    if options.stack:
        return str(options.stack)
    name = re.sub(r"[^a-zA-Z0-9-]", "-", Path(options.source).resolve().parent.name).strip("-")
    if not re.match(r"[a-zA-Z]", name):
        raise UsageError(f"what is the stack of {options.source} to be called? Say --stack")
    return name[:128]


@dataclass
class Brought:
    """A template brought to the server. url: its place there; declared: as it is written."""

    url: str
    declared: dict[str, Any]
    packed: Packaged


def declared(options: argparse.Namespace) -> dict[str, Any]:
    """A template as it is written. Raises UsageError."""
    from ..aws.faults import Fault
    from ..deploy.documents import load

    source = Path(options.source)
    try:
        return load(source.read_text())
    except Fault as fault:
        raise UsageError(f"{source}: {fault.message}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {source}: {error}") from None


def bring(
    options: argparse.Namespace, link: Link, cache: Cache | None = None, change: Change | None = None
) -> Brought:
    """A template without local paths, brought to the server. cache: code that is there. change: made to the template
    first. Raises UsageError, EngineError."""
    from ..aws.faults import Fault
    from ..deploy.artifacts import PATH
    from ..deploy.extensions import expanded, loops
    from ..deploy.packaging import packaged

    source = Path(options.source)
    files: dict[str, bytes] = {}

    def upload(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        files[digest] = data
        return digest

    document = declared(options)
    try:
        if loops(document):  # a path may stand in one
            document = expanded(document, _values(options, document), {})
        if change is not None:
            change(document)
        made = packaged(
            document, source.resolve().parent, upload, print, cache, install=not options.use_system
        )
    except Fault as fault:
        raise UsageError(f"{source}: {fault.message}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {source}: {error}") from None
    url = f"http://stoker{PATH}{upload(json.dumps(made.template).encode())}"
    link.keep(PATH, files)
    return Brought(url, document, made)


def _values(options: argparse.Namespace, document: dict[str, Any]) -> dict[str, str]:
    """Those that a template's parameters will have. Raises Fault."""
    from ..deploy.parameters import values

    found = stack(connect(options), stack_name(options)) or {}
    before = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
    given = dict(pair("--parameter", text) for text in options.parameter)
    declared = document.get("Parameters") or {}
    kept: dict[str, str | None] = {name: None for name in before if name in declared}
    return values(declared, {**kept, **given}, before)


def deploy(api: Any, options: argparse.Namespace, name: str, brought: Brought) -> dict[str, Any] | None:
    """Make a stack of it, or update the one there is. The stack afterwards, None if nothing changes; "before" is in it:
    was there one? Raises ServerError."""
    before = stack(api, name)
    if before is not None and before["StackStatus"] in _OVER:
        run(api, before["StackId"], api.delete_stack, StackName=name)  # it can only be deleted
        before = None
    if before is not None and before["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
        run(api, before["StackId"], api.continue_update_rollback, StackName=name)
    planned = change_set(api, options, name, before, brought.url, brought.declared)
    if planned["Status"] == "FAILED":
        api.delete_change_set(ChangeSetName=planned["ChangeSetId"])
        if NO_CHANGES not in planned.get("StatusReason", ""):
            raise ServerError(f"{name}: {planned.get('StatusReason')}")
        return None
    given = {"ChangeSetName": planned["ChangeSetId"]}
    after = run(api, planned["StackId"], api.execute_change_set, len(planned.get("Changes") or ()), **given)
    return {**after, "before": before is not None}


def change_set(
    api: Any, options: argparse.Namespace, name: str, before: dict[str, Any] | None, url: str, declared: Any
) -> dict[str, Any]:
    """A change set, described. before: the stack as it is."""
    given = dict(pair("--parameter", text) for text in options.parameter)
    new = before is None or before["StackStatus"] == "REVIEW_IN_PROGRESS"
    kept = [] if new or before is None else [each["ParameterKey"] for each in before.get("Parameters", [])]
    values: list[dict[str, Any]] = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in given.items()
    ]
    values += [
        {"ParameterKey": key, "UsePreviousValue": True}
        for key in kept
        if key not in given and key in (declared.get("Parameters") or {})
    ]
    made = api.create_change_set(
        StackName=name, ChangeSetName=f"stoker-{uuid.uuid4().hex[:16]}", TemplateURL=url, Parameters=values,
        Capabilities=CAPABILITIES, ChangeSetType="CREATE" if new else "UPDATE",
    )  # fmt: skip
    described = api.describe_change_set(ChangeSetName=made["Id"])
    found: dict[str, Any] = dict(described)
    while token := described.get("NextToken"):
        described = api.describe_change_set(ChangeSetName=made["Id"], NextToken=token)
        found["Changes"] = found["Changes"] + described["Changes"]
    return found


def stack(api: Any, name: str) -> dict[str, Any] | None:
    """None: there is none of that name."""
    from botocore.exceptions import ClientError

    try:
        found: dict[str, Any] = api.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise
    return found


def run(api: Any, id: str, operation: Any, steps: int = 0, **members: Any) -> dict[str, Any]:
    """Have an operation done on a stack, and say what becomes of its resources. steps: how many there will be, for a
    bar on a terminal. The stack afterwards. Raises ServerError: it failed, and why."""
    begun = {each["EventId"] for each in _events(api, id)}
    failed: list[Exception] = []

    def ask() -> None:
        try:
            operation(**members)
        except Exception as error:
            failed.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    why = ""
    bar = Bar("resources", steps)
    while True:
        asking.join(_PAUSE)
        if failed:
            raise failed[0]
        found = stack(api, id)
        fresh = list(_events(api, id, begun))
        begun |= {each["EventId"] for each in fresh}
        for each in reversed(fresh):
            why = why or _say(each, bar)
        if found is None or (not asking.is_alive() and not found["StackStatus"].endswith("_IN_PROGRESS")):
            break
        time.sleep(_PAUSE)
    bar.clear()
    if (
        found is not None
        and _FAILED.search(found["StackStatus"])
        and operation != api.continue_update_rollback
    ):
        raise ServerError(
            f"{found['StackName']}: {found['StackStatus']}: {why or found.get('StackStatusReason', '')}"
        )
    return found or {}


def _events(api: Any, id: str, known: Container[str] = ()) -> Iterator[dict[str, Any]]:
    """Newest first, back to the first that is known, or to the beginning of the operation that was begun last."""
    members: dict[str, Any] = {"StackName": id}
    while True:
        found = api.describe_stack_events(**members)
        for each in found["StackEvents"]:
            if each["EventId"] in known:
                return
            yield each
            if (
                each["LogicalResourceId"] == each["StackName"]
                and each.get("ResourceStatusReason") == "User Initiated"
            ):
                return
        if "NextToken" not in found:
            return
        members["NextToken"] = found["NextToken"]


def _say(each: dict[str, Any], bar: Bar) -> str:
    """A line for what is over. Why it failed, "" if it did not."""
    status, reason = each["ResourceStatus"], each.get("ResourceStatusReason", "")
    if not status.endswith("_IN_PROGRESS") and each["ResourceType"] != "AWS::CloudFormation::Stack":
        bar.clear()
        line = f"{status:<16} {each['ResourceType']:<36} {each['LogicalResourceId']}"
        print(f"{line}  {reason}" if reason else line, flush=True)
        bar.step()
        if status.endswith("_FAILED"):
            return f"{each['LogicalResourceId']}: {reason}"
    return ""


def connect(options: argparse.Namespace) -> Any:
    return client(options, "cloudformation")
