"""Alarms and their history, of every place: records."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...aws.names import Place
from ...durable.changes import Changes, Step
from ...durable.state import Record, State, States

ALARMS, HISTORY = "cloudwatch-alarms", "cloudwatch-history"
METRIC, COMPOSITE = "MetricAlarm", "CompositeAlarm"
ITEMS = 200  # of an alarm's history
KEPT = 30 * 86_400.0  # seconds that an item is kept


class Key(NamedTuple):
    """Names an alarm."""

    place: Place
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:cloudwatch:{self.place.region}:{self.place.account}:alarm:{self.name}"


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self.changes = changes
        self._states = states
        self._numbers = itertools.count()

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    def find(self, key: Key) -> Record | None:
        return self.state(key.place).get(ALARMS, key.name)

    def names(self, place: Place) -> list[str]:
        return self.state(place).owners(ALARMS)

    def all(self) -> Iterator[tuple[Key, Record]]:
        for state in self._states.all():
            place = Place.of(state.partition)
            for name in state.owners(ALARMS):
                record = state.get(ALARMS, name)
                if record is not None:
                    yield Key(place, name), record

    async def write(self, place: Place, *steps: Step) -> None:
        """Under `changes.lock`. Raises StoreError."""
        await self.changes.write(self.state(place), *steps)

    def history(self, place: Place, name: str) -> Mapping[str, Record]:
        return self.state(place).owned(HISTORY, name)

    def historians(self, place: Place) -> list[str]:
        """The alarms that have a history, those that are no more, too."""
        return self.state(place).owners(HISTORY)

    async def sweep(self) -> None:
        """Items that are old enough go, those of alarms that are no more, too. Raises StoreError."""
        before = now() - KEPT
        for state in self._states.all():
            steps: list[Step] = [
                (HISTORY, name, id, None)
                for name in state.owners(HISTORY)
                for id, item in state.owned(HISTORY, name).items()
                if item["Timestamp"] < before
            ]
            if steps:
                async with self.changes.lock:
                    await self.changes.write(state, *steps)

    def noted(self, key: Key, kind: str, type: str, summary: str, data: str) -> list[Step]:
        """The steps that add an item to an alarm's history, and take old ones out."""
        at = now()
        item: Record = {
            "AlarmName": key.name, "AlarmType": kind, "Timestamp": at, "HistoryItemType": type,
            "HistorySummary": summary[:255], "HistoryData": data[:4095],
        }  # fmt: skip
        items = self.history(key.place, key.name)
        old = sorted(id for id, each in items.items() if each["Timestamp"] < at - KEPT)
        rest = sorted(set(items) - set(old))
        old += rest[: max(0, len(rest) + 1 - ITEMS)]
        id = f"{int(at * 1e6):020d}-{next(self._numbers):06d}"
        return [(HISTORY, key.name, id, item), *((HISTORY, key.name, each, None) for each in old)]


def now() -> float:
    return round(time.time(), 3)


def kind_of(record: Mapping[str, Any]) -> str:
    return COMPOSITE if "AlarmRule" in record else METRIC
