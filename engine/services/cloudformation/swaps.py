"""The code of a stack's functions replaced, for `stoker dev`: an update of the stack in which nothing else changes.

POST /_stoker/swaps?stack=NAME&function=LOGICAL_ID&… takes an archive, which is these functions' code from then on, and
returns its digest. The template is not transformed anew, since what a transform makes of code is known: where that is
more than the function's own code (a version for each, a layer), the swap is refused: the template is to be deployed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from ...aws.faults import Fault
from ...aws.messages import Request, Response
from ...aws.protocols.base import STATUS
from ...aws.service import Caller, Service
from ...deploy.artifacts import BUCKET, SWAPS
from ...deploy.journal import Record
from ...deploy.template import Template
from .artifacts import Artifacts
from .catalog import Catalog
from .preparing import Prepared
from .stacks import Stacks

OUTDATED = 60.0  # seconds that an archive stays after the last stack named it
_FUNCTION, _VERSION = "AWS::Lambda::Function", "AWS::Lambda::Version"
# How a template names code: the property, and its members.
_CODE = {_FUNCTION: ("Code", "S3Bucket", "S3Key"), "AWS::Serverless::Function": ("CodeUri", "Bucket", "Key")}
_KEPT = (
    "Capabilities", "Description", "NotificationARNs", "Parameters", "RoleARN", "Tags", "_resolved", "_values",
)  # fmt: skip


class Swaps(Service):
    """Belongs to one event loop. named: the digests that stacks name."""

    name = "swaps"
    paths = re.compile(rf"POST {SWAPS}\Z")
    signed_for = "cloudformation"

    def __init__(
        self, catalog: Catalog, stacks: Stacks, artifacts: Artifacts, named: Callable[[], set[str]]
    ) -> None:
        self._catalog = catalog
        self._stacks = stacks
        self._artifacts = artifacts
        self._named = named
        self._outdated: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def call(self, request: Request, caller: Caller) -> Response:
        asked = parse_qs(request.query)
        name, functions = asked.get("stack", [""])[0], asked.get("function", [])
        record = self._catalog.stack(caller.place, name, "Stack [{}] does not exist")
        self._stacks.check_updatable(record)
        digest = hashlib.sha256(request.body).hexdigest()
        prepared, before = swapped(record, functions, digest)
        if before != {digest}:
            await self._artifacts.keep({digest: request.body})
            await self._stacks.held(self._stacks.update(caller.place, record, prepared))
            self._forget(before - {digest})
            after = self._catalog.stack(caller.place, record["StackId"])
            if not after["StackStatus"].startswith("UPDATE_COMPLETE"):
                raise Fault("ValidationError", self._reason(caller, after))
        return Response(200, [(b"content-type", b"text/plain")], digest.encode())

    def error(self, request: Request, fault: Fault) -> Response:
        status = 409 if fault.code == "NotSwappable" else STATUS.get(fault.code, 400)
        return Response(status, [(b"content-type", b"text/plain")], (fault.message or fault.code).encode())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _reason(self, caller: Caller, record: Record) -> str:
        for each in self._catalog.events(caller.place, record):
            if each["ResourceStatus"].endswith("_FAILED"):
                return f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}"
        return f"{record['StackName']} is {record['StackStatus']}"

    def _forget(self, digests: Iterable[str]) -> None:
        """Let archives go that no stack names any more, in a while: a deployment may be about to name them."""
        self._outdated.update(digests)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(OUTDATED, self._collect)

    def _collect(self) -> None:
        self._timer = None
        outdated, self._outdated = self._outdated, set()
        self._artifacts.collect(self._named(), OUTDATED, outdated)


def swapped(record: Record, functions: Collection[str], digest: str) -> tuple[Prepared, set[str]]:
    """A stack's template with other code, and the digests that it has now. Raises Fault: NotSwappable."""
    try:
        body, processed = json.loads(record["_body"]), json.loads(json.dumps(record["_processed"]))
    except (KeyError, ValueError):
        raise _refused("its template was not deployed by `stoker`") from None
    before: set[str] = set()
    for name in functions:
        for document in (processed, body):
            code, key = _code_of(document, name)
            before.add(code[key])
            code[key] = digest
    for name, each in processed["Resources"].items():
        if each["Type"] == _VERSION and set(_referred(each.get("Properties"))).intersection(functions):
            raise _refused(f"{name} is a version of what changes")
    fresh = {name: record[name] for name in _KEPT if name in record}
    fresh |= {"_body": json.dumps(body), "_processed": processed}
    return Prepared(Template(processed), record["_resolved"], fresh), before


def _code_of(document: Mapping[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """Where a function's archive is named. Raises Fault."""
    try:
        resource = document["Resources"][name]
        member, bucket, key = _CODE[resource["Type"]]
        code = resource["Properties"][member]
        if code[bucket] == BUCKET and isinstance(code[key], str):
            return code, key
    except (KeyError, TypeError):
        pass
    raise _refused(f"{name} has no code of its own")


def _referred(value: Any) -> list[str]:
    """The logical ids that a property refers to."""
    if isinstance(value, list):
        return [name for each in value for name in _referred(each)]
    if not isinstance(value, dict):
        return []
    found = [str(value["Ref"])] if isinstance(value.get("Ref"), str) else []
    at = value.get("Fn::GetAtt")
    found += [str(at[0] if isinstance(at, list) else str(at).partition(".")[0])] if at else []
    return found + [name for each in value.values() for name in _referred(each)]


def _refused(why: str) -> Fault:
    return Fault("NotSwappable", f"the template is to be deployed: {why}")
