"""One resource of a stack: made, changed, replaced, deleted or brought back, each step durable before it is taken.

A resource that is being made has its physical id in its record before the service hears of it, where its name decides
that id. So whoever ends a deployment that a crash interrupted knows what to delete, and nothing else: whether somebody
else's resource has that name is asked before.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import string
import time
from collections.abc import Mapping
from typing import Any

from ..aws.clients import CallFailed
from ..aws.faults import Fault
from .dynamic import looked_up
from .intrinsics import Scope, resolve
from .journal import Journal, Record, attribute_of, event
from .kinds import KINDS
from .kinds.base import GONE, Aws, Kind, Made, NotMade, Wanted
from .shaping import Unsupported

AT_ONCE = 16  # resources that are being changed
_TAKEN = re.compile(r"Conflict|AlreadyExists|InUse|BucketAlreadyOwned|NameExists")
_LETTERS = string.ascii_letters + string.digits
_REPLACING = "Requested update requires the creation of a new physical resource; hence creating one."
_POLICIES = ("_needs", "_deletion", "_replacing")  # which no service hears of
_FAULTS = (CallFailed, NotMade, Unsupported, Fault, KeyError, TypeError, ValueError)


class Failed(Exception):
    """A resource could not be made, changed or deleted, and its record and events say so."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def now() -> float:
    return round(time.time(), 3)


class Resources:
    """Those of one stack."""

    def __init__(self, aws: Aws, journal: Journal) -> None:
        self._aws = aws
        self._journal = journal
        self._turns = asyncio.Semaphore(AT_ONCE)

    def lookup(self, name: str, attribute: str | None) -> Any:
        """For a Scope: of those that there are. Raises KeyError."""
        return attribute_of(self._journal.resources[name], attribute)

    async def apply(self, name: str, resource: Mapping[str, Any], scope: Scope, needs: set[str]) -> None:
        """Make it what its template says. Raises Failed."""
        async with self._turns:
            kind, old = KINDS[resource["Type"]], self._journal.resources.get(name)
            try:
                properties = resolve(resource.get("Properties") or {}, scope)
            except Fault as fault:
                verb = "CREATE" if old is None else "UPDATE"
                record = (
                    {**old, "_before": old} if old else self._record(name, kind, {}, resource, needs, None)
                )
                raise await self._failed(name, record, f"{verb}_FAILED", fault.message or "") from None
            record = self._record(name, kind, properties, resource, needs, old)
            if old is None:
                await self._create(name, kind, record)
            elif old["ResourceType"] != kind.type or (
                old["_properties"] != properties and kind.replaced_by(old["_properties"], properties)
            ):
                await self._replace(name, kind, record, old)
            elif old["_properties"] != properties:
                await self._update(name, kind, record, old)
            elif (fresh := {**old, **{each: record[each] for each in _POLICIES}}) != old:
                await self._journal.write(resources={name: fresh})

    async def restore(self, name: str) -> None:
        """Change it back to what the deployment under way found. Raises Failed."""
        async with self._turns:
            record = self._journal.resources[name]
            before = record["_before"]
            kind = KINDS[before["ResourceType"]]
            await self._say(record, "UPDATE_IN_PROGRESS")
            made = self._made(before)
            try:
                if before["_properties"] != record["_properties"]:
                    made = await kind.update(
                        self._aws, await self._wanted(name, kind, before), self._made(record)
                    )
            except _FAULTS as error:
                raise await self._failed(name, record, "UPDATE_FAILED", reason_of(error)) from None
            fresh = {
                **before,
                "_attributes": made.attributes,
                "ResourceStatus": "UPDATE_COMPLETE",
                "Timestamp": now(),
            }
            happened = [self._event(fresh, "UPDATE_COMPLETE")]
            await self._journal.write(resources={name: fresh}, events=happened)

    async def remove(self, name: str, *, replaced: bool = False, policy: str | None = None) -> None:
        """Delete it, or the one that it replaced. policy: instead of its own. Raises Failed."""
        async with self._turns:
            record = self._journal.resources[name]
            target, after = (record["_before"], settled(record)) if replaced else (record, None)
            own = target.get("_replacing" if replaced else "_deletion")
            if str(policy or own or "Delete") in ("Retain", "RetainExceptOnCreate"):
                happened = [self._event(target, "DELETE_SKIPPED")]
                await self._journal.write(resources={name: after}, events=happened)
                return
            await self._deleted(name, target, after)

    async def undo(self, name: str) -> None:
        """Delete what the deployment under way made; what it replaced stands again. Raises Failed."""
        record = self._journal.resources[name]
        before = record["_before"]
        if before is None:
            policy = record.get("_deletion")
            await self.remove(name, policy="Delete" if policy == "RetainExceptOnCreate" else None)
            return
        async with self._turns:
            await self._deleted(name, record, before)

    async def _create(self, name: str, kind: Kind, record: Record, reason: str = "") -> None:
        begun = "UPDATE" if record["_before"] else "CREATE"
        first = self._event(record, f"{begun}_IN_PROGRESS", reason)
        try:
            wanted = await self._wanted(name, kind, record)
            if await kind.exists(self._aws, wanted):
                raise NotMade(f"{wanted.name} already exists in stack or account")
        except _FAULTS as error:
            await self._journal.write(events=[first])
            raise await self._failed(name, record, f"{begun}_FAILED", reason_of(error)) from None
        id = kind.call_it(wanted.name, self._aws) if kind.name else ""
        record = {
            **record,
            "PhysicalResourceId": id,
            "ResourceStatus": f"{begun}_IN_PROGRESS",
            "_name": wanted.name,
        }
        initiated = self._event(record, f"{begun}_IN_PROGRESS", "Resource creation Initiated")
        await self._journal.write(resources={name: record}, events=[first, initiated])
        try:
            made = await kind.create(self._aws, wanted)
        except _FAULTS as error:
            taken = isinstance(error, CallFailed) and _TAKEN.search(error.code)
            record = {**record, "PhysicalResourceId": ""} if taken else record
            if isinstance(error, NotMade) and error.id:
                record = {**record, "PhysicalResourceId": error.id}
            raise await self._failed(name, record, f"{begun}_FAILED", reason_of(error)) from None
        await self._done(name, record, made, f"{begun}_COMPLETE")

    async def _replace(self, name: str, kind: Kind, record: Record, old: Record) -> None:
        properties = record["_properties"]
        if (
            kind.name
            and kind.call_it(
                properties.get(kind.name, ""), self._aws
            )  # else names are not what tells them apart
            and kind.name in properties
            and old["_properties"].get(kind.name) == properties[kind.name]
        ):
            reason = (
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {properties[kind.name]} and update the stack again."
            )
            await self._say(old, "UPDATE_IN_PROGRESS")
            raise await self._failed(name, {**old, "_before": old}, "UPDATE_FAILED", reason)
        await self._create(name, kind, {**record, "_replaces": True}, _REPLACING)

    async def _update(self, name: str, kind: Kind, record: Record, old: Record) -> None:
        record = {
            **record, "PhysicalResourceId": old["PhysicalResourceId"], "_attributes": old["_attributes"],
            "_name": old.get("_name", ""), "ResourceStatus": "UPDATE_IN_PROGRESS",
        }  # fmt: skip
        happened = [self._event(record, "UPDATE_IN_PROGRESS")]
        await self._journal.write(resources={name: record}, events=happened)
        try:
            wanted = await self._wanted(name, kind, record)
            made = await kind.update(self._aws, wanted, self._made(old))
        except _FAULTS as error:
            raise await self._failed(name, record, "UPDATE_FAILED", reason_of(error)) from None
        if kind.renames and made.id != old["PhysicalResourceId"]:
            record["_replaces"] = True
        await self._done(name, record, made, "UPDATE_COMPLETE")

    async def _deleted(self, name: str, target: Record, after: Record | None) -> None:
        """target: what goes; after: the resource's record then. Raises Failed."""
        await self._say(target, "DELETE_IN_PROGRESS")
        try:
            await self._delete(name, target)
        except _FAULTS as error:
            record = self._journal.resources[name]
            raise await self._failed(name, target, "DELETE_FAILED", reason_of(error), kept=record) from None
        happened = [self._event(target, "DELETE_COMPLETE")]
        await self._journal.write(resources={name: after}, events=happened)

    async def _delete(self, name: str, record: Record) -> None:
        kind, id = KINDS[record["ResourceType"]], record["PhysicalResourceId"]
        try:
            if not id and record["ResourceStatus"].endswith("_IN_PROGRESS"):
                id = await kind.lost(self._aws, await self._wanted(name, kind, record))
            if id:
                await kind.delete(self._aws, self._made({**record, "PhysicalResourceId": id}))
        except CallFailed as error:
            if error.code not in GONE:
                raise

    async def _done(self, name: str, record: Record, made: Made, status: str) -> None:
        record = {
            **record, "PhysicalResourceId": made.id, "_attributes": made.attributes, "ResourceStatus": status,
            "Timestamp": now(), **({"ResourceStatusReason": made.note} if made.note else {}),
        }  # fmt: skip
        await self._journal.write(resources={name: record}, events=[self._event(record, status, made.note)])

    async def _failed(
        self, name: str, record: Record, status: str, reason: str, kept: Record | None = None
    ) -> Failed:
        """Says so; kept: the record that stays, if that is not the one that it is about."""
        stays = {
            **(kept or record),
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "Timestamp": now(),
        }
        await self._journal.write(resources={name: stays}, events=[self._event(record, status, reason)])
        return Failed(name)

    async def _say(self, record: Record, status: str, reason: str = "") -> None:
        await self._journal.write(events=[self._event(record, status, reason)])

    def _event(self, record: Record, status: str, reason: str = "") -> Record:
        return event(
            status, record["LogicalResourceId"], record["ResourceType"], record["PhysicalResourceId"], reason
        )

    def _record(
        self, name: str, kind: Kind, properties: dict[str, Any], resource: Mapping[str, Any], needs: set[str],
        before: Record | None,
    ) -> Record:  # fmt: skip
        return {
            "LogicalResourceId": name, "PhysicalResourceId": "", "ResourceType": kind.type, "Timestamp": now(),
            "ResourceStatus": "", "_properties": properties, "_attributes": {}, "_needs": sorted(needs),
            "_deletion": resource.get("DeletionPolicy", "Delete"),
            "_replacing": resource.get("UpdateReplacePolicy", "Delete"), "_before": before,
        }  # fmt: skip

    def _made(self, record: Record) -> Made:
        return Made(
            record["PhysicalResourceId"], record["_attributes"], record["_properties"],
            logical=record["LogicalResourceId"], stack_id=self._journal.stack.id,
        )  # fmt: skip

    async def _wanted(self, name: str, kind: Kind, record: Record) -> Wanted:
        stack, properties = self._journal.stack, await looked_up(record["_properties"], self._aws)
        called = properties.get(kind.name) if kind.name else None
        called = called or record.get("_name") or generated(stack.name, name, kind, properties)
        return Wanted(name, stack.name, stack.id, str(called), properties)


def settled(record: Record) -> Record:
    """Without what only the deployment under way has to know."""
    return {key: value for key, value in record.items() if key not in ("_before", "_replaces")}


def reason_of(error: Exception) -> str:
    """What an event says of a fault."""
    if isinstance(error, Fault):
        return error.message or error.code
    if isinstance(error, KeyError):
        return f"Encountered a missing property: {error.args[0]}"
    return str(error)


def generated(stack: str, logical: str, kind: Kind, properties: Mapping[str, Any]) -> str:
    """A name as CloudFormation makes them: STACK-LOGICAL-RANDOM, within the type's limit."""
    end = "-" + "".join(secrets.choice(_LETTERS) for _ in range(12))
    if str(properties.get("FifoQueue") or properties.get("FifoTopic") or "").lower() == "true":
        end += ".fifo"
    room = kind.longest - len(end)
    name = f"{stack[: max(room - len(logical) - 1, room // 2)]}-{logical}"[:room] + end
    return name.lower() if kind.service in ("s3", "ecr") else name
