"""What pages show live: computed once a second for all of them together, only while somebody watches, and sent as what
changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ..aws.names import Place
from ..durable.state import Change
from ..hosting.placements import Hosting, Placement
from ..observe.counters import Counters
from ..observe.mappings import MappingCounters
from ..observe.outcomes import Outcomes
from ..services.sqs.queues import TABLE as QUEUES
from ..services.sqs.queues import Catalog
from ..sources.settings import TABLE as MAPPINGS
from .happened import Happened, Recent, percentiles
from .listing import Functions, Listed, mappings, queues
from .stream import Stream, event
from .tailing import Tailing

EVERY = 1.0  # seconds
DEEP = 200  # queues whose depths are looked at in one second
_FUNCTIONS = frozenset({"function", "alias", "concurrency", "url"})
Members = dict[str, Any]


class Feed:
    """Belongs to the event loop.

    Events: `snapshot` is everything, once; `frame` what changed since the one before, with `functions`, rows of
    [id, invocations, errors, throttles, cold starts, p50, p99 in microseconds, running], of those that did
    something or run; `queues`, rows of [name, ready, in flight, delayed]; `mappings`, rows of [uuid, counts and
    gauges]; `lists`: what was listed anew, since records changed. `logs`: events of the log group that the
    page follows."""

    def __init__(
        self,
        hosting: Hosting,
        outcomes: Outcomes,
        counters: Counters,
        mapped: MappingCounters,
        catalog: Catalog,
        tailing: Tailing,
        transport: Callable[[], dict[str, int]],
    ) -> None:
        self._hosting, self._outcomes, self._counters = hosting, outcomes, counters
        self._mapped, self._catalog, self._tailing, self._transport = mapped, catalog, tailing, transport
        self._streams: dict[str, Stream] = {}
        self._recent = Recent()
        self._scenes: dict[Place, _Scene] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._at = 0.0
        hosting.watchers.append(self._changed)

    async def serve(self, place: Place, owner: object) -> AsyncGenerator[bytes, None]:
        """A page's stream. It is there once its first piece is asked for, until the page leaves."""
        async with contextlib.aclosing(self.pieces(self.watch(place, owner))) as pieces:
            async for piece in pieces:
                yield piece

    def watch(self, place: Place, owner: object) -> Stream:
        """A new stream, of which `pieces` is to be sent."""
        stream = Stream(place, owner)
        self._streams[stream.id] = stream
        if self._ticking is None:
            self._outcomes.flush()
            self._outcomes.subscribe(self._recent)
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        return stream

    async def pieces(self, stream: Stream) -> AsyncGenerator[bytes, None]:
        """Until the page leaves."""
        try:
            async for piece in stream.pieces():
                yield piece
        finally:
            self._leave(stream)

    def follow(self, id: str, owner: object, group: str) -> bool:
        """The stream has this log group's events from now on; "": none. False: the owner has no such
        stream."""
        stream = self._streams.get(id)
        if stream is None or stream.owner != owner:
            return False
        self._tailing.stop(stream)
        stream.group = group
        return True

    def close(self) -> None:
        for stream in list(self._streams.values()):
            stream.end()

    def _leave(self, stream: Stream) -> None:
        self._tailing.stop(stream)
        self._streams.pop(stream.id, None)
        if not self._streams and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            self._outcomes.unsubscribe(self._recent)
            self._recent.taken()
            self._scenes.clear()

    def _changed(self, placement: Placement, change: Change) -> None:
        scene = self._scenes.get(placement.place)
        if scene is not None:
            scene.changed(change)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._at = time.time()
        next_at = loop.time()
        while True:
            try:
                self._look()
                await self._tailing.look(list(self._streams.values()))
            except Exception as error:  # the next second is another one
                loop.call_exception_handler({"message": "the console's feed failed", "exception": error})
            next_at = max(next_at + EVERY, loop.time() + EVERY / 2)
            await asyncio.sleep(next_at - loop.time())

    def _look(self) -> None:
        self._outcomes.flush()  # so that counts and what happened are of the same invocations
        now = time.time()
        seconds, self._at = now - self._at, now
        happened = self._recent.taken()
        watched: dict[Place, list[Stream]] = {}
        for stream in self._streams.values():
            watched.setdefault(stream.place, []).append(stream)
        self._scenes = {place: each for place, each in self._scenes.items() if place in watched}
        for place, streams in watched.items():
            scene = self._scenes.get(place)
            if scene is None:
                scene = self._scenes[place] = _Scene(self._hosting.of(place), self._catalog)
            frame: bytes | None = None
            whole: bytes | None = None
            made = scene.frame(happened.get(place, []), self._mapped.read())
            made |= {"at": round(now, 3), "seconds": round(seconds, 3), **self._transport()}
            for stream in streams:
                if stream.fresh:
                    stream.fresh = False
                    whole = whole or event("snapshot", {**made, **scene.whole(self._counters.read())})
                    stream.send(whole)
                else:
                    frame = frame or event("frame", made)
                    stream.send(frame)


class _Scene:
    """What the pages of a place have."""

    def __init__(self, placement: Placement, catalog: Catalog) -> None:
        self._placement, self._catalog = placement, catalog
        self._functions = Functions(placement)
        self._stale: set[str] = set()
        self._running: dict[str, int] = {}
        self._depths: dict[str, list[Any]] = {}
        self._counts: dict[str, dict[str, float]] = {}
        self._turn = 0

    def changed(self, change: Change) -> None:
        for table, *_ in change.steps:
            if table in _FUNCTIONS:
                self._stale.add("functions")
            elif table in (QUEUES, MAPPINGS):
                self._stale.add("queues" if table == QUEUES else "mappings")

    def frame(self, happened: list[Happened], counted: dict[str, dict[str, float]]) -> Members:
        lists = self._lists(self._stale)
        self._stale = set()
        made: Members = {"functions": self._active(happened)}
        every = sorted([took for each in happened for took in each.took])
        made["all"] = percentiles(every) if every else (0, 0)
        if depths := self._deep():
            made["queues"] = depths
        if counts := self._mappings(counted):
            made["mappings"] = counts
        if lists:
            made["lists"] = lists
        return made

    def whole(self, counters: dict[str, Members]) -> Members:
        """What a frame has that was not sent before."""
        return {
            "lists": self._lists({"functions", "queues", "mappings"}),
            "totals": self._functions.totals(counters),
            "running": [[self._functions.id(name), number] for name, number in self._running.items()],
            "queues": list(self._depths.values()),
            "mappings": list(self._counts.items()),
        }

    def _lists(self, which: set[str]) -> Members:
        place, state = self._placement.place, self._placement.state
        made: Members = {}
        if "functions" in which:
            made["functions"] = self._functions.listed()
        if "queues" in which:
            made["queues"] = queues(self._catalog, place)
        if "mappings" in which:
            made["mappings"] = mappings(state)
        return made

    def _active(self, happened: list[Happened]) -> Listed:
        running = {each.name: each.in_flight for each in self._placement.invoker.running()}
        before, self._running = self._running, running
        rows: dict[str, list[Any]] = {}
        id_of = self._functions.id
        for each in happened:
            name, took = each.name, each.took
            if (row := rows.get(name)) is not None:  # another version of it
                took = [*row.pop(), *took]
            took.sort()
            p50, p99 = percentiles(took) if took else (0, 0)
            counts = [each.errors, each.throttles, each.cold]
            if row is not None:
                counts = [a + b for a, b in zip(counts, row[2:5], strict=True)]
            rows[name] = [id_of(name), len(took), *counts, p50, p99, running.get(name, 0), took]
        for row in rows.values():
            row.pop()
        changed = list(rows.values())
        if running or before:
            for name in running.keys() | before.keys():
                if name not in rows and running.get(name, 0) != before.get(name, 0):
                    changed.append([id_of(name), 0, 0, 0, 0, 0, 0, running.get(name, 0)])
        return changed

    def _deep(self) -> Listed:
        """The depths that changed."""
        place = self._placement.place
        names = self._catalog.names(place)
        if len(names) > DEEP:
            self._turn = (self._turn + DEEP) % len(names)
            names = (names[self._turn :] + names)[:DEEP]
        changed: Listed = []
        for name in names:
            queue = self._catalog.get(place, name)
            if queue is None:
                continue
            counts = [self._catalog.rows.counts(line) for line in queue.messages.lines()]
            row = [
                name,
                sum(each.ready for each in counts),
                sum(each.leased for each in counts),
                sum(each.delayed for each in counts),
            ]
            if self._depths.get(name) != row:
                self._depths[name] = row
                changed.append(row)
        for name in self._depths.keys() - set(self._catalog.names(place)):
            del self._depths[name]
        return changed

    def _mappings(self, counted: dict[str, dict[str, float]]) -> list[tuple[str, dict[str, float]]]:
        place = self._placement.place
        head = f"arn:aws:lambda:{place.region}:{place.account}:"
        changed = []
        for arn, counts in counted.items():
            if not arn.startswith(head):
                continue
            uuid = arn.rpartition(":")[2]
            if self._counts.get(uuid) != counts:
                self._counts[uuid] = counts
                changed.append((uuid, counts))
        return changed
