"""The operations that create, update and delete stacks, and what runs of them beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...deploy.journal import Record
from ...deploy.resources import now
from ...deploy.running import Running
from .catalog import DELETED, REVIEW, STACKS, Catalog, check_name, key, new_id, public
from .preparing import NO_UPDATES, Prepared, Preparing

# Seconds that a request waits for its operation: what is done by then its client sees at its first look, and need not
# sleep for the 5 to 30 seconds that its waiters take.
HELD = 15.0
UPDATABLE = {
    "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "IMPORT_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
}  # fmt: skip
_BROKEN = {"CREATE": "ROLLBACK_FAILED", "UPDATE": "UPDATE_ROLLBACK_FAILED", "DELETE": "DELETE_FAILED"}
_log = logging.getLogger("stoker.cloudformation")


class Stacks:
    """Belongs to one event loop."""

    def __init__(self, catalog: Catalog, preparing: Preparing) -> None:
        self._catalog = catalog
        self._preparing = preparing
        self._running: dict[str, asyncio.Task[None]] = {}  # by stack
        self._ending = asyncio.Event()

    async def create_stack(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        place, name = caller.place, members["StackName"]
        check_name(name)
        if self._catalog.find(place, name) is not None:
            raise Fault("AlreadyExistsException", f"Stack [{name}] already exists")
        if members.get("OnFailure") and members.get("DisableRollback") is not None:
            raise Fault("ValidationError", "Either DisableRollback or OnFailure can be specified, not both.")
        prepared = await self._preparing.prepare(members, None, place)
        if self._catalog.find(place, name) is not None:
            raise Fault("AlreadyExistsException", f"Stack [{name}] already exists")
        record = await self.begin(place, name, members, "CREATE_IN_PROGRESS")
        await self.held(self.create(place, record, prepared))
        return {"StackId": record["StackId"]}

    async def update_stack(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        place = caller.place
        record = self._catalog.stack(place, members["StackName"], "Stack [{}] does not exist")
        self.check_updatable(record)
        prepared = await self._preparing.prepare(members, record, place)
        if self._preparing.differences(prepared, record, place) is None:
            raise Fault("ValidationError", NO_UPDATES)
        keep = bool(members.get("DisableRollback"))
        await self.held(self.update(place, record, prepared, keep=keep))
        return {"StackId": record["StackId"]}

    async def delete_stack(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        place = caller.place
        record = self._catalog.find(place, members["StackName"])
        if record is None or record["StackStatus"] == DELETED:
            return {}
        if record.get("EnableTerminationProtection"):
            text = f"Stack [{record['StackName']}] cannot be deleted while TerminationProtection is enabled"
            raise Fault("ValidationError", text)
        for output in record.get("Outputs") or ():
            if users := self._catalog.importers(place, output.get("ExportName", "")):
                text = f"Export {output['ExportName']} cannot be deleted as it is in use by {' and '.join(users)}"
                raise Fault("ValidationError", text)
        if (running := self._running.get(record["StackId"])) is not None:
            await asyncio.wait({running})  # AWS takes over; here it is over soon
        record = self._catalog.stack(place, record["StackId"])
        work = Running(self._preparing.aws(place), self._catalog.journal(place, record)).delete()
        await self.held(self._start(place, record, work))
        return {}

    async def continue_update_rollback(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        place = caller.place
        record = self._catalog.stack(place, members["StackName"], "Stack [{}] does not exist")
        if record["StackStatus"] != "UPDATE_ROLLBACK_FAILED":
            text = f"Stack:{record['StackId']} is in {record['StackStatus']} state and can not continue its rollback."
            raise Fault("ValidationError", text)
        running = Running(self._preparing.aws(place), self._catalog.journal(place, record))
        await self.held(self._start(place, record, running.roll_back()))
        return {}

    async def cancel_update_stack(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """What is under way stops where it is, as if the server had ended, and what it has done goes back."""
        place = caller.place
        record = self._catalog.stack(place, members["StackName"], "Stack [{}] does not exist")
        task = self._running.get(record["StackId"])
        if record["StackStatus"] != "UPDATE_IN_PROGRESS" or task is None:
            raise Fault("ValidationError", "CancelUpdateStack cannot be called from current stack status")
        task.cancel()
        await asyncio.wait({task})
        record = self._catalog.stack(place, record["StackId"])
        if record["StackStatus"] == "UPDATE_IN_PROGRESS":  # it was not over all the same
            running = Running(self._preparing.aws(place), self._catalog.journal(place, record))
            await self.held(self._start(place, record, running.roll_back()))
        return {}

    async def update_termination_protection(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self._catalog.stack(caller.place, members["StackName"], "Stack [{}] does not exist")
        changed = {**record, "EnableTerminationProtection": members["EnableTerminationProtection"]}
        await self._catalog.write(caller.place, (STACKS, key(record), "", changed))
        return {"StackId": record["StackId"]}

    async def begin(self, place: Place, name: str, members: Mapping[str, Any], status: str) -> Record:
        """A new stack's record."""
        record: Record = {
            "StackId": new_id(place, name), "StackName": name, "StackStatus": status, "CreationTime": now(),
            "DisableRollback": bool(members.get("DisableRollback") or members.get("OnFailure") == "DO_NOTHING"),
            "EnableTerminationProtection": bool(members.get("EnableTerminationProtection")),
            "_on_failure": members.get("OnFailure") or members.get("OnStackFailure"),
        }  # fmt: skip
        await self._catalog.write(place, (STACKS, key(record), "", record))
        return record

    def create(self, place: Place, record: Record, prepared: Prepared) -> asyncio.Task[None]:
        async def run() -> None:
            journal = self._catalog.journal(place, record)
            shown = {**journal.record, **public(prepared.record)}
            await journal.write(stack={**shown, "_pending": prepared.record})
            keep = record["DisableRollback"]
            running = Running(self._preparing.aws(place), journal, keep=keep)
            await running.create(self._preparing.program(prepared, record, place))
            if journal.record["StackStatus"] == "ROLLBACK_COMPLETE" and record.get("_on_failure") == "DELETE":
                await running.delete()

        return self._start(place, record, run())

    def update(
        self, place: Place, record: Record, prepared: Prepared, *, keep: bool = False
    ) -> asyncio.Task[None]:
        async def run() -> None:
            journal = self._catalog.journal(place, record)
            running = Running(self._preparing.aws(place), journal, keep=keep)
            await running.update(self._preparing.program(prepared, record, place), prepared.record)

        return self._start(place, record, run())

    def check_updatable(self, record: Record) -> None:
        """Raises Fault."""
        if record["StackStatus"] not in UPDATABLE or record["StackId"] in self._running:
            text = f"Stack:{record['StackId']} is in {record['StackStatus']} state and can not be updated."
            raise Fault("ValidationError", text)

    def recover(self) -> None:
        """At the server's start: what was under way goes on."""
        for place, record in self._catalog.all():
            status = record["StackStatus"]
            if status.endswith("_IN_PROGRESS") and status != REVIEW:
                running = Running(self._preparing.aws(place), self._catalog.journal(place, record))
                self._start(place, record, running.recover())

    async def aclose(self) -> None:
        """What is under way stops where it is: the journal has it, and the next start goes on."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def drain(self) -> None:
        """The server is to end: nobody is held any more."""
        self._ending.set()

    async def held(self, task: asyncio.Task[None]) -> None:
        """Waits for an operation, as long as a request may."""
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait({task, ending}, timeout=HELD, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()

    def _start(self, place: Place, record: Record, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        id = record["StackId"]

        async def run() -> None:
            try:
                await work
            except Exception as error:
                _log.exception("stack %s", id)
                journal = self._catalog.journal(place, record)
                status = journal.record["StackStatus"]
                verb = "UPDATE" if "UPDATE" in status else "DELETE" if "DELETE" in status else "CREATE"
                broken = {"StackStatus": _BROKEN[verb], "StackStatusReason": f"Internal error: {error}"}
                await journal.write(stack={**journal.record, **broken})
            finally:
                if self._running.get(id) is task:
                    del self._running[id]

        task = self._running[id] = asyncio.ensure_future(run())
        return task
