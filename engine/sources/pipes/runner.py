"""All pipes of a server: each that is to run has a consumer, which follows its record.

A record whose state is on its way (CREATING, STOPPING …) is settled once the consumer has taken it: one that was
changed, stopped or deleted first settles the batches in flight. A pipe whose source is not there, or of a kind that is
not read here, has failed to be created, changed or started, and says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from ...aws.clients import Clients
from ...aws.faults import Fault
from ...aws.names import Place
from ...durable.changes import Changes
from ...durable.folder import StoreError
from ...durable.state import Change, Record, State
from ...hosting.placements import Hosting, Placement
from ...observe.mappings import MappingCounters
from ...observe.tally import Tally
from ...services.pipes.catalog import Catalog, Key
from ...services.pipes.checks import SMK
from ...services.pipes.operations import PENDING
from ...services.pipes.service import Pipes
from ...services.sqs.service import Sqs
from .. import checks, words
from ..consumers import CONSUMERS, Services
from ..failures import Failures
from ..function import DeployedFunction, Function
from ..settings import Settings
from ..source import Consumer
from ..status import Status
from ..streams.records import GivenUp
from .measuring import PipeMetrics
from .run import Run
from .settings import dead_letter, function_settings, read_as, settings_of
from .stages import Stages

PROGRESS = "pipes-progress"  # by name: under a shard's id how far it is
_AGAIN = 1.0  # seconds until a state that could not be written is tried again
_INVALID = "Input parameter is invalid from the request due to : "  # AWS's, of a source that cannot be read
# Members that make a pipe no other one.
_ABOUT = ("CurrentState", "StateReason", "LastModifiedTime", "Tags", "Description")
_FAILED = {"CREATING": "CREATE_FAILED", "UPDATING": "UPDATE_FAILED", "STARTING": "START_FAILED"}


class _Kept:
    """One pipe."""

    def __init__(self, status: Status) -> None:
        self.status = status
        self.record: Record | None = None  # that it follows
        self.consumer: Consumer | None = None
        self.run: Run | None = None
        self.task: asyncio.Task[None] | None = None


class _Progress:
    """One pipe's, as its consumer has it."""

    def __init__(
        self, key: Key, state: State, settings: Settings, changes: Changes, failures: Failures
    ) -> None:
        self._key, self._state, self._settings = key, state, settings
        self._changes, self._failures = changes, failures

    def saved(self) -> Mapping[str, Record]:
        return self._state.owned(PROGRESS, self._key.name)

    async def write(self, records: Mapping[str, Record | None]) -> None:
        steps = ((PROGRESS, self._key.name, id, record) for id, record in records.items())
        await self._changes.write(self._state, *steps)

    async def report(
        self, name: str, batch_info: str, info: Mapping[str, Any], given: GivenUp, event: bytes
    ) -> None:
        settings, count = self._settings, len(given.piece.records)
        if settings.destination:
            described = dead_letter(settings, batch_info, info, given, time.time())
            await self._failures.put(settings, name, described, event, count, self._key.arn)


class PipeRunner:
    """Belongs to the event loop."""

    def __init__(
        self, pipes: Pipes, hosting: Hosting, clients: Clients, sqs: Sqs, changes: Changes, failures: Failures,
        counters: MappingCounters, workers: int, stages: Stages, tally: Tally,
    ) -> None:  # fmt: skip
        """workers: of one version at most. changes: its writer, closed after it."""
        self._loop = asyncio.get_running_loop()
        self._catalog: Catalog = pipes.catalog
        self._hosting, self._services = hosting, Services(clients, sqs)
        self._changes, self._failures, self._counters = changes, failures, counters
        self._workers, self._stages, self._tally = workers, stages, tally
        self._kept: dict[Key, _Kept] = {}
        self._closed = False
        pipes.changed, pipes.reason = self.follow, self._reason

    def start(self) -> None:
        """Go on with what is there."""
        self._hosting.watchers.append(self._changed)
        for key in self._catalog.all():
            self.follow(key)

    def close(self) -> None:
        """Poll no more. What is in flight may still end, and be settled."""
        self._closed = True
        for kept in self._kept.values():
            if kept.consumer is not None:
                kept.consumer.close()

    def _reason(self, key: Key) -> str:
        """What a running pipe has to complain of."""
        kept = self._kept.get(key)
        if kept is None or not kept.status.result.startswith("PROBLEM"):
            return ""
        text = kept.status.result
        if text == words.FAILED and kept.run is not None:
            text = kept.run.trouble or text
        return text[:512]

    def _changed(self, placement: Placement, change: Change) -> None:
        if any(table in ("function", "alias", "concurrency") for table, *_ in change.steps):
            for kept in self._kept.values():
                if kept.consumer is not None:
                    kept.consumer.nudge()

    def follow(self, key: Key) -> None:
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(Status(key.arn, self._counters, "", lambda: None))
        if kept.task is None and not self._closed:
            kept.task = self._loop.create_task(self._keep_up(key, kept))

    async def _keep_up(self, key: Key, kept: _Kept) -> None:
        """Until the consumer does what the record says."""
        try:
            while not self._closed:
                record = self._catalog.find(key)
                if record is None:
                    await self._forget(key, kept)
                    return
                if record is kept.record:
                    return
                reason = await self._take(key, record, kept)
                kept.record = record
                if record["CurrentState"] in PENDING and not self._closed:
                    failed = _FAILED.get(record["CurrentState"], "") if reason else ""
                    state = failed or record["DesiredState"]
                    changed = {"CurrentState": state} | ({"StateReason": reason[:512]} if failed else {})
                    await self._catalog.settle(key, record, changed)
        except StoreError:
            kept.record = None  # all of it once more
            self._loop.call_later(_AGAIN, self.follow, key)
        except Exception as error:  # it is this pipe's alone
            self._loop.call_exception_handler({"message": f"{key.arn} failed", "exception": error})
        finally:
            kept.task = None

    async def _take(self, key: Key, record: Record, kept: _Kept) -> str:
        """Why it cannot run; "" when it does what it is to do."""
        runs = record["DesiredState"] == "RUNNING" and not record["CurrentState"].endswith("FAILED")
        if runs and kept.consumer is not None and kept.record is not None and _same(kept.record, record):
            return ""
        if kept.consumer is not None:
            consumer, kept.consumer = kept.consumer, None
            await consumer.stop()
        if record["CurrentState"] == "DELETING":
            await self._drop_progress(key)
        if not runs or self._closed:
            return ""
        kind = read_as(record)
        if kind not in CONSUMERS:
            return f"Sources like {record['Source']} are not read by this server."
        if record["CurrentState"] in _FAILED and not record["Source"].startswith(SMK):
            try:
                await checks.check(self._services.clients, kind, record["Source"], 0)
            except Fault as fault:
                return _INVALID + (fault.message or fault.code).replace("execution role", "customer role")
        settings = settings_of(key, record)
        functions = self._functions(record, settings)
        kept.run = Run(key, record, self._stages, functions, PipeMetrics(self._tally, key))
        progress = _Progress(key, self._catalog.state(key.place), settings, self._changes, self._failures)
        kept.consumer = CONSUMERS[kind](settings, self._services, kept.run, kept.status, progress)
        await kept.consumer.start()
        return ""

    def _functions(self, record: Record, settings: Settings) -> Mapping[str, Function]:
        """That it waits for."""
        found: dict[str, Function] = {}
        for arn in (record.get("Enrichment") or "", record["Target"]):
            if ":function:" in arn:
                place = Place(*arn.split(":")[3:5])
                made = function_settings(place, settings, arn)
                found[arn] = DeployedFunction(self._hosting.of(place), made, self._workers)
        return found

    async def _drop_progress(self, key: Key) -> None:
        state = self._catalog.state(key.place)
        steps = [(PROGRESS, key.name, id, None) for id in state.owned(PROGRESS, key.name)]
        if steps:
            await self._changes.write(state, *steps)

    async def _forget(self, key: Key, kept: _Kept) -> None:
        self._kept.pop(key, None)
        if kept.consumer is not None:
            await kept.consumer.stop()
        self._counters.forget(key.arn)
        with contextlib.suppress(StoreError):
            await self._drop_progress(key)


def _same(record: Record, other: Record) -> bool:
    """Do two records of a pipe make it do the same?"""
    return all(record.get(name) == other.get(name) for name in {*record, *other} if name not in _ABOUT)
