"""What a server hosts, by region and account: each place has its own functions, routes and concurrency."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ..aws.names import LATEST, Place
from ..calls.reaper import Reaper
from ..durable.state import Change, State, States
from ..observe.outcomes import Outcomes
from ..observe.spans import Spans
from ..runtime import Runtime
from .deployments import Fleet
from .invoker import Invoker
from .layout import LaysOut
from .quota import Quota


@dataclass(frozen=True, slots=True)
class Placement:
    """One place's functions."""

    place: Place
    state: State
    fleet: Fleet
    invoker: Invoker


class Hosting:
    """Every place of a server. They share the engine and what is on the disk."""

    def __init__(
        self,
        states: States,
        runtime: Runtime,
        reaper: Reaper,
        layouts: LaysOut,
        outcomes: Outcomes,
        keep: float,
        loop: asyncio.AbstractEventLoop,
        spans: Spans | None = None,
        quota: Quota | None = None,
    ) -> None:
        """keep: seconds that a version stays up without an invocation. loop: the one that serves requests. spans: gets
        what is traced. quota: of a server of several processes."""
        self._quota = quota
        self.spans = spans
        self._states = states
        self._runtime = runtime
        self.reaper = reaper
        self._layouts = layouts
        self._outcomes = outcomes
        self._keep = keep
        self._placements: dict[Place, Placement] = {}
        # Called in the loop after each change, when invocations find what is now true.
        self.watchers: list[Callable[[Placement, Change], object]] = []
        self.tap_watchers: list[Callable[[Placement], object]] = []  # after each tap()
        self._making = threading.Lock()

        def watch(state: State, change: Change) -> None:
            loop.call_soon_threadsafe(self.changed, state, change)

        states.watchers.append(watch)

    def of(self, place: Place) -> Placement:
        """Made when it is first asked for, from any thread."""
        placement = self._placements.get(place)
        if placement is None:
            with self._making:
                placement = self._placements.get(place) or self._make(place)
        return placement

    def all(self) -> list[Placement]:
        """Of every place that has, or had, a record."""
        return [self.of(Place.of(state.partition)) for state in self._states.all()]

    def known(self) -> list[Placement]:
        """Of every place that was asked for."""
        return list(self._placements.values())

    def _make(self, place: Place) -> Placement:
        state = self._states.of(place.partition)
        every = self.spans is not None and self.spans.every
        fleet = Fleet(place, self._runtime, self.reaper, self._layouts, self._outcomes, self._keep, every)
        invoker = Invoker(state, place, fleet, spans=self.spans, quota=self._quota)
        made = self._placements[place] = Placement(place, state, fleet, invoker)
        return made

    def tap(self, placement: Placement, tap: Callable[[str, bytes], object] | None) -> None:
        """It gets the name and the event of each invocation there from now on; None: nobody does."""
        placement.invoker.tap = tap
        for watcher in self.tap_watchers:
            watcher(placement)

    def has(self, arn: str) -> bool:
        """Is there a function, or a version, of this ARN?"""
        region, account, _, name, *version = arn.split(":")[3:]
        state = self._states.of(Place(region, account).partition)
        return state.get("function", name, version[0] if version else LATEST) is not None

    def start(self) -> None:
        """At the server's start: what has provisioned concurrency is brought up."""
        for placement in self.all():
            placement.invoker.start()

    def sweep(self) -> None:
        """Now and then: end versions that had no invocation for long, forget functions that are no more."""
        for placement in list(self._placements.values()):
            placement.invoker.sweep()

    def changed(self, state: State, change: Change) -> None:
        """Invocations find what is now true. In the loop."""
        placement = self.of(Place.of(state.partition))
        placement.invoker.changed(change)
        for watcher in self.watchers:
            watcher(placement, change)
