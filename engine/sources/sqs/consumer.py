"""The consumer of a queue: pollers that each receive a batch, have the function invoked with it, and delete what it
did.

Of this server's queues one poller waits at a time, since there is nothing to be waited for in the network; it makes
room for the next one once it has messages. Of another endpoint's, more of them receive as long as receives come back
full.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

from ...aws import traces
from ...aws.clients import CallFailed
from ...observe.spans import Arrival
from .. import backoff, reports, words
from ..batches import Gathering, by_group, event, split
from ..function import Function, How
from ..scale import Scale
from ..settings import Settings
from ..status import Status
from .reader import Reader, Received
from .records import Message, encoded, record

_IDLE = 3600.0  # seconds after which a poll that nothing came to begins anew
_WAITED = 1.0  # seconds in a batch after which messages are hidden anew for their invocation
_DELETES = 5  # attempts to delete a batch


class SqsConsumer:
    """Belongs to the event loop."""

    def __init__(self, settings: Settings, reader: Reader, function: Function, status: Status) -> None:
        self._settings = settings
        self._reader = reader
        self._function = function
        self._status = status
        self._fifo = settings.source.endswith(".fifo")
        self._scale = Scale(settings.concurrency, time.monotonic())
        self._most = settings.concurrency or 0
        self._pollers: set[asyncio.Task[None]] = set()
        self._gathering: set[asyncio.Task[None]] = set()
        self._running = False
        self._invoking = 0
        self._room: list[asyncio.Future[None]] = []  # of those who wait for one less to be invoked
        self._failures = 0  # of the source, in a row

    async def start(self) -> None:
        self._running = True
        self._begin()

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self._poll())
        self._pollers.add(task)
        self._gathering.add(task)  # it will, before anything else
        task.add_done_callback(self._pollers.discard)
        task.add_done_callback(self._gathering.discard)

    async def stop(self) -> None:
        self.close()
        while self._pollers:
            await asyncio.wait(self._pollers)

    def close(self) -> None:
        self._running = False
        for task in self._gathering:
            task.cancel()

    def nudge(self) -> None:
        if problem := self._function.problem():
            self._status.say(problem)
        self._function.nudge()

    async def _poll(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while self._running:
            self._gathering.add(task)
            messages: list[Message] = []
            try:
                messages, begun = await self._gathered()
                self._gathering.discard(task)
                if messages:
                    self._make_room(len(messages))
                    await self._deliver(messages, begun)
            except Exception as error:  # it is this mapping's alone
                self._gathering.add(task)
                await self._complain(error)
            self._gathering.discard(task)
            if len(self._gathering) >= self._wanted(bool(messages)):
                return

    def _wanted(self, busy: bool) -> int:
        """How many may receive at once."""
        return max(1, min(4, self._scale.limit)) if self._reader.many and busy else 1

    def _make_room(self, received: int) -> None:
        """Before a batch is invoked: somebody else receives meanwhile, if there may be one more."""
        busy = len(self._pollers) >= self._scale.limit
        full = received >= min(self._reader.most, self._settings.batch_size)
        limit = self._scale.observe(time.monotonic(), busy and full)
        while (
            self._running
            and len(self._pollers) < limit
            and len(self._gathering) < (self._wanted(full) if self._reader.many else 1)
        ):
            self._begin()

    # Receiving.

    async def _gathered(self) -> tuple[list[Message], float | None]:
        """The messages of a batch, or of several, and when the first of them came; none, when none did. Stopped, it
        has what there is."""
        while problem := self._function.problem():
            self._status.say(problem)
            if await self._interrupted(self._function.changed()):
                return [], None
        if self._function.closed:
            self._status.say(words.THROTTLED)
        found: list[Message] = []
        gathering = Gathering(self._settings.batch_size, self._settings.window)
        try:
            wait = _IDLE
            while True:
                try:
                    received = await self._reader.receive(max(1, gathering.missing), wait, self._function)
                except CallFailed:
                    if found:
                        return found, gathering.begun
                    raise
                self._failures = 0
                passed = await self._passed(received)
                now = time.monotonic()
                gathering.add([len(message.json) for message in passed], now)
                found += passed
                wait = gathering.left(now)
                if wait <= 0 or not (found or received) or not self._running:
                    return found, gathering.begun
                if not found:
                    wait = _IDLE
        except asyncio.CancelledError:
            self._stopped()
            return found, gathering.begun

    def _stopped(self) -> None:
        """The task was told to go on without what it waited for. Raises CancelledError when it was not by us."""
        task = asyncio.current_task()
        if self._running or task is None:
            raise asyncio.CancelledError
        task.uncancel()

    async def _interrupted(self, waiting: Awaitable[object]) -> bool:
        """Was the mapping stopped before what it waits for came?"""
        try:
            await waiting
        except asyncio.CancelledError:
            self._stopped()
            return True
        return False

    async def _passed(self, received: Sequence[Received]) -> list[Message]:
        """Those that pass the filters; the others are deleted."""
        self._status.count("PolledEventCount", len(received))
        passed: list[Message] = []
        dropped: list[Message] = []
        filters, source, region = self._settings.filters, self._settings.source, self._settings.region
        for found in received:
            if isinstance(found, Message):
                passed.append(found)
                continue
            handle, each = found
            shown = record(each, source, region)
            message = encoded(each, handle, shown)
            (passed if filters.passes(shown, each["Body"]) else dropped).append(message)
        if dropped:
            self._status.count("FilteredOutEventCount", len(dropped))
            await self._delete(dropped)
        return passed

    async def _complain(self, error: Exception) -> None:
        """The source failed: again, later."""
        self._failures += 1
        self._status.complain(self._settings, error)
        await self._interrupted(asyncio.sleep(min(self._reader.patience, backoff.delay(self._failures))))

    # Invoking.

    async def _deliver(self, messages: list[Message], begun: float | None) -> None:
        """begun: when the first of them was received, by the monotonic clock."""
        size = self._settings.batch_size
        if begun is not None and time.monotonic() - begun > _WAITED:
            await self._keep(messages)
        groups = by_group(messages) if self._fifo else [messages]
        batches = [batch for group in groups for batch in split(group, size)]
        if len(batches) == 1:
            await self._invoke(batches[0])
            return
        by_line: dict[str, list[list[Message]]] = {}
        for batch in batches:
            by_line.setdefault(batch[0].group if self._fifo else batch[0].id, []).append(batch)
        await asyncio.gather(*(self._in_turn(each) for each in by_line.values()))

    async def _in_turn(self, batches: list[list[Message]]) -> None:
        """Those of a group, one after the other; when one fails, those behind it are left."""
        for batch in batches:
            if not await self._invoke(batch):
                return

    async def _keep(self, messages: list[Message]) -> bool:
        try:
            return await self._reader.keep(messages)
        except CallFailed:
            return False

    async def _invoke(self, batch: list[Message]) -> bool:
        """True: all of it is done."""
        while self._most and self._invoking >= self._most:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(waiter)
            await waiter
        self._invoking += 1
        try:
            return await self._invoked(batch)
        finally:
            self._invoking -= 1
            while self._room:
                waiter = self._room.pop(0)
                if not waiter.done():
                    waiter.set_result(None)
                    break

    async def _invoked(self, batch: list[Message]) -> bool:
        every = len(batch)
        batch = [each for each in batch if not (each.trace and self._function.loops(each.trace))]
        if len(batch) < every:  # those come again, until a redrive policy takes them
            self._status.count("RecursiveInvocationsDropped", every - len(batch))
            self._status.say(words.RECURSIVE)
            if not batch:
                return False
        payload, (trace, arrival) = event(batch), _trace(batch, self._settings.source)
        refusals = 0
        while True:
            result = await self._function.invoke(payload, trace, arrival)
            if result.how is not How.REFUSED:
                break
            refusals += 1
            self._status.say(result.words)
            await asyncio.sleep(backoff.delay(refusals))
            if not self._running or not await self._keep(batch):
                return False  # they come again when their visibility timeout is over
        if result.how is How.GONE:
            self._status.say(result.words)
            return False
        self._status.count("InvokedEventCount", len(batch))
        failed: set[str] | None = set()
        if result.how is How.FAILED:
            failed = None
        elif self._settings.reports:
            failed = reports.failed(result.payload, {each.id for each in batch})
        if failed is None:
            self._status.count("FailedInvokeEventCount", len(batch))
            self._status.say(words.FAILED)
            return False
        if failed:
            self._status.count("FailedInvokeEventCount", len(failed))
        done = [each for each in batch if each.id not in failed] if failed else batch
        if done:
            await self._delete(done)
        self._status.ok()
        return not failed and len(batch) == every

    async def _delete(self, messages: list[Message]) -> None:
        for attempt in range(1, _DELETES + 1):
            try:
                self._status.count("DeletedEventCount", await self._reader.delete(messages))
                return
            except CallFailed as error:
                if attempt == _DELETES or not error.retriable:
                    self._status.complain(self._settings, error)
                    return
                await asyncio.sleep(backoff.delay(attempt))


def _trace(batch: Sequence[Message], queue: str) -> tuple[str, Arrival | None]:
    """The header that a batch's invocation goes on with, and what is to be noted of how it came: that of the first
    message whose trace is kept; the others' are linked."""
    traced = [each for each in batch if each.trace]
    kept = [(each, found) for each in traced if (found := traces.sampled(each.trace))]
    if not kept:
        return (traced[0].trace if traced else ""), None
    (first, (root, _)), *others = kept
    links = {found: None for _, found in others if found[0] != root and found[1]}
    return first.trace, Arrival(first.sent, queue, links=tuple(links))
