"""A stack's operations from their beginning to their end: created, updated, rolled back, cleaned up, deleted.

Every step is in the journal before it is taken, so that `recover` can go on with whatever a crash left: a creation or
an update that was interrupted is rolled back, a clean-up or a deletion is finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from graphlib import TopologicalSorter
from typing import Any

from ..aws.faults import Fault
from .graph import ordered
from .journal import STACK, Journal, Record, event
from .kinds.base import Aws
from .program import Program
from .resources import Failed, Resources, now, settled

Change = Callable[[str], Awaitable[None]]
INTERRUPTED = "The server ended in the middle of it. "
_MEMBERS = ("Capabilities", "Description", "Parameters", "Tags", "NotificationARNs", "RoleARN", "ChangeSetId")


class Running:
    """Operations of one stack, one at a time. keep: leave what was made when one fails (DisableRollback)."""

    def __init__(self, aws: Aws, journal: Journal, *, keep: bool = False) -> None:
        self._journal = journal
        self._resources = Resources(aws, journal)
        self._keep = keep

    async def create(self, program: Program) -> None:
        await self._say("CREATE_IN_PROGRESS", "User Initiated")
        failed = await self._apply(program)
        if not failed:
            await self._commit(program, "CREATE_COMPLETE")
            return
        reason = f"The following resource(s) failed to create: [{', '.join(failed)}]. "
        if self._keep:
            await self._say("CREATE_FAILED", reason)
        else:
            await self._roll_back_creation(f"{reason}Rollback requested by user.")

    async def update(self, program: Program, pending: Record) -> None:
        """pending: what the stack's record says of the program once it is done."""
        await self._say("UPDATE_IN_PROGRESS", "User Initiated", LastUpdatedTime=now(), _pending=pending)
        failed = await self._apply(program)
        if not failed:
            await self._commit(program, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            await self._clean_up()
            return
        new = [name for name in failed if (self._journal.resources.get(name) or {}).get("_before", 0) is None]
        old = [name for name in failed if name not in new]
        reason = f"The following resource(s) failed to create: [{', '.join(new)}]. " if new else ""
        reason += f"The following resource(s) failed to update: [{', '.join(old)}]. " if old else ""
        if self._keep:
            await self._say("UPDATE_FAILED", reason)
        else:
            await self._roll_back_update(reason)

    async def delete(self) -> None:
        await self._say("DELETE_IN_PROGRESS", "User Initiated")
        await self._delete()

    async def recover(self) -> None:
        """Go on with what was under way when the server ended."""
        status = self._journal.record["StackStatus"]
        if status == "CREATE_IN_PROGRESS":
            await self._roll_back_creation(INTERRUPTED)
        elif status == "ROLLBACK_IN_PROGRESS":
            await self._roll_back_creation("")
        elif status in ("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"):
            await self._roll_back_update(INTERRUPTED)
        elif status == "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS":
            await self._forget_update()
        elif status == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
            await self._clean_up()
        elif status == "DELETE_IN_PROGRESS":
            await self._delete()

    async def roll_back(self) -> None:
        """Of an update whose rollback failed: once more (ContinueUpdateRollback)."""
        await self._roll_back_update("User Initiated")

    async def _apply(self, program: Program) -> list[str]:
        """The resources that failed; what an output needs and is not there counts as the stack."""
        scope = program.scope(self._resources.lookup)
        there, edges = program.resources(scope), program.edges(scope)

        async def make(name: str) -> None:
            await self._resources.apply(name, there[name], scope, edges[name])

        return await _in_order(edges, make)

    async def _commit(self, program: Program, status: str) -> None:
        record = self._journal.record
        pending = record.get("_pending") or {}
        try:
            outputs = program.outputs(program.scope(self._resources.lookup))
            program.check_exports(outputs, record.get("Outputs") or [])
        except Fault as fault:
            verb, reason = status.partition("_")[0], f"{fault.message} "
            await (self._roll_back_creation if verb == "CREATE" else self._roll_back_update)(reason)
            return
        kept = {name: value for name, value in record.items() if name not in (*_MEMBERS, "_pending")}
        fresh = {**kept, **pending, "Outputs": outputs, "_imports": sorted(program.imports)}
        there = program.resources(program.scope(self._resources.lookup))
        resources: dict[str, Record | None] = {}
        if status == "CREATE_COMPLETE":
            resources = {name: settled(each) for name, each in self._journal.resources.items()}
        else:
            fresh["_gone"] = sorted(set(self._journal.resources) - set(there))
        await self._say(status, record=fresh, resources=resources)

    async def _clean_up(self) -> None:
        """After an update: what it replaced, and what its template has no more, goes. What cannot be deleted stays, and
        is said, but the update is done."""
        if self._journal.record["StackStatus"] != "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
            return
        records = self._journal.resources
        gone = set(self._journal.record.get("_gone") or ())
        replaced = {name for name, record in records.items() if record.get("_replaces")}

        async def remove(name: str) -> None:
            await self._resources.remove(name, replaced=name in replaced)

        edges = _backwards({name: records[name] for name in gone | replaced if name in records})
        await _in_order(edges, remove, go_on=True)
        rest = {name: None if name in gone else settled(record) for name, record in self._journal.resources.items()
                if name in gone or "_before" in record}  # fmt: skip
        await self._journal.write(resources=rest)
        record = {name: value for name, value in self._journal.record.items() if name != "_gone"}
        await self._say("UPDATE_COMPLETE", record=record)

    async def _roll_back_creation(self, reason: str) -> None:
        await self._say("ROLLBACK_IN_PROGRESS", reason)
        failed = await _in_order(_backwards(self._journal.resources), self._resources.undo, go_on=True)
        if failed:
            text = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
            await self._say("ROLLBACK_FAILED", text)
        else:
            await self._say("ROLLBACK_COMPLETE")

    async def _roll_back_update(self, reason: str) -> None:
        await self._say("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        changed = {
            name: record
            for name, record in self._journal.resources.items()
            if record.get("_before") is not None and not record.get("_replaces")
        }
        failed = await _in_order(_backwards(changed), self._resources.restore, go_on=True)
        if failed:
            text = f"The following resource(s) failed to update: [{', '.join(failed)}]. "
            await self._say("UPDATE_ROLLBACK_FAILED", text)
            return
        await self._say("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        await self._forget_update()

    async def _forget_update(self) -> None:
        made = {name: record for name, record in self._journal.resources.items() if "_before" in record}
        await _in_order(_backwards(made), self._resources.undo, go_on=True)
        record = {
            name: value for name, value in self._journal.record.items() if name not in ("_pending", "_gone")
        }
        await self._say("UPDATE_ROLLBACK_COMPLETE", record=record)

    async def _delete(self) -> None:
        failed = await _in_order(_backwards(self._journal.resources), self._resources.remove, go_on=True)
        if failed:
            text = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
            await self._say("DELETE_FAILED", text)
        else:
            await self._say("DELETE_COMPLETE", DeletionTime=now())

    async def _say(
        self, status: str, reason: str = "", record: Record | None = None,
        resources: Mapping[str, Record | None] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        stack = self._journal.stack
        before = {n: v for n, v in (record or self._journal.record).items() if n != "StackStatusReason"}
        changed = {"StackStatus": status, **({"StackStatusReason": reason} if reason else {}), **more}
        happened = [event(status, stack.name, STACK, stack.id, reason)]
        await self._journal.write(stack={**before, **changed}, resources=resources, events=happened)


def _backwards(records: Mapping[str, Record]) -> dict[str, set[str]]:
    """For deleting: each behind those that need it."""
    edges: dict[str, set[str]] = {name: set() for name in records}
    for name, record in records.items():
        for need in record.get("_needs") or ():
            if need in edges:
                edges[need].add(name)
    try:
        ordered(edges)
    except Fault:  # of two templates, of which a crash left a part each
        return {name: set() for name in records}
    return edges


async def _in_order(
    edges: Mapping[str, Collection[str]], change: Change, *, go_on: bool = False
) -> list[str]:
    """Change each when those that it needs are, several at once. Those that failed; what needs them is left, and
    without go_on nothing more is begun."""
    sorter = TopologicalSorter(edges)
    sorter.prepare()
    running: dict[asyncio.Task[None], str] = {}
    failed: list[str] = []
    try:
        while True:
            if go_on or not failed:
                for name in sorter.get_ready():
                    running[asyncio.ensure_future(change(name))] = name
            if not running:
                return sorted(failed)
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                name = running.pop(task)
                try:
                    task.result()
                    sorter.done(name)
                except Failed:
                    failed.append(name)
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
