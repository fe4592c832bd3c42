"""The operations on rules and their targets, and what a target may be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ...aws.service import Caller
from ...durable.state import Record
from ...routing.inputs import RESERVED
from ...routing.schedules import InvalidSchedule, parse
from .catalog import DEFAULT, RULES, Bus, Catalog, now, page, pattern_of, shown
from .faults import invalid, managed
from .managed import shown_rule, shown_rules

TARGETS = 100  # of a rule; AWS has 5 unless asked
_KNOWN = re.compile(
    r"arn:aws[\w-]*:(?:(?:lambda|sqs|sns|logs|kinesis|firehose|states):[a-z0-9-]+:\d{12}:.+|"
    r"events:[a-z0-9-]+:\d{12}:(?:event-bus|api-destination)/.+)"
)
Members = dict[str, Any]


class RuleOperations:
    def __init__(self, catalog: Catalog, changed: Callable[[], object]) -> None:
        """changed: called after each change of a rule, for schedules."""
        self._catalog = catalog
        self._changed = changed

    async def put_rule(self, members: Members, caller: Caller) -> Members:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        pattern, schedule = members.get("EventPattern") or None, members.get("ScheduleExpression") or None
        if pattern is None and schedule is None:
            raise invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
        if schedule is not None and bus.name != DEFAULT:
            raise invalid("ScheduleExpression is supported only on the default event bus.")
        if pattern is not None:
            pattern_of(pattern)
        if schedule is not None:
            try:
                parse(schedule)
            except InvalidSchedule:
                raise invalid("Parameter ScheduleExpression is not valid.") from None
        name = members["Name"]
        async with self._catalog.changes.lock:
            before = self._catalog.rules(bus).get(name) or {}
            if not before:
                self._check_unmanaged(bus, name)
            tags = before.get("Tags") or {each["Key"]: each["Value"] for each in members.get("Tags") or ()}
            record = {
                "Name": name, "EventPattern": pattern, "ScheduleExpression": schedule,
                "State": members.get("State") or "ENABLED", "Tags": tags, "CreatedBy": caller.place.account,
                "Targets": before.get("Targets") or {}, "_since": now(), **shown(members, "Description", "RoleArn"),
            }  # fmt: skip
            await self._put(bus, record)
        return {"RuleArn": bus.rule(name)}

    async def delete_rule(self, members: Members, caller: Caller) -> None:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        async with self._catalog.changes.lock:
            record = self._catalog.rules(bus).get(members["Name"])
            if record is None:
                self._check_unmanaged(bus, members["Name"])
                return
            if record["Targets"]:
                raise invalid("Rule can't be deleted since it has targets.")
            await self._catalog.write(bus.place, (RULES, bus.name, members["Name"], None))
        self._changed()

    async def describe_rule(self, members: Members, caller: Caller) -> Members:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        record = shown_rule(self._catalog, bus, members["Name"])
        return {**_shown(bus, record), "CreatedBy": record["CreatedBy"]}

    async def list_rules(self, members: Members, caller: Caller) -> Members:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        rules = shown_rules(self._catalog, bus)
        names, token = page(list(rules), members)
        return {"Rules": [_shown(bus, rules[name]) for name in names], "NextToken": token}

    async def enable_rule(self, members: Members, caller: Caller) -> None:
        await self._state(members, caller, "ENABLED")

    async def disable_rule(self, members: Members, caller: Caller) -> None:
        await self._state(members, caller, "DISABLED")

    async def _state(self, members: Members, caller: Caller, state: str) -> None:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        async with self._catalog.changes.lock:
            await self._put(bus, {**self._own(bus, members["Name"]), "State": state})

    def _own(self, bus: Bus, name: str) -> Record:
        """A rule that may be changed. Raises Fault."""
        record = self._catalog.rules(bus).get(name)
        if record is None:
            self._check_unmanaged(bus, name)
            return self._catalog.rule(bus, name)
        return record

    def _check_unmanaged(self, bus: Bus, name: str) -> None:
        """Raises Fault: an archive has that rule."""
        if name in shown_rules(self._catalog, bus) and name not in self._catalog.rules(bus):
            raise managed(name)

    async def _put(self, bus: Bus, record: Record) -> None:
        await self._catalog.write(bus.place, (RULES, bus.name, record["Name"], record))
        self._changed()

    # Targets.

    async def put_targets(self, members: Members, caller: Caller) -> Members:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        failed: list[Members] = []
        for target in members["Targets"]:
            _check(target)
        async with self._catalog.changes.lock:
            record = self._own(bus, members["Rule"])
            targets = dict(record["Targets"])
            for target in members["Targets"]:
                if _KNOWN.fullmatch(target["Arn"]) is None:
                    text = f"{target['Arn']} is nothing that events can be delivered to here"
                    failed.append(
                        {"TargetId": target["Id"], "ErrorCode": "InvalidArgument", "ErrorMessage": text}
                    )
                elif target["Id"] not in targets and len(targets) >= TARGETS:
                    text = "The requested resource exceeds the maximum number allowed."
                    failed.append(
                        {
                            "TargetId": target["Id"],
                            "ErrorCode": "LimitExceededException",
                            "ErrorMessage": text,
                        }
                    )
                else:
                    targets[target["Id"]] = target
            if targets != record["Targets"]:
                await self._put(bus, {**record, "Targets": targets})
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    async def remove_targets(self, members: Members, caller: Caller) -> Members:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        failed = []
        async with self._catalog.changes.lock:
            record = self._own(bus, members["Rule"])
            targets = dict(record["Targets"])
            for id in members["Ids"]:
                if targets.pop(id, None) is None:
                    text = f"Rule {record['Name']} does not have a target with the Id {id}."
                    failed.append(
                        {"TargetId": id, "ErrorCode": "ResourceNotFoundException", "ErrorMessage": text}
                    )
            if targets != record["Targets"]:
                await self._put(bus, {**record, "Targets": targets})
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    async def list_targets_by_rule(self, members: Members, caller: Caller) -> Members:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        targets = shown_rule(self._catalog, bus, members["Rule"])["Targets"]
        ids, token = page(list(targets), members)
        return {"Targets": [targets[id] for id in ids], "NextToken": token}

    async def list_rule_names_by_target(self, members: Members, caller: Caller) -> Members:
        bus = self._catalog.bus(members.get("EventBusName"), caller.place)
        found = [
            name
            for name, record in self._catalog.rules(bus).items()
            if any(target["Arn"] == members["TargetArn"] for target in record["Targets"].values())
        ]
        names, token = page(found, members)
        return {"RuleNames": names, "NextToken": token}


def _shown(bus: Bus, record: Record) -> Members:
    names = ("Name", "EventPattern", "ScheduleExpression", "State", "Description", "RoleArn", "ManagedBy")
    return {"Arn": bus.rule(record["Name"]), "EventBusName": bus.name, **shown(record, *names)}


def _check(target: Members) -> None:
    """Raises Fault for a target that makes no sense, whatever it names."""
    id = target["Id"]
    if sum(target.get(name) is not None for name in ("Input", "InputPath", "InputTransformer")) > 1:
        raise invalid(f"Only one of Input, InputPath, or InputTransformer must be provided for target {id}.")
    if not target["Arn"].startswith("arn:"):
        text = f"Parameter {target['Arn']} is not valid. Reason: Provided Arn is not in correct format."
        raise invalid(text)
    if (constant := target.get("Input")) is not None:
        try:
            json.loads(constant)
        except ValueError:
            raise invalid(f"JSON syntax error in input for target {id} : Invalid text '{constant}'") from None
    transformer = target.get("InputTransformer") or {}
    for name in transformer.get("InputPathsMap") or {}:
        if name.lower().startswith(RESERVED.rstrip(".").partition(".")[0]):
            raise invalid(f"InputPathsMap key {name} of target {id} is reserved: it begins with AWS.")
    if target["Arn"].endswith(".fifo") and not (target.get("SqsParameters") or {}).get("MessageGroupId"):
        raise invalid(f"Parameter(s) SqsParameters must be specified for target: {id}.")
    if ":kinesis:" in target["Arn"] and target.get("SqsParameters"):
        raise invalid(f"Parameter(s) SqsParameters cannot be specified for target: {id}.")
