"""Pipes of every place: records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...aws.names import Place
from ...durable.changes import Changes
from ...durable.state import Record, State, States
from .faults import no_pipe

PIPES = "pipes"


@dataclass(frozen=True, slots=True)
class Key:
    """Names a pipe."""

    place: Place
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:pipes:{self.place.region}:{self.place.account}:pipe/{self.name}"


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self.changes = changes
        self._states = states

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    def find(self, key: Key) -> Record | None:
        return self.state(key.place).get(PIPES, key.name)

    def pipe(self, key: Key) -> Record:
        """Raises Fault."""
        record = self.find(key)
        if record is None:
            raise no_pipe(key.name)
        return record

    def names(self, place: Place) -> list[str]:
        return self.state(place).owners(PIPES)

    def all(self) -> Iterator[Key]:
        for state in self._states.all():
            for name in state.owners(PIPES):
                yield Key(Place.of(state.partition), name)

    async def write(self, key: Key, record: Record | None) -> None:
        """Under `changes.lock`. Raises StoreError."""
        await self.changes.write(self.state(key.place), (PIPES, key.name, "", record))

    async def settle(self, key: Key, record: Record, changed: Mapping[str, str]) -> None:
        """What runs it has done what the record asks for: these members change, unless it is another record by now.
        None are left of one that was to be deleted."""
        async with self.changes.lock:
            if self.find(key) is record:
                gone = record["CurrentState"] == "DELETING"
                await self.write(key, None if gone else {**record, **changed})


def now() -> float:
    return round(time.time(), 3)
