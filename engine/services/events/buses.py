"""The operations on event buses: made, described, changed, deleted, their policies; and tags of whatever has an ARN."""

from __future__ import annotations

import json
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.state import Record
from .catalog import BUSES, DEFAULT, RULES, Bus, Catalog, now, page, shown
from .faults import exists, invalid, missing, no_bus

BUSES_MOST = 100
POLICY_CHARACTERS = 10_240
TAGS = 50
_SHOWN = ("Description", "KmsKeyIdentifier", "DeadLetterConfig", "LogConfig")
Members = dict[str, Any]


class Buses:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def create_event_bus(self, members: Members, caller: Caller) -> Members:
        name = members["Name"]
        if members.get("EventSourceName"):
            raise missing(f"Event source {members['EventSourceName']} does not exist.")
        if "/" in name:
            raise invalid("Event bus name must not contain '/'.")
        bus = Bus(caller.place, name)
        async with self._catalog.changes.lock:
            if self._catalog.record(bus) is not None:
                raise exists(f"Event bus {name} already exists.")
            if len(self._catalog.buses(caller.place)) >= BUSES_MOST:
                text = "The requested resource exceeds the maximum number allowed."
                raise Fault("LimitExceededException", text)
            record = {
                "Name": name, "CreationTime": now(), "LastModifiedTime": now(), "Tags": _tags({}, members.get("Tags")),
                **shown(members, *_SHOWN),
            }  # fmt: skip
            await self._catalog.write(caller.place, (BUSES, name, "", record))
        return {"EventBusArn": bus.arn, **shown(record, *_SHOWN)}

    async def update_event_bus(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            bus, record = self._found(members.get("Name"), caller)
            record = {**record, **shown(members, *_SHOWN)}
            await self._put(bus, record)
        return {"Arn": bus.arn, "Name": bus.name, **shown(record, *_SHOWN)}

    async def delete_event_bus(self, members: Members, caller: Caller) -> None:
        name = members["Name"].rpartition("/")[2]
        bus = Bus(caller.place, name)
        if name == DEFAULT:
            raise invalid("Cannot delete event bus default.")
        async with self._catalog.changes.lock:
            if self._catalog.rules(bus):
                raise invalid("Cannot delete event bus since it has rules.")
            if self._catalog.state(caller.place).get(BUSES, name) is not None:
                await self._catalog.write(caller.place, (BUSES, name, "", None))

    async def describe_event_bus(self, members: Members, caller: Caller) -> Members:
        bus, record = self._found(members.get("Name"), caller)
        return self._described(bus, record)

    async def list_event_buses(self, members: Members, caller: Caller) -> Members:
        buses = {bus.name: bus for bus in self._catalog.buses(caller.place)}
        names, token = page(list(buses), members)
        found = [self._described(buses[name], self._catalog.record(buses[name]) or {}) for name in names]
        for each in found:
            each.pop("DeadLetterConfig", None)
        return {"EventBuses": found, "NextToken": token}

    def _described(self, bus: Bus, record: Record) -> Members:
        members = shown(record, *_SHOWN, "CreationTime", "LastModifiedTime")
        if statements := record.get("_policy"):
            members["Policy"] = json.dumps(
                {"Version": "2012-10-17", "Statement": statements}, separators=(",", ":")
            )
        return {"Name": bus.name, "Arn": bus.arn, **members}

    def _found(self, named: str | None, caller: Caller) -> tuple[Bus, Record]:
        bus = self._catalog.bus(named, caller.place)
        return bus, self._catalog.record(bus) or {}

    async def _put(self, bus: Bus, record: Record) -> None:
        await self._catalog.write(bus.place, (BUSES, bus.name, "", {**record, "LastModifiedTime": now()}))

    # Policies.

    async def put_permission(self, members: Members, caller: Caller) -> None:
        async with self._catalog.changes.lock:
            bus, record = self._found(members.get("EventBusName"), caller)
            statements = list(record.get("_policy", ()))
            if (text := members.get("Policy")) is not None:
                statements = _statements(text)
            else:
                statement = _statement(bus, members)
                statements = [each for each in statements if each.get("Sid") != statement["Sid"]] + [
                    statement
                ]
            if len(json.dumps(statements, separators=(",", ":"))) > POLICY_CHARACTERS:
                text = "The policy is too long. Delete statements that are not needed any more."
                raise Fault("PolicyLengthExceededException", text)
            await self._put(bus, {**record, "_policy": statements})

    async def remove_permission(self, members: Members, caller: Caller) -> None:
        async with self._catalog.changes.lock:
            bus, record = self._found(members.get("EventBusName"), caller)
            statements = list(record.get("_policy", ()))
            if members.get("RemoveAllPermissions"):
                kept = []
            else:
                if not statements:
                    raise missing("EventBus does not have a policy.")
                kept = [each for each in statements if each.get("Sid") != members.get("StatementId")]
                if len(kept) == len(statements):
                    raise missing("Statement with the provided id does not exist.")
            await self._put(bus, {**record, "_policy": kept})

    def allows(self, bus: Bus, place: Place) -> bool:
        """May this account put events here? Its own may; others need a statement. Conditions let nobody in."""
        if bus.place.account == place.account:
            return True
        record = self._catalog.record(bus) or {}
        return any(_lets(each, place.account) for each in record.get("_policy", ()))

    # Tags.

    async def tag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            place, table, owner, id, record = self._tagged(members["ResourceARN"], caller)
            tags = _tags(record.get("Tags") or {}, members["Tags"])
            await self._catalog.write(place, (table, owner, id, {**record, "Tags": tags}))
        return {}

    async def untag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            place, table, owner, id, record = self._tagged(members["ResourceARN"], caller)
            tags = {
                key: value
                for key, value in (record.get("Tags") or {}).items()
                if key not in members["TagKeys"]
            }
            await self._catalog.write(place, (table, owner, id, {**record, "Tags": tags}))
        return {}

    async def list_tags_for_resource(self, members: Members, caller: Caller) -> Members:
        *_, record = self._tagged(members["ResourceARN"], caller)
        return {"Tags": [{"Key": key, "Value": value} for key, value in (record.get("Tags") or {}).items()]}

    def _tagged(self, arn: str, caller: Caller) -> tuple[Place, str, str, str, Record]:
        kind, _, name = arn.split(":", 5)[-1].partition("/")
        if kind == "event-bus":
            bus = self._catalog.bus(name, caller.place)
            return bus.place, BUSES, bus.name, "", self._catalog.record(bus) or {}
        if kind == "rule":
            owner, _, rule = name.rpartition("/")
            try:
                bus = self._catalog.bus(owner or None, caller.place)
                return bus.place, RULES, bus.name, rule, self._catalog.rule(bus, rule)
            except Fault:
                raise missing(f"Rule {rule} does not exist on EventBus {owner or DEFAULT}.") from None
        raise no_bus(arn)


def _statement(bus: Bus, members: Members) -> Record:
    for name in ("Action", "Principal", "StatementId"):
        if not members.get(name):
            raise invalid(f"Parameter {name} must be specified.")
    if members["Action"] != "events:PutEvents":
        raise invalid("Provided value in parameter 'action' is not supported.")
    principal = members["Principal"]
    statement: Record = {
        "Sid": members["StatementId"],
        "Effect": "Allow",
        "Principal": "*" if principal == "*" else {"AWS": f"arn:aws:iam::{principal}:root"},
        "Action": "events:PutEvents",
        "Resource": bus.arn,
    }
    if condition := members.get("Condition"):
        statement["Condition"] = {condition["Type"]: {condition["Key"]: condition["Value"]}}
    return statement


def _statements(text: str) -> list[Record]:
    try:
        found = json.loads(text)
        statements = found.get("Statement", []) if isinstance(found, dict) else None
    except ValueError:
        statements = None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(each, dict) for each in statements):
        raise invalid("This policy contains invalid Json")
    return statements


def _lets(statement: Record, account: str) -> bool:
    principal = statement.get("Principal")
    if isinstance(principal, dict):
        principal = principal.get("AWS")
    named = principal if isinstance(principal, list) else [principal]
    actions = statement.get("Action")
    asked = actions if isinstance(actions, list) else [actions]
    return (
        statement.get("Effect") == "Allow"
        and "Condition" not in statement
        and any(each in ("*", account, f"arn:aws:iam::{account}:root") for each in named)
        and any(str(each).lower() in ("*", "events:*", "events:putevents") for each in asked)
    )


def _tags(before: dict[str, str], given: list[dict[str, str]] | None) -> dict[str, str]:
    tags = {**before, **{each["Key"]: each["Value"] for each in given or ()}}
    if len(tags) > TAGS:
        raise invalid(f"Tag limit exceeded: {TAGS} are the most.")
    return tags
