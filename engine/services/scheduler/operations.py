"""The operations on schedules, and what one may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...aws.service import Caller
from ...durable.state import Record
from ...routing.schedules import InvalidSchedule
from . import requests
from .catalog import DEFAULT, SCHEDULES, Catalog, Key, gone, now, page
from .faults import conflict, full, invalid
from .repeats import Deletions, digest
from .timing import LATE, InvalidZone, begin, due, expression_of, same_times, zone_of

MOST = 1_000_000  # of a region and account
_DEFAULTS = {"ScheduleExpressionTimezone": "UTC", "State": "ENABLED", "ActionAfterCompletion": "NONE"}
_RETRIES = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
_KEPT = ("Description", "StartDate", "EndDate", "KmsKeyArn", "ScheduleExpression", "FlexibleTimeWindow")
_SHOWN = (
    "GroupName", "Name", *_KEPT, *_DEFAULTS, "CreationDate", "LastModificationDate", "Target",
)  # fmt: skip
Members = dict[str, Any]


class ScheduleOperations:
    def __init__(self, catalog: Catalog, changed: Callable[[Key], object]) -> None:
        """changed: called after each change of a schedule."""
        self._catalog = catalog
        self._changed = changed
        self._deletions = Deletions()

    async def create_schedule(self, members: Members, caller: Caller) -> Members:
        key = _key(members, caller)
        record = _record(key, members, None)
        async with self._catalog.changes.lock:
            self._catalog.group(key.place, key.group)
            known = self._catalog.find(key)
            if known is not None:
                if not members.get("ClientToken") or known["_request"] != digest(members):
                    raise conflict(f"Schedule {key.name} already exists.")
                return {"ScheduleArn": key.arn}
            if len(self._catalog.schedules(key.place, key.group)) >= MOST:
                raise full(f"The number of schedules exceeds the maximum of {MOST}.")
            await self._catalog.write(key.place, (SCHEDULES, key.group, key.name, record))
        self._changed(key)
        return {"ScheduleArn": key.arn}

    async def update_schedule(self, members: Members, caller: Caller) -> Members:
        """All of it: what is left out is as in a new one."""
        key = _key(members, caller)
        async with self._catalog.changes.lock:
            known = self._catalog.schedule(key)
            if known["_request"] != digest(members) or not members.get("ClientToken"):
                record = _record(key, members, known)
                await self._catalog.write(key.place, (SCHEDULES, key.group, key.name, record))
        self._changed(key)
        return {"ScheduleArn": key.arn}

    async def get_schedule(self, members: Members, caller: Caller) -> Members:
        key = _key(members, caller)
        record = self._catalog.schedule(key)
        return {"Arn": key.arn, **{name: record[name] for name in _SHOWN if record.get(name) is not None}}

    async def delete_schedule(self, members: Members, caller: Caller) -> Members:
        key = _key(members, caller)
        async with self._catalog.changes.lock:
            if self._deletions.repeated(key.place, members):
                return {}
            self._catalog.schedule(key)
            await self._catalog.write(key.place, *gone(key))
            self._deletions.done(key.place, members)
        self._changed(key)
        return {}

    async def list_schedules(self, members: Members, caller: Caller) -> Members:
        place, group = caller.place, members.get("GroupName")
        if group is not None:
            self._catalog.group(place, group)
        prefix, state = members.get("NamePrefix") or "", members.get("State")
        found = {
            f"{each}/{name}": record
            for each in ([group] if group is not None else self._catalog.groups(place))
            for name, record in self._catalog.schedules(place, each).items()
            if name.startswith(prefix) and state in (None, record["State"])
        }
        names, token = page(sorted(found), members, members.get("NextToken") or "")
        return {"Schedules": [_summary(caller, found[name]) for name in names], "NextToken": token}


def _key(members: Members, caller: Caller) -> Key:
    return Key(caller.place, members.get("GroupName") or DEFAULT, members["Name"])


def _summary(caller: Caller, record: Record) -> Members:
    names = ("Name", "GroupName", "State", "CreationDate", "LastModificationDate")
    arn = Key(caller.place, record["GroupName"], record["Name"]).arn
    target = {"Arn": record["Target"]["Arn"]}
    return {"Arn": arn, "Target": target, **{name: record[name] for name in names}}


def _record(key: Key, members: Members, known: Record | None) -> Record:
    """Raises Fault for one that makes no sense."""
    at = now()
    policy = {**_RETRIES, **(members["Target"].get("RetryPolicy") or {})}
    record: Record = {
        "Name": key.name, "GroupName": key.group, **_DEFAULTS,
        **{name: members[name] for name in (*_KEPT, *_DEFAULTS) if members.get(name) is not None},
        "Target": {**members["Target"], "RetryPolicy": policy}, "CreationDate": known["CreationDate"] if known else at,
        "LastModificationDate": at, "_request": digest(members),
    }  # fmt: skip
    same = known is not None and same_times(known, record)
    record["_since"] = known["_since"] if known is not None and same else at
    _check(record, at, same)
    return record


def _check(record: Record, at: float, same: bool) -> None:
    expression, zone = record["ScheduleExpression"], record["ScheduleExpressionTimezone"]
    try:
        expression_of(expression)
    except InvalidSchedule:
        raise invalid(f"Invalid Schedule Expression {expression}.") from None
    try:
        zone_of(zone)
    except InvalidZone:
        raise invalid(f"Invalid Schedule Expression Timezone {zone}.") from None
    if not expression.startswith("at("):
        start, end = record.get("StartDate"), record.get("EndDate")
        if start is not None and start < at - LATE and not same:
            raise invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
        if start is not None and end is not None and start >= end:
            raise invalid("The StartDate you specify must come before the EndDate.")
    try:
        due(record, begin(record))
    except (ValueError, OverflowError, OSError):
        raise invalid("The StartDate you specify is not valid.") from None
    flexible = record["FlexibleTimeWindow"]
    if (flexible["Mode"] == "FLEXIBLE") is (flexible.get("MaximumWindowInMinutes") is None):
        needed = (
            "is required when Mode is FLEXIBLE"
            if flexible["Mode"] == "FLEXIBLE"
            else "requires Mode FLEXIBLE"
        )
        raise invalid(f"FlexibleTimeWindow is not valid: MaximumWindowInMinutes {needed}.")
    requests.check(record["Target"])
