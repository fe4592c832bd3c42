"""Schedules and their groups, of every place: records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...aws.names import Place
from ...durable.changes import Changes, Step
from ...durable.state import Record, State, States
from .faults import no_group, no_schedule

GROUPS, SCHEDULES = "scheduler-groups", "scheduler-schedules"
PROGRESS = "scheduler-progress"  # how far each schedule has come, as invoking.py writes it
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Key:
    """Names a schedule."""

    place: Place
    group: str
    name: str

    @property
    def arn(self) -> str:
        return arn(self.place, f"schedule/{self.group}/{self.name}")


def arn(place: Place, resource: str) -> str:
    return f"arn:aws:scheduler:{place.region}:{place.account}:{resource}"


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self.changes = changes
        self._states = states
        self._start = now()

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    async def write(self, place: Place, *steps: Step) -> None:
        """Under `changes.lock`. Raises StoreError."""
        await self.changes.write(self.state(place), *steps)

    def group(self, place: Place, name: str) -> Record:
        """The default group of a place is always there. Raises Fault."""
        record = self.state(place).get(GROUPS, name)
        if record is None:
            if name != DEFAULT:
                raise no_group(name)
            record = {
                "Name": DEFAULT,
                "CreationDate": self._start,
                "LastModificationDate": self._start,
                "Tags": {},
            }
        return record

    def groups(self, place: Place) -> list[str]:
        return sorted({DEFAULT, *self.state(place).owners(GROUPS)})

    def schedule(self, key: Key) -> Record:
        """Raises Fault."""
        record = self.find(key)
        if record is None:
            self.group(key.place, key.group)
            raise no_schedule(key.name)
        return record

    def find(self, key: Key) -> Record | None:
        return self.state(key.place).get(SCHEDULES, key.group, key.name)

    def schedules(self, place: Place, group: str) -> Mapping[str, Record]:
        return self.state(place).owned(SCHEDULES, group)

    def all(self) -> Iterator[tuple[Key, Record]]:
        for state in self._states.all():
            place = Place.of(state.partition)
            for group in state.owners(SCHEDULES):
                for name, record in state.owned(SCHEDULES, group).items():
                    yield Key(place, group, name), record


def gone(key: Key) -> tuple[Step, Step]:
    """The steps that delete a schedule."""
    return (SCHEDULES, key.group, key.name, None), (PROGRESS, key.group, key.name, None)


def page(names: list[str], members: Mapping[str, Any], start: str) -> tuple[list[str], str | None]:
    """Of names in order, those behind `start`, at most MaxResults of them; and the next token."""
    limit = members.get("MaxResults") or 100
    found = [name for name in names if name > start][: limit + 1]
    return found[:limit], (found[limit - 1] if len(found) > limit else None)


def now() -> float:
    return round(time.time(), 3)
