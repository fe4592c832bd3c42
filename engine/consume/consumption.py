"""What an embedded engine consumes: sources' consumers by the code that a server's mappings have, in the loop of the
engine's queues, whose store keeps how far they are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .. import wire
from ..aws.clients import CallFailed, Clients
from ..aws.registry import Registry
from ..aws.upstream import Aws, Upstream
from ..calls.reaper import Reaper
from ..durable.changes import Changes
from ..durable.folder import StoreError
from ..durable.queue import QueueFull
from ..durable.records import Records
from ..durable.state import Record, State, Tables
from ..errors import EngineClosed, InvalidConfiguration
from ..observe.mappings import MappingCounters
from ..queues import SERVICE as QUEUES
from ..queues import QueueStore
from ..runtime import Runtime
from ..sources.consumers import CONSUMERS, Services
from ..sources.failures import report
from ..sources.settings import Settings
from ..sources.source import Consumer
from ..sources.status import Status
from ..sources.streams.records import GivenUp
from .function import EmbeddedFunction
from .origins import Source
from .wanted import Wanted, settings

PARTITION = "consume"  # of the records
_PLACES, _INSTANCE = (
    "place",
    "instance",
)  # tables: how far each is; what this state directory is called by brokers
_FULL = 1.0  # seconds until a dead letter that could not be put is tried again


class AsyncConsumption:
    """What a function consumes, until it is closed. As a task of the loop."""

    def __init__(
        self, make: Callable[[], Consumer], status: Status, counts: Callable[[], Mapping[str, float]]
    ) -> None:
        self._make, self._status, self._counts = make, status, counts
        self._consumer: Consumer | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def pause(self) -> None:
        """Read no more. Returns once the batches in flight are settled."""
        async with self._lock:
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                await consumer.stop()

    async def resume(self) -> None:
        """Go on where it was paused. Raises EngineClosed."""
        async with self._lock:
            if self._closed:
                raise EngineClosed("it is closed: what it consumed, consume again")
            if self._consumer is None:
                self._consumer = self._make()
                await self._consumer.start()

    def stats(self) -> dict[str, Any]:
        """state: "running", "paused" or "closed"; result: of the last batch, or what is wrong, in a mapping's words;
        and counts by CloudWatch's names, since it began."""
        state = "closed" if self._closed else "paused" if self._consumer is None else "running"
        return {"state": state, "result": self._status.result, **self._counts()}

    async def close(self) -> None:
        """As pause, and for good: another one of its name goes on where it was."""
        self._closed = True
        await self.pause()

    def _abandon(self) -> None:
        """Do not wait for what is in flight: it comes again."""
        self._closed = True
        if self._consumer is not None:
            self._consumer.close()

    def __repr__(self) -> str:
        return f"<AsyncConsumption {self.stats()['state']}>"


class _Progress:
    """One consumption's."""

    def __init__(self, settings: Settings, state: State, changes: Changes, store: QueueStore) -> None:
        self._settings, self._state, self._changes, self._store = settings, state, changes, store

    def saved(self) -> Mapping[str, Record]:
        return self._state.owned(_PLACES, self._settings.uuid)

    async def write(self, records: Mapping[str, Record | None]) -> None:
        steps = ((_PLACES, self._settings.uuid, id, record) for id, record in records.items())
        await self._changes.write(self._state, *steps)

    async def report(
        self, name: str, batch_info: str, info: Mapping[str, Any], given: GivenUp, event: bytes
    ) -> None:
        """A dead letter is as a mapping's report to a destination, with the records in it."""
        settings = self._settings
        if not settings.destination:
            return
        described = wire.encode(report(settings, batch_info, info, given, time.time()))
        letter = described[:-1] + b',"payload":' + event + b"}"
        while True:
            try:
                await self._store.queues.put(f"{QUEUES}:{settings.destination}", letter)
                return
            except (QueueFull, StoreError):
                await asyncio.sleep(_FULL)


class Consumptions:
    """An engine's. Belongs to the loop of its queues. Raises StoreError."""

    def __init__(self, store: QueueStore, runtime: Runtime, reaper: Reaper) -> None:
        """reaper: of any loop."""
        self._store, self._runtime, self._reaper = store, runtime, reaper
        self._changes = Changes("consume")
        self._counters = MappingCounters()
        self._clients: dict[str | None, Clients] = {}
        self._upstreams: list[Upstream] = []
        self._running: dict[str, AsyncConsumption] = {}
        self._closed = False
        tables: Tables = {}
        with contextlib.closing(store.store.reader()) as connection:
            for partition, table, owner, id, value in Records().load(connection):
                if partition == PARTITION:
                    tables.setdefault(table, {}).setdefault(owner, {})[id] = msgspec.json.decode(value)
        self._state = State(store.store, PARTITION, tables, [])

    async def consume(self, function: str, source: Source, wanted: Wanted) -> AsyncConsumption:
        """Once nothing that comes from now on is missed, or a source that is not there was waited for a while. Raises
        InvalidConfiguration, FunctionNotFound, StoreError, EngineClosed."""
        if self._closed:
            raise EngineClosed("the engine is closed")
        self._runtime.entry(function)
        made = settings(source, function, wanted, await self._instance())
        before = self._running.get(made.uuid)
        if before is not None and before.stats()["state"] != "closed":
            raise InvalidConfiguration(
                f"{function} consumes that already: close it first, or give this one a name"
            )
        services = Services(self._client(source)) if not source.options else Services(_none())
        status = Status(made.uuid, self._counters, "", lambda: None)
        progress = _Progress(made, self._state, self._changes, self._store)

        def make() -> Consumer:
            invoked = EmbeddedFunction(self._runtime, self._reaper, function)
            return CONSUMERS[made.kind](made, services, invoked, status, progress)

        consumption = AsyncConsumption(make, status, lambda: self._counters.of(made.uuid))
        try:
            await consumption.resume()
        except CallFailed as failed:  # its client library is not installed
            raise InvalidConfiguration(failed.message) from None
        self._running[made.uuid] = consumption
        return consumption

    async def _instance(self) -> str:
        """What brokers know this program by: the same one as long as its state directory is."""
        found = self._state.get(_INSTANCE, "")
        if found is None:
            found = {"name": uuid.uuid4().hex[:12]}
            await self._changes.write(self._state, (_INSTANCE, "", "", found))
        return str(found["name"])

    def _client(self, source: Source) -> Clients:
        """Of AWS's services: at the source's endpoint, that of AWS_ENDPOINT_URL, or AWS's own."""
        endpoint = source.endpoint or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint not in self._clients:
            try:
                upstream = Upstream(endpoint) if endpoint else Aws(lambda: "")
            except InvalidConfiguration as error:
                raise InvalidConfiguration(str(error).removeprefix("--aws real: ")) from None
            self._upstreams.append(upstream)
            self._clients[endpoint] = Clients(lambda: Registry(()), upstream)
        return self._clients[endpoint]

    async def close(self, drain: float) -> None:
        """Read no more; what is in flight is settled, for at most `drain` seconds."""
        self._closed = True
        running = [each for each in self._running.values() if each.stats()["state"] != "closed"]
        if running and drain > 0:
            closing = [asyncio.ensure_future(each.close()) for each in running]
            _, late = await asyncio.wait(closing, timeout=drain)
            for task in late:
                task.cancel()
        for each in running:
            each._abandon()
        for clients in self._clients.values():
            await clients.aclose()
        for upstream in self._upstreams:
            await upstream.aclose()
        await asyncio.get_running_loop().run_in_executor(None, self._changes.close)


def _none() -> Clients:
    """For sources that need none."""
    return Clients(lambda: Registry(()), Upstream(None))
