"""The operations on schedule groups and their tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...aws.names import Place
from ...aws.service import Caller
from ...durable.changes import Step
from ...durable.state import Record
from .catalog import DEFAULT, GROUPS, Catalog, Key, arn, gone, now, page
from .faults import conflict, full, invalid, no_group
from .repeats import Deletions, digest

MOST = 500  # of a region and account
Members = dict[str, Any]


class GroupOperations:
    def __init__(self, catalog: Catalog, changed: Callable[[], object]) -> None:
        """changed: called after schedules were deleted."""
        self._catalog = catalog
        self._changed = changed
        self._deletions = Deletions()

    async def create_schedule_group(self, members: Members, caller: Caller) -> Members:
        name, place = members["Name"], caller.place
        async with self._catalog.changes.lock:
            groups = self._catalog.groups(place)
            if name in groups:
                known = self._catalog.group(place, name)
                if not members.get("ClientToken") or known.get("_request") != digest(members):
                    raise conflict(f"Schedule group {name} already exists.")
            elif len(groups) >= MOST:
                raise full(f"The number of schedule groups exceeds the maximum of {MOST}.")
            else:
                at = now()
                tags = {each["Key"]: each["Value"] for each in members.get("Tags") or ()}
                record = {
                    "Name": name, "CreationDate": at, "LastModificationDate": at, "Tags": tags,
                    "_request": digest(members),
                }  # fmt: skip
                await self._catalog.write(place, (GROUPS, name, "", record))
        return {"ScheduleGroupArn": _arn(place, name)}

    async def get_schedule_group(self, members: Members, caller: Caller) -> Members:
        return _shown(caller.place, self._catalog.group(caller.place, members["Name"]))

    async def delete_schedule_group(self, members: Members, caller: Caller) -> Members:
        """With its schedules."""
        name, place = members["Name"], caller.place
        if name == DEFAULT:
            raise invalid("The default schedule group cannot be deleted.")
        async with self._catalog.changes.lock:
            if self._deletions.repeated(place, members):
                return {}
            self._catalog.group(place, name)
            steps: list[Step] = [(GROUPS, name, "", None)]
            for schedule in self._catalog.schedules(place, name):
                steps += gone(Key(place, name, schedule))
            await self._catalog.write(place, *steps)
            self._deletions.done(place, members)
        self._changed()
        return {}

    async def list_schedule_groups(self, members: Members, caller: Caller) -> Members:
        prefix = members.get("NamePrefix") or ""
        groups = [name for name in self._catalog.groups(caller.place) if name.startswith(prefix)]
        names, token = page(groups, members, members.get("NextToken") or "")
        found = [_shown(caller.place, self._catalog.group(caller.place, name)) for name in names]
        return {"ScheduleGroups": found, "NextToken": token}

    async def tag_resource(self, members: Members, caller: Caller) -> Members:
        tags = {each["Key"]: each["Value"] for each in members["Tags"]}
        async with self._catalog.changes.lock:
            record = self._tagged(members["ResourceArn"], caller.place)
            if len(record["Tags"] | tags) > 200:
                raise full("The number of tags exceeds the maximum of 200.")
            await self._tag(caller.place, record, record["Tags"] | tags)
        return {}

    async def untag_resource(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record = self._tagged(members["ResourceArn"], caller.place)
            tags = {key: value for key, value in record["Tags"].items() if key not in members["TagKeys"]}
            await self._tag(caller.place, record, tags)
        return {}

    async def list_tags_for_resource(self, members: Members, caller: Caller) -> Members:
        tags = self._tagged(members["ResourceArn"], caller.place)["Tags"]
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _tagged(self, resource: str, place: Place) -> Record:
        """Only groups are. Raises Fault."""
        name = resource.rpartition("/")[2]
        if resource != _arn(place, name):
            raise no_group(name)
        return self._catalog.group(place, name)

    async def _tag(self, place: Place, record: Record, tags: dict[str, str]) -> None:
        record = {**record, "Tags": tags, "LastModificationDate": now()}
        await self._catalog.write(place, (GROUPS, record["Name"], "", record))


def _arn(place: Place, name: str) -> str:
    return arn(place, f"schedule-group/{name}")


def _shown(place: Place, record: Record) -> Members:
    names = ("Name", "CreationDate", "LastModificationDate")
    return {"Arn": _arn(place, record["Name"]), "State": "ACTIVE", **{name: record[name] for name in names}}
