"""The operations on pipes, and their states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...aws.service import Caller
from ...durable.state import Record
from .catalog import Catalog, Key, now
from .checks import SOURCES, check, kind_of_source, with_defaults
from .faults import conflict, full, invalid, no_pipe

MOST = 1000  # of a region and account
PENDING = ("CREATING", "UPDATING", "STARTING", "STOPPING", "DELETING")
_SUMMARY = (
    "Name", "Arn", "DesiredState", "CurrentState", "StateReason", "CreationTime", "LastModifiedTime", "Source",
    "Target", "Enrichment",
)  # fmt: skip
_CHANGED = ("Arn", "Name", "DesiredState", "CurrentState", "CreationTime", "LastModifiedTime")
_PLAIN = (
    "Description", "RoleArn", "Enrichment", "EnrichmentParameters", "Target", "TargetParameters", "LogConfiguration",
    "KmsKeyIdentifier",
)  # fmt: skip
_TAGS = 50
Members = dict[str, Any]


class PipeOperations:
    def __init__(
        self, catalog: Catalog, changed: Callable[[Key], object], reason: Callable[[Key], str]
    ) -> None:
        """changed: called after each change of a pipe; reason: what a running one has to complain of, or ""."""
        self._catalog = catalog
        self._changed = changed
        self._reason = reason

    async def create_pipe(self, members: Members, caller: Caller) -> Members:
        key, at = Key(caller.place, members["Name"]), now()
        source = members["Source"]
        given = members.get("SourceParameters") or {}
        record: Record = {
            "Name": key.name, "Arn": key.arn, "DesiredState": members.get("DesiredState") or "RUNNING",
            "CurrentState": "CREATING", "CreationTime": at, "LastModifiedTime": at, "Source": source,
            **{name: members[name] for name in _PLAIN if members.get(name)},
            "SourceParameters": with_defaults(kind_of_source(source, given), given),
            "Tags": members.get("Tags") or {},
        }  # fmt: skip
        check(record, key.place)
        async with self._catalog.changes.lock:
            if self._catalog.find(key) is not None:
                raise conflict(key.name, f"Pipe {key.name} already exists.")
            if len(self._catalog.names(key.place)) >= MOST:
                raise full(MOST)
            await self._catalog.write(key, record)
        self._changed(key)
        return _only(record, _CHANGED)

    async def update_pipe(self, members: Members, caller: Caller) -> Members:
        def updated(record: Record) -> Record:
            new = {**record, **{name: members[name] for name in _PLAIN if members.get(name) is not None}}
            given = dict(record["SourceParameters"])
            for name, value in (members.get("SourceParameters") or {}).items():
                given[name] = {**(given.get(name) or {}), **value} if name in SOURCES.values() else value
            new |= {"SourceParameters": given, "CurrentState": "UPDATING"}
            new["DesiredState"] = members.get("DesiredState") or record["DesiredState"]
            check(new, caller.place)
            return {name: value for name, value in new.items() if value not in ("", {}) or name == "Tags"}

        return await self._change(members, caller, updated)

    async def start_pipe(self, members: Members, caller: Caller) -> Members:
        return await self._change(members, caller, lambda record: _to(record, "STARTING", "RUNNING"))

    async def stop_pipe(self, members: Members, caller: Caller) -> Members:
        return await self._change(members, caller, lambda record: _to(record, "STOPPING", "STOPPED"))

    async def delete_pipe(self, members: Members, caller: Caller) -> Members:
        return await self._change(members, caller, lambda record: _to(record, "DELETING", "DELETED"))

    async def _change(self, members: Members, caller: Caller, change: Callable[[Record], Record]) -> Members:
        key = Key(caller.place, members["Name"])
        async with self._catalog.changes.lock:
            record = self._catalog.pipe(key)
            if record["CurrentState"] in PENDING:
                text = f"Pipe {key.name} is in state {record['CurrentState']} and cannot be changed."
                raise conflict(key.name, text)
            new = {**change(record), "LastModifiedTime": now()}
            new.pop("StateReason", None)
            await self._catalog.write(key, new)
        self._changed(key)
        return _only(new, _CHANGED)

    async def describe_pipe(self, members: Members, caller: Caller) -> Members:
        key = Key(caller.place, members["Name"])
        return self._shown(key, self._catalog.pipe(key))

    def _shown(self, key: Key, record: Record) -> Members:
        reason = self._reason(key) if record["CurrentState"] == "RUNNING" else ""
        return {**record, **({"StateReason": reason} if reason else {})}

    async def list_pipes(self, members: Members, caller: Caller) -> Members:
        limit, start = members.get("Limit") or 100, members.get("NextToken") or ""
        found: list[Members] = []
        for name in self._catalog.names(caller.place):
            key = Key(caller.place, name)
            record = self._catalog.find(key)
            if record is not None and name > start and _matches(record, members):
                found.append(_only(self._shown(key, record), _SUMMARY))
        token = found[limit - 1]["Name"] if len(found) > limit else None
        return {"Pipes": found[:limit], "NextToken": token}

    async def tag_resource(self, members: Members, caller: Caller) -> Members:
        await self._tag(members, caller, lambda tags: {**tags, **members["tags"]})
        return {}

    async def untag_resource(self, members: Members, caller: Caller) -> Members:
        gone = set(members["tagKeys"])
        await self._tag(
            members, caller, lambda tags: {key: value for key, value in tags.items() if key not in gone}
        )
        return {}

    async def list_tags_for_resource(self, members: Members, caller: Caller) -> Members:
        return {"tags": self._catalog.pipe(_tagged(members, caller))["Tags"]}

    async def _tag(
        self, members: Members, caller: Caller, change: Callable[[dict[str, str]], dict[str, str]]
    ) -> None:
        key = _tagged(members, caller)
        async with self._catalog.changes.lock:
            record = self._catalog.pipe(key)
            tags = change(record["Tags"])
            if len(tags) > _TAGS:
                raise invalid(f"The number of tags exceeds the maximum of {_TAGS}.")
            await self._catalog.write(key, {**record, "Tags": tags})
        self._changed(key)


def _tagged(members: Members, caller: Caller) -> Key:
    key = Key(caller.place, members["resourceArn"].rpartition("/")[2])
    if key.arn != members["resourceArn"]:
        raise no_pipe(key.name)
    return key


def _to(record: Record, state: str, desired: str) -> Record:
    """Raises Fault where it is so already."""
    if record["CurrentState"] == desired:
        raise conflict(record["Name"], f"Pipe {record['Name']} is already in state {desired}.")
    return {**record, "CurrentState": state, "DesiredState": desired}


def _matches(record: Record, members: Members) -> bool:
    prefixes = (("Name", "NamePrefix"), ("Source", "SourcePrefix"), ("Target", "TargetPrefix"))
    return all(record[name].startswith(members.get(prefix) or "") for name, prefix in prefixes) and all(
        members.get(state) in (None, record[state]) for state in ("DesiredState", "CurrentState")
    )


def _only(record: Members, names: tuple[str, ...]) -> Members:
    return {name: record[name] for name in names if record.get(name) is not None}
