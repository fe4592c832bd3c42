"""Stacks, their resources, events and change sets, of every place, as records."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...deploy.journal import Record
from ...deploy.program import Stack
from ...durable.changes import Changes, Step
from ...durable.state import State, States

STACKS, RESOURCES, EVENTS, CHANGE_SETS = "cfn-stacks", "cfn-resources", "cfn-events", "cfn-change-sets"
PAGE = 100  # stacks, resources or events of one response
DELETED = "DELETE_COMPLETE"
REVIEW = "REVIEW_IN_PROGRESS"
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", re.ASCII)
_ARN = re.compile(r"arn:aws[\w-]*:cloudformation:([a-z0-9-]+):(\d{12}):stack/([^/]+)/([^/]+)", re.ASCII)


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self._changes = changes
        self._states = states

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    async def write(self, place: Place, *steps: Step) -> None:
        """Raises StoreError."""
        await self._changes.write(self.state(place), *steps)

    def all(self) -> Iterator[tuple[Place, Record]]:
        for state in self._states.all():
            for record in self._stacks(state):
                yield Place.of(state.partition), record

    def stacks(self, place: Place) -> list[Record]:
        """Newest first, deleted ones too."""
        return sorted(self._stacks(self.state(place)), key=lambda record: -record["CreationTime"])

    def find(self, place: Place, name: str) -> Record | None:
        """By its name, a stack that is not deleted; by its id, any."""
        if found := _ARN.fullmatch(name):
            return self.state(place).get(STACKS, found[4])
        there = (each for each in self.stacks(place) if each["StackName"] == name)
        return next((each for each in there if each["StackStatus"] != DELETED), None)

    def stack(self, place: Place, name: str, text: str = "Stack with id {} does not exist") -> Record:
        """Raises Fault."""
        record = self.find(place, name)
        if record is None:
            raise Fault("ValidationError", text.format(name))
        return record

    def journal(self, place: Place, record: Record) -> StackJournal:
        return StackJournal(self, place, record)

    def resources(self, place: Place, record: Record) -> Mapping[str, Record]:
        return self.state(place).owned(RESOURCES, key(record))

    def events(self, place: Place, record: Record) -> list[Record]:
        """Newest first."""
        owned = self.state(place).owned(EVENTS, key(record))
        return [owned[id] for id in sorted(owned, reverse=True)]

    def change_sets(self, place: Place, record: Record) -> Mapping[str, Record]:
        return self.state(place).owned(CHANGE_SETS, key(record))

    def exports(self, place: Place) -> Iterator[tuple[str, str, Record]]:
        """Name, value and stack."""
        for record in self.stacks(place):
            if record["StackStatus"] != DELETED:
                for output in record.get("Outputs") or ():
                    if "ExportName" in output:
                        yield output["ExportName"], output["OutputValue"], record

    def importers(self, place: Place, name: str) -> list[str]:
        """The names of the stacks that import an export."""
        there = (each for each in self.stacks(place) if each["StackStatus"] != DELETED)
        return [each["StackName"] for each in there if name in (each.get("_imports") or ())]

    def _stacks(self, state: State) -> Iterator[Record]:
        return (record for owner in state.owners(STACKS) if (record := state.get(STACKS, owner)) is not None)


class StackJournal:
    """What a deployment of one stack is kept in."""

    def __init__(self, catalog: Catalog, place: Place, record: Record) -> None:
        self._catalog = catalog
        self._place = place
        self._key = key(record)
        self.stack = Stack(record["StackName"], record["StackId"], place)
        self._count = len(catalog.state(place).owned(EVENTS, self._key))

    @property
    def record(self) -> Record:
        record = self._catalog.state(self._place).get(STACKS, self._key)
        assert record is not None
        return record

    @property
    def resources(self) -> Mapping[str, Record]:
        return self._catalog.state(self._place).owned(RESOURCES, self._key)

    async def write(
        self, *, stack: Record | None = None, resources: Mapping[str, Record | None] | None = None,
        events: list[Record] | None = None,
    ) -> None:  # fmt: skip
        steps: list[Step] = []
        if stack is not None:
            steps.append((STACKS, self._key, "", stack))
        steps += [(RESOURCES, self._key, name, record) for name, record in (resources or {}).items()]
        for event in events or ():
            self._count += 1
            made = {
                **event, "StackId": self.stack.id, "StackName": self.stack.name, "EventId": str(uuid.uuid4()),
                "Timestamp": round(time.time(), 3),
            }  # fmt: skip
            steps.append((EVENTS, self._key, f"{self._count:09d}", made))
        if steps:
            await self._catalog.write(self._place, *steps)


def key(record: Record) -> str:
    """Of a stack: the last part of its id."""
    return str(record["StackId"]).rpartition("/")[2]


def public(record: Mapping[str, Any]) -> Record:
    """A record without our private members."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def new_id(place: Place, name: str, kind: str = "stack") -> str:
    return f"arn:aws:cloudformation:{place.region}:{place.account}:{kind}/{name}/{uuid.uuid4()}"


def check_name(name: str, member: str = "stackName") -> None:
    """Raises Fault."""
    if not _NAME.fullmatch(name):
        raise Fault(
            "ValidationError",
            f"1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
        )


def page(found: list[Any], members: Mapping[str, Any]) -> tuple[list[Any], str | None]:
    """From NextToken on, which is a number; and the next token."""
    token = members.get("NextToken") or "0"
    if not token.isdecimal():
        raise Fault("ValidationError", "The specified NextToken is not valid.")
    start = int(token)
    return found[start : start + PAGE], (str(start + PAGE) if len(found) > start + PAGE else None)
