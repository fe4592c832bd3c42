"""Buses and their rules, of every place: records, and of each bus its rules indexed together."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...aws.faults import Fault
from ...aws.names import Place
from ...durable.changes import Changes, Step
from ...durable.state import Record, State, States
from ...routing.grammar import InvalidPattern, parse
from ...routing.patterns import Pattern
from ...routing.rules import Rules
from .faults import no_bus, no_rule

BUSES, RULES, ARCHIVES, REPLAYS = "events-buses", "events-rules", "events-archives", "events-replays"
CONNECTIONS, DESTINATIONS = "events-connections", "events-destinations"
DEFAULT = "default"
_BUS_ARN = re.compile(
    r"arn:aws[\w-]*:events:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):event-bus/(?P<name>.+)"
)


@dataclass(frozen=True, slots=True)
class Bus:
    place: Place
    name: str

    @property
    def arn(self) -> str:
        return arn(self.place, f"event-bus/{self.name}")

    def rule(self, name: str) -> str:
        """A rule's ARN: the default bus is not named in it."""
        return arn(self.place, f"rule/{name}" if self.name == DEFAULT else f"rule/{self.name}/{name}")


@dataclass(frozen=True, slots=True)
class Matched:
    """What a bus's index knows rules and archives by."""

    kind: str  # RULES or ARCHIVES
    name: str


def arn(place: Place, resource: str) -> str:
    return f"arn:aws:events:{place.region}:{place.account}:{resource}"


def pattern_of(text: str) -> Pattern:
    """Raises Fault."""
    try:
        return parse(text)
    except InvalidPattern as error:
        raise Fault("InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}") from None


_parsed = lru_cache(16_384)(parse)  # a bus's index is made anew after a change: what did not change is there


class Catalog:
    """Belongs to one event loop."""

    def __init__(self, states: States, changes: Changes) -> None:
        self.changes = changes
        self._states = states
        self._indexes: dict[Bus, Rules[Matched]] = {}

    def state(self, place: Place) -> State:
        return self._states.of(place.partition)

    def places(self) -> list[Place]:
        return [Place.of(state.partition) for state in self._states.all()]

    async def write(self, place: Place, *steps: Step) -> None:
        """Under `changes.lock`. Raises StoreError."""
        await self.changes.write(self.state(place), *steps)
        for table, owner, _, _ in steps:
            if table == RULES:
                self._indexes.pop(Bus(place, owner), None)
            elif table == ARCHIVES:
                self._indexes.clear()

    def any_bus(self, named: str | None, place: Place) -> Bus:
        """By its name, or by its ARN in whatever place; None: the default one. Raises Fault: there is none."""
        found = _BUS_ARN.fullmatch(named or "")
        there = Place(found["region"], found["account"]) if found else place
        bus = Bus(there, found["name"] if found else named or DEFAULT)
        if there != place and not self._states.known(there.partition):
            raise no_bus(bus.name)
        if self.record(bus) is None:
            raise no_bus(bus.name)
        return bus

    def bus(self, named: str | None, place: Place) -> Bus:
        """One of this place. Raises Fault: there is none."""
        bus = self.any_bus(named, place)
        if bus.place != place:
            raise no_bus(bus.name)
        return bus

    def record(self, bus: Bus) -> Record | None:
        """The default bus of a place is always there."""
        record = self.state(bus.place).get(BUSES, bus.name)
        return record if record is not None or bus.name != DEFAULT else {"Name": DEFAULT}

    def buses(self, place: Place) -> list[Bus]:
        names = {DEFAULT, *self.state(place).owners(BUSES)}
        return [Bus(place, name) for name in sorted(names)]

    def rules(self, bus: Bus) -> Mapping[str, Record]:
        return self.state(bus.place).owned(RULES, bus.name)

    def rule(self, bus: Bus, name: str) -> Record:
        """Raises Fault."""
        record = self.rules(bus).get(name)
        if record is None:
            raise no_rule(name, bus.name)
        return record

    def archives(self, bus: Bus) -> Iterator[Record]:
        state = self.state(bus.place)
        for name in state.owners(ARCHIVES):
            record = state.get(ARCHIVES, name)
            if record is not None and record["EventSourceArn"] == bus.arn:
                yield record

    def index(self, bus: Bus) -> Rules[Matched]:
        """Its enabled rules and its archives, by their patterns."""
        index = self._indexes.get(bus)
        if index is None:
            found = [
                (Matched(RULES, name), _parsed(record["EventPattern"]))
                for name, record in self.rules(bus).items()
                if record.get("EventPattern") and record["State"] != "DISABLED"
            ]
            found += [
                (Matched(ARCHIVES, record["ArchiveName"]), _parsed(record.get("EventPattern") or "{}"))
                for record in self.archives(bus)
            ]
            index = self._indexes[bus] = Rules(found)
        return index


def page(
    names: list[str], members: Mapping[str, Any], prefix: str = "NamePrefix"
) -> tuple[list[str], str | None]:
    """Names in order, from NextToken on, at most Limit of them; and the next token."""
    start, text = members.get("NextToken") or "", members.get(prefix) or ""
    limit = members.get("Limit") or members.get("MaxResults") or 100
    found = sorted(name for name in names if name.startswith(text) and name > start)
    return found[:limit], (found[limit - 1] if len(found) > limit else None)


def now() -> float:
    return round(time.time(), 3)


def shown(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The members of a record that it has."""
    return {name: record[name] for name in names if record.get(name) is not None}
