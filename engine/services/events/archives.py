"""Archives keep what passes a bus; replays put it there again, for as many rules as they name."""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ... import wire
from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.folder import StoreError
from ...durable.queue import QueueFull
from ...durable.state import Record
from .archived import Archived, ArchivedEvents, Forget, Keep
from .catalog import ARCHIVES, REPLAYS, Catalog, arn, now, page, pattern_of, shown
from .faults import exists, invalid, missing

if TYPE_CHECKING:
    from .putting import Putting

RUNNING = 10  # replays at once
CHUNK = 100  # events between two notes of how far a replay is
SWEEP = 3600.0
_AGAIN = 1.0  # until what could not be put is tried again
_LIVE = ("STARTING", "RUNNING", "CANCELLING")
_CHANGED = ("Description", "EventPattern", "RetentionDays", "KmsKeyIdentifier")
Members = dict[str, Any]


class Archives:
    """`putting` is set before the first operation."""

    putting: Putting

    def __init__(self, catalog: Catalog, events: ArchivedEvents) -> None:
        self._catalog = catalog
        self._events = events
        self._replays: dict[tuple[Place, str], asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on with replays, and forget what is too old."""
        for place in self._catalog.places():
            state = self._catalog.state(place)
            for name in state.owners(REPLAYS):
                if (state.get(REPLAYS, name) or {}).get("State") in _LIVE:
                    self._run(place, name)
        self._sweeper = asyncio.ensure_future(self._sweep())

    def close(self) -> None:
        for task in [*self._replays.values(), *([self._sweeper] if self._sweeper else [])]:
            task.cancel()

    def keep(
        self, place: Place, names: Sequence[str], event: Mapping[str, Any], body: bytes
    ) -> asyncio.Future[int | None]:
        """Done once the archives of these names have the event."""
        entry = Archived(_seconds(event["time"]), event["id"], body)
        return self._events.commit([Keep(_key(place, name), entry) for name in names])

    async def create_archive(self, members: Members, caller: Caller) -> Members:
        name = members["ArchiveName"]
        bus = self._catalog.bus(members["EventSourceArn"], caller.place)
        if (pattern := members.get("EventPattern")) is not None:
            pattern_of(pattern)
        async with self._catalog.changes.lock:
            if self._catalog.state(caller.place).get(ARCHIVES, name) is not None:
                raise exists(f"Archive {name} already exists.")
            record = {
                "ArchiveName": name, "EventSourceArn": bus.arn, "State": "ENABLED", "CreationTime": now(),
                "RetentionDays": members.get("RetentionDays") or 0,
                **shown(members, "Description", "EventPattern", "KmsKeyIdentifier"),
            }  # fmt: skip
            await self._catalog.write(caller.place, (ARCHIVES, name, "", record))
        return self._made(caller.place, record)

    async def update_archive(self, members: Members, caller: Caller) -> Members:
        if all(members.get(name) is None for name in _CHANGED):
            raise invalid("At least one of EventPattern, RetentionDays or Description must be provided.")
        if (pattern := members.get("EventPattern")) is not None:
            pattern_of(pattern)
        async with self._catalog.changes.lock:
            given = shown(members, *_CHANGED)
            record = {**self._archive(members["ArchiveName"], caller.place), **given}
            await self._catalog.write(caller.place, (ARCHIVES, record["ArchiveName"], "", record))
        return self._made(caller.place, record)

    async def delete_archive(self, members: Members, caller: Caller) -> Members:
        name = members["ArchiveName"]
        async with self._catalog.changes.lock:
            self._archive(name, caller.place)
            await self._catalog.write(caller.place, (ARCHIVES, name, "", None))
        await self._events.commit([Forget(_key(caller.place, name))])
        return {}

    async def describe_archive(self, members: Members, caller: Caller) -> Members:
        record = self._archive(members["ArchiveName"], caller.place)
        size, count = await self._events.size(_key(caller.place, record["ArchiveName"]))
        made = arn(caller.place, f"archive/{record['ArchiveName']}")
        return {**record, "ArchiveArn": made, "SizeBytes": size, "EventCount": count}

    async def list_archives(self, members: Members, caller: Caller) -> Members:
        _check_filters("ListArchives", members)
        state = self._catalog.state(caller.place)
        found = {name: state.get(ARCHIVES, name) or {} for name in state.owners(ARCHIVES)}
        names, token = page(
            [name for name in found if _is(found[name], members, "EventSourceArn", "State")], members
        )
        archives = []
        for name in names:
            size, count = await self._events.size(_key(caller.place, name))
            record = shown(
                found[name], "ArchiveName", "EventSourceArn", "State", "RetentionDays", "CreationTime"
            )
            archives.append({**record, "SizeBytes": size, "EventCount": count})
        return {"Archives": archives, "NextToken": token}

    def _archive(self, name: str, place: Place) -> Record:
        record = self._catalog.state(place).get(ARCHIVES, name)
        if record is None:
            raise missing(f"Archive {name} does not exist.")
        return record

    def _made(self, place: Place, record: Record) -> Members:
        made = arn(place, f"archive/{record['ArchiveName']}")
        return {"ArchiveArn": made, **shown(record, "State", "CreationTime")}

    async def _sweep(self) -> None:
        while True:
            steps = []
            for place in self._catalog.places():
                state = self._catalog.state(place)
                for name in state.owners(ARCHIVES):
                    if days := (state.get(ARCHIVES, name) or {}).get("RetentionDays"):
                        steps.append(Forget(_key(place, name), int(time.time()) - days * 86_400))
            if steps:
                with contextlib.suppress(StoreError):  # once more in an hour
                    await self._events.commit(steps)
            await asyncio.sleep(SWEEP)

    # Replays.

    async def start_replay(self, members: Members, caller: Caller) -> Members:
        name, source, destination = (
            members["ReplayName"],
            members["EventSourceArn"],
            members["Destination"]["Arn"],
        )
        begin, end = members["EventStartTime"], members["EventEndTime"]
        if ":event-bus/" not in destination:
            raise invalid("Parameter Destination.Arn is not valid. Reason: Must contain an event bus ARN.")
        self._catalog.bus(destination, caller.place)
        if (archive := self._catalog.state(caller.place).get(ARCHIVES, source.rpartition("/")[2])) is None:
            text = f"Reason: Archive {source.rpartition('/')[2]} does not exist."
            raise invalid(f"Parameter EventSourceArn is not valid. {text}")
        if archive["EventSourceArn"] != destination:
            text = "Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted."
            raise invalid(text)
        if begin >= end:
            text = "Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime."
            raise invalid(text)
        async with self._catalog.changes.lock:
            state = self._catalog.state(caller.place)
            if state.get(REPLAYS, name) is not None:
                raise exists(f"Replay {name} already exists.")
            if (
                sum((state.get(REPLAYS, each) or {}).get("State") in _LIVE for each in state.owners(REPLAYS))
                >= RUNNING
            ):
                raise Fault("LimitExceededException", f"There are {RUNNING} replays already.")
            record = {
                "ReplayName": name, "EventSourceArn": source, "Destination": members["Destination"],
                "EventStartTime": begin, "EventEndTime": end, "ReplayStartTime": now(), "State": "STARTING",
                "_after": [math.ceil(begin) - 1, "\U0010ffff"], **shown(members, "Description"),
            }  # fmt: skip
            await self._catalog.write(caller.place, (REPLAYS, name, "", record))
        self._run(caller.place, name)
        made = arn(caller.place, f"replay/{name}")
        return {"ReplayArn": made, **shown(record, "State", "ReplayStartTime")}

    async def cancel_replay(self, members: Members, caller: Caller) -> Members:
        async with self._catalog.changes.lock:
            record = self._replay(members["ReplayName"], caller.place)
            if record["State"] not in ("STARTING", "RUNNING"):
                text = f"Replay {record['ReplayName']} is not in a valid state for this operation."
                raise Fault("IllegalStatusException", text)
            await self._note(caller.place, {**record, "State": "CANCELLING"})
        made = arn(caller.place, f"replay/{record['ReplayName']}")
        return {"ReplayArn": made, "State": "CANCELLING"}

    async def describe_replay(self, members: Members, caller: Caller) -> Members:
        record = self._replay(members["ReplayName"], caller.place)
        return {"ReplayArn": arn(caller.place, f"replay/{record['ReplayName']}"), **record}

    async def list_replays(self, members: Members, caller: Caller) -> Members:
        _check_filters("ListReplays", members)
        state = self._catalog.state(caller.place)
        found = {name: state.get(REPLAYS, name) or {} for name in state.owners(REPLAYS)}
        names, token = page(
            [name for name in found if _is(found[name], members, "EventSourceArn", "State")], members
        )
        return {"Replays": [found[name] for name in names], "NextToken": token}

    def _replay(self, name: str, place: Place) -> Record:
        record = self._catalog.state(place).get(REPLAYS, name)
        if record is None:
            raise missing(f"Replay {name} does not exist.")
        return record

    async def _note(self, place: Place, record: Record) -> None:
        await self._catalog.write(place, (REPLAYS, record["ReplayName"], "", record))

    def _run(self, place: Place, name: str) -> None:
        task = asyncio.ensure_future(self._go(place, name))
        self._replays[place, name] = task
        task.add_done_callback(lambda _: self._replays.pop((place, name), None))

    async def _go(self, place: Place, name: str) -> None:
        """From where it is to its end. What it put and did not note when the server died is put again."""
        while True:
            try:
                if await self._chunk(place, name):
                    return
            except (QueueFull, StoreError, Fault):
                await asyncio.sleep(_AGAIN)

    async def _chunk(self, place: Place, name: str) -> bool:
        """Was it the last?"""
        record = self._replay(name, place)
        if record["State"] == "CANCELLING":
            async with self._catalog.changes.lock:
                await self._note(place, {**record, "State": "CANCELLED", "ReplayEndTime": now()})
            return True
        archive = _key(place, record["EventSourceArn"].rpartition("/")[2])
        at, id = record["_after"]
        until = math.ceil(record["EventEndTime"])
        found = await self._events.after(archive, at, id, until, CHUNK)
        bus = self._catalog.bus(record["Destination"]["Arn"], place)
        filters = record["Destination"].get("FilterArns")
        only = frozenset(filters) if filters else None
        for each in found:
            await self.putting.put(bus, {**wire.decode(each.value), "replay-name": name}, only=only)
        async with self._catalog.changes.lock:
            record = {**self._replay(name, place)}
            if found:
                record |= {
                    "_after": [found[-1].at, found[-1].id],
                    "EventLastReplayedTime": float(found[-1].at),
                }
            if len(found) < CHUNK and record["State"] != "CANCELLING":
                record |= {"State": "COMPLETED", "ReplayEndTime": now()}
            elif record["State"] == "STARTING":
                record["State"] = "RUNNING"
            await self._note(place, record)
        return bool(record["State"] == "COMPLETED")


def _check_filters(operation: str, members: Mapping[str, Any]) -> None:
    if sum(bool(members.get(name)) for name in ("State", "EventSourceArn", "NamePrefix")) > 1:
        text = "Use either : State, EventSourceArn, or NamePrefix."
        raise invalid(f"At most one filter is allowed for {operation}. {text}")


def _key(place: Place, name: str) -> str:
    return f"{place.partition}/{name}"


def _is(record: Mapping[str, Any], members: Mapping[str, Any], *names: str) -> bool:
    return all(members.get(name) in (None, record.get(name)) for name in names)


def _seconds(iso: str) -> int:
    return calendar.timegm(time.strptime(iso, "%Y-%m-%dT%H:%M:%SZ"))
