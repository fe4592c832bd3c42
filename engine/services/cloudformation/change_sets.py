"""Change sets: what a template would change, kept until it is done or given up."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...deploy.journal import STACK, Record, event
from ...deploy.resources import now
from ...deploy.template import Template
from .catalog import CHANGE_SETS, REVIEW, STACKS, Catalog, check_name, key, new_id, page, public
from .preparing import Prepared, Preparing
from .stacks import Stacks

NOTHING = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
_ARN = re.compile(r"arn:aws[\w-]*:cloudformation:[a-z0-9-]+:\d{12}:changeSet/([^/]+)/[^/]+", re.ASCII)


class ChangeSets:
    """Belongs to one event loop."""

    def __init__(self, catalog: Catalog, preparing: Preparing, stacks: Stacks) -> None:
        self._catalog = catalog
        self._preparing = preparing
        self._stacks = stacks

    async def create_change_set(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """It is complete, or has failed, before the response."""
        place, name, label = caller.place, members["StackName"], members["ChangeSetName"]
        check_name(label, "changeSetName")
        record = self._catalog.find(place, name)
        new = members.get("ChangeSetType", "UPDATE") == "CREATE"
        if members.get("ChangeSetType") == "IMPORT":
            raise Fault("ValidationError", "Resources that exist are not imported here.")
        if record is None and not new:
            raise Fault("ValidationError", f"Stack [{name}] does not exist")
        if record is not None and new and record["StackStatus"] != REVIEW:
            text = f"Stack [{name}] already exists and cannot be created again with the changeSet [{label}]."
            raise Fault("ValidationError", text)
        if record is not None and label in self._catalog.change_sets(place, record):
            raise Fault(
                "AlreadyExistsException", f"ChangeSet {label} cannot be created due to its name: it exists"
            )
        if record is not None and not new:
            self._stacks.check_updatable(record)
        if record is None:
            check_name(name)
        prepared = await self._preparing.prepare(members, record, place)
        if record is None:
            record = self._catalog.find(place, name)
        if record is None:
            record = await self._stacks.begin(place, name, members, REVIEW)
            happened = event(REVIEW, name, STACK, record["StackId"], "User Initiated")
            await self._catalog.journal(place, record).write(events=[happened])
        changes = self._preparing.differences(prepared, record, place)
        shown = ("Capabilities", "Description", "NotificationARNs", "Parameters", "Tags")
        made: Record = {
            **{each: prepared.record[each] for each in shown if each != "Description"},
            "ChangeSetId": new_id(place, label, "changeSet"), "ChangeSetName": label, "StackId": record["StackId"],
            "StackName": record["StackName"], "CreationTime": now(), "Description": members.get("Description"),
            "OnStackFailure": members.get("OnStackFailure"), "Changes": changes or [], "_new": new,
            "IncludeNestedStacks": bool(members.get("IncludeNestedStacks")),
        }  # fmt: skip
        if changes is None and not new:
            made |= {"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": NOTHING}
        else:
            made |= {
                "Status": "CREATE_COMPLETE",
                "ExecutionStatus": "AVAILABLE",
                "_prepared": prepared.record,
            }
        await self._catalog.write(place, (CHANGE_SETS, key(record), label, made))
        return {"Id": made["ChangeSetId"], "StackId": record["StackId"]}

    def describe_change_set(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        _, found = self._find(members, caller.place)
        changes, token = page(found["Changes"], members)
        return {**public(found), "Changes": changes, "NextToken": token}

    async def execute_change_set(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        place = caller.place
        record, found = self._find(members, place)
        if found["ExecutionStatus"] != "AVAILABLE":
            status = found["Status"] if found["Status"] == "FAILED" else found["ExecutionStatus"]
            text = (
                f"ChangeSet [{found['ChangeSetId']}] cannot be executed in its current status of [{status}]"
            )
            raise Fault("InvalidChangeSetStatusException", text)
        if not found["_new"]:
            self._stacks.check_updatable(record)
        kept = found["_prepared"]
        pending = {**kept, "ChangeSetId": found["ChangeSetId"]}
        prepared = Prepared(Template(kept["_processed"]), kept["_resolved"], pending)
        done = {name: value for name, value in found.items() if name != "_prepared"}
        done |= {"ExecutionStatus": "EXECUTE_COMPLETE"}
        fresh = dict(record)
        keep = bool(members.get("DisableRollback")) or found.get("OnStackFailure") == "DO_NOTHING"
        if found["_new"]:
            failing = {"DisableRollback": keep, "_on_failure": found.get("OnStackFailure")}
            fresh |= {**failing, "StackStatus": "CREATE_IN_PROGRESS"}
        # Every other change set was made for a stack that will not be any more.
        others = [
            (CHANGE_SETS, key(record), name, None)
            for name in self._catalog.change_sets(place, record)
            if name != found["ChangeSetName"]
        ]
        await self._catalog.write(
            place, (CHANGE_SETS, key(record), found["ChangeSetName"], done), (STACKS, key(record), "", fresh), *others
        )  # fmt: skip
        task: asyncio.Task[None]
        if found["_new"]:
            task = self._stacks.create(place, fresh, prepared)
        else:
            task = self._stacks.update(place, fresh, prepared, keep=keep)
        await self._stacks.held(task)
        return {}

    async def delete_change_set(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        try:
            record, found = self._find(members, caller.place)
        except Fault as fault:
            if fault.code == "ChangeSetNotFoundException":
                return {}
            raise
        await self._catalog.write(caller.place, (CHANGE_SETS, key(record), found["ChangeSetName"], None))
        return {}

    def list_change_sets(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record = self._catalog.stack(caller.place, members["StackName"], "Stack [{}] does not exist")
        found = sorted(
            self._catalog.change_sets(caller.place, record).values(), key=lambda each: each["CreationTime"]
        )
        summaries, token = page(found, members)
        return {"Summaries": summaries, "NextToken": token}

    def _find(self, members: dict[str, Any], place: Place) -> tuple[Record, Record]:
        """A change set, and its stack. Raises Fault."""
        name = members["ChangeSetName"]
        arn = _ARN.fullmatch(name)
        records = self._catalog.stacks(place) if arn else []
        if not arn:
            if not members.get("StackName"):
                text = "StackName must be specified if ChangeSetName is not specified as an ARN."
                raise Fault("ValidationError", text)
            records = [self._catalog.stack(place, members["StackName"], "Stack [{}] does not exist")]
        for record in records:
            for label, found in self._catalog.change_sets(place, record).items():
                if name in (label, found["ChangeSetId"]):
                    return record, found
        raise Fault("ChangeSetNotFoundException", f"ChangeSet [{name}] does not exist")
