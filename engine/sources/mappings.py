"""All mappings of a server: each enabled one has a consumer, which follows its record and its function.

A record whose state is on its way (Creating, Updating, Disabling …) is where it goes once the consumer has taken it:
one that was changed, disabled or deleted first settles the batches in flight. The control plane asks (`reached`), and
is called (`settle`) when there is something to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..aws.clients import Clients
from ..aws.names import Place
from ..durable.changes import Changes
from ..durable.folder import StoreError
from ..durable.state import Change, Record, State
from ..hosting.placements import Hosting, Placement
from ..observe.mappings import MappingCounters
from ..routing.grammar import InvalidPattern
from ..services.sqs.service import Sqs
from . import checks, words
from .consumers import CONSUMERS, Services
from .failures import Failures
from .function import DeployedFunction
from .settings import TABLE, Settings, acts_as
from .source import Consumer
from .status import Status
from .streams.records import GivenUp

PROGRESS = "event-source-progress"  # by UUID: under "" the last result, under a shard's id how far it is
_SAVED = 1.0  # seconds between two times that a mapping's last result is written


class _Kept:
    """One mapping."""

    def __init__(self, placement: Placement, status: Status) -> None:
        self.placement = placement
        self.status = status
        self.record: Record | None = None  # that it follows
        self.consumer: Consumer | None = None
        self.task: asyncio.Task[None] | None = None
        self.name = ""  # its function's
        self.saving: asyncio.TimerHandle | None = None


class _Progress:
    """One mapping's, as its consumer has it."""

    def __init__(self, state: State, settings: Settings, changes: Changes, failures: Failures) -> None:
        self._state, self._settings, self._changes, self._failures = state, settings, changes, failures

    def saved(self) -> Mapping[str, Record]:
        return self._state.owned(PROGRESS, self._settings.uuid)

    async def write(self, records: Mapping[str, Record | None]) -> None:
        uuid = self._settings.uuid
        steps = ((PROGRESS, uuid, id, record) for id, record in records.items())
        await self._changes.write(self._state, *steps)

    async def report(self, shard: str, batch_info: str, given: GivenUp) -> None:
        settings = self._settings
        if settings.destination:
            arn = settings.place.arn(f"event-source-mapping:{settings.uuid}")
            await self._failures.put(settings, arn, shard, batch_info, given)


class Mappings:
    """Belongs to the event loop, but for what the control plane asks: `check`, `reached` and `progress`."""

    def __init__(
        self,
        hosting: Hosting,
        clients: Clients,
        sqs: Sqs,
        changes: Changes,
        failures: Failures,
        counters: MappingCounters,
        workers: int,
        settle: Callable[[Place], object],
    ) -> None:
        """workers: of one version at most. settle: has the control plane of a place ask again. changes: its writer,
        closed after it."""
        self._loop = asyncio.get_running_loop()
        self._hosting = hosting
        self._services = Services(clients, sqs)
        self._counters = counters
        self._workers = workers
        self._settle = settle
        self._changes = changes
        self._failures = failures
        self._kept: dict[str, _Kept] = {}
        self._reached: dict[str, Record] = {}
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Go on with what is enabled."""
        self._hosting.watchers.append(self._changed)
        for placement in self._hosting.all():
            for uuid in placement.state.owners(TABLE):
                self._follow(placement, uuid)

    def close(self) -> None:
        """Poll no more. What is in flight may still end, and be settled."""
        self._closed = True
        for kept in self._kept.values():
            if kept.consumer is not None:
                kept.consumer.close()
            if kept.saving is not None:
                kept.saving.cancel()

    # What the control plane asks, in its thread.

    def check(self, kind: str, source: str, timeout: int) -> None:
        """Raises Fault for a source that AWS would refuse for a function with this timeout."""
        checking = checks.check(self._services.clients, kind, source, timeout)
        asyncio.run_coroutine_threadsafe(checking, self._loop).result()

    def reached(self, record: Record) -> bool:
        """Is what it asks for done?"""
        if record["_kind"] not in CONSUMERS:
            return True
        with self._lock:
            return self._reached.get(record["UUID"]) is record

    def progress(self, record: Record) -> Mapping[str, Any]:
        """Members that change by themselves."""
        kept = self._kept.get(record["UUID"])
        if kept is None:
            return {}
        result = kept.status.result
        shown = record["_kind"] != "sqs" or result.startswith("PROBLEM")  # AWS shows none of a queue's
        return {"LastProcessingResult": result} if shown else {}

    # Following records.

    def _changed(self, placement: Placement, change: Change) -> None:
        touched = set()
        for table, owner, _, _ in change.steps:
            if table == TABLE:
                self._follow(placement, owner)
            elif table in ("function", "alias", "concurrency"):
                touched.add(owner)
        for kept in self._kept.values() if touched else ():
            if kept.placement is placement and kept.name in touched and kept.consumer is not None:
                kept.consumer.nudge()

    def _follow(self, placement: Placement, uuid: str) -> None:
        record = placement.state.get(TABLE, uuid)
        kept = self._kept.get(uuid)
        if kept is None:
            if record is None or record["_kind"] not in CONSUMERS:
                return
            saved = placement.state.get(PROGRESS, uuid) or {}
            status = Status(
                record["EventSourceMappingArn"], self._counters, saved.get("LastProcessingResult", ""),
                lambda: self._save(uuid),
            )  # fmt: skip
            kept = self._kept[uuid] = _Kept(placement, status)
        if kept.task is None and not self._closed:
            kept.task = self._loop.create_task(self._keep_up(uuid, kept))

    async def _keep_up(self, uuid: str, kept: _Kept) -> None:
        """Until the consumer does what the record says."""
        state = kept.placement.state
        try:
            while not self._closed:
                record = state.get(TABLE, uuid)
                if record is kept.record and record is not None:
                    return
                await self._take(record, kept)
                kept.record = record
                if record is None:
                    await self._forget(uuid, kept)
                    return
                with self._lock:
                    self._reached[uuid] = record
                self._settle(kept.placement.place)
        except Exception as error:  # it is this mapping's alone
            kept.status.say(words.INTERNAL)
            self._loop.call_exception_handler({"message": f"the mapping {uuid} failed", "exception": error})
        finally:
            kept.task = None

    async def _take(self, record: Record | None, kept: _Kept) -> None:
        active = record is not None and record["_enabled"] and record["State"] != "Deleting"
        before = kept.record
        if active and kept.consumer is not None and before is not None and acts_as(before, record or {}):
            return
        if kept.consumer is not None:
            consumer, kept.consumer = kept.consumer, None
            await consumer.stop()
        if not active or self._closed:
            return
        assert record is not None
        try:
            settings = Settings.of(kept.placement.place, record)
        except InvalidPattern:  # an earlier version of ours took it
            kept.status.say(words.INTERNAL)
            return
        kept.name = settings.function
        kept.consumer = self._consumer(settings, kept)
        await kept.consumer.start()

    def _consumer(self, settings: Settings, kept: _Kept) -> Consumer:
        function = DeployedFunction(kept.placement, settings, self._workers)
        progress = _Progress(kept.placement.state, settings, self._changes, self._failures)
        return CONSUMERS[settings.kind](settings, self._services, function, kept.status, progress)

    async def _forget(self, uuid: str, kept: _Kept) -> None:
        self._kept.pop(uuid, None)
        with self._lock:
            reached = self._reached.pop(uuid, None)
        if kept.saving is not None:
            kept.saving.cancel()
        if reached is not None:
            self._counters.forget(reached["EventSourceMappingArn"])
        steps = [(PROGRESS, uuid, id, None) for id in kept.placement.state.owned(PROGRESS, uuid)]
        if steps:
            with contextlib.suppress(StoreError):  # it names no mapping: nothing reads it
                await self._changes.write(kept.placement.state, *steps)

    # Its last result, on the disk.

    def _save(self, uuid: str) -> None:
        kept = self._kept.get(uuid)
        if kept is not None and kept.saving is None and not self._closed:
            kept.saving = self._loop.call_later(_SAVED, self._write, uuid, kept)

    def _write(self, uuid: str, kept: _Kept) -> None:
        kept.saving = None
        if self._kept.get(uuid) is not kept:
            return
        record = {"LastProcessingResult": kept.status.result}
        task = self._loop.create_task(self._changes.write(kept.placement.state, (PROGRESS, uuid, "", record)))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
