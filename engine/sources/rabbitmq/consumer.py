"""The consumer of a queue: batches of what the broker delivers, one at a time, acknowledged once the function had them.

What fails goes back to the queue and comes again, as long as the queue's own rules (time to live, delivery limit,
dead-letter exchange) let it. No more than a batch is delivered ahead: so it comes before what is behind it, and nothing
is counted as delivered that was not tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable
from typing import Any

from ... import wire
from ...aws.clients import Clients
from .. import backoff, words
from ..batches import BYTES, Gathering
from ..function import Function, How
from ..settings import Settings
from ..status import Status
from .broker import connect, no_queue, reason
from .records import Frame, Message, shown

_PATIENCE = (
    5.0  # seconds that a mapping's start waits for its broker, and the broker's responses are waited for
)
_LONGEST = 10.0  # seconds between two sessions


class RabbitConsumer:
    """Belongs to the event loop."""

    def __init__(self, settings: Settings, clients: Clients, function: Function, status: Status) -> None:
        self._settings, self._clients = settings, clients
        self._function, self._status = function, status
        self._frame = Frame(settings)
        self._task: asyncio.Task[None] | None = None
        self._running = True
        self._halt, self._begun = asyncio.Event(), asyncio.Event()
        self._reset()

    def _reset(self) -> None:
        """Of a session: what was delivered and is in no batch, and what ended it."""
        self._came = asyncio.Event()
        self._delivered: deque[Any] = deque()
        self._ended: BaseException | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        begun = asyncio.ensure_future(self._begun.wait())
        await asyncio.wait((begun,), timeout=_PATIENCE)
        begun.cancel()

    async def stop(self) -> None:
        self.close()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def close(self) -> None:
        self._running = False
        self._halt.set()

    def nudge(self) -> None:
        if problem := self._function.problem():
            self._status.say(problem)
        self._function.nudge()

    async def _run(self) -> None:
        failures = 0
        while self._running:
            begun = time.monotonic()
            try:
                await self._session()
            except Exception as error:  # it is this mapping's alone
                failures = 1 if time.monotonic() - begun > _LONGEST else failures + 1
                self._status.complain(self._settings, reason(self._settings, error))
            self._begun.set()
            if self._running:
                await self._within(self._halt.wait(), min(_LONGEST, backoff.delay(failures)))

    @staticmethod
    async def _within(waiting: Awaitable[object], seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(waiting, seconds)

    async def _session(self) -> None:
        """Until the mapping is stopped. Raises what else ends it."""
        try:
            import aiormq  # noqa: F401
        except ImportError as error:
            raise words.Problem("PROBLEM: pip install stoker[rabbitmq]", words.CONFIG) from error
        for name in ("aiormq", "aio_pika"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the mapping says it
        self._reset()
        connection = await asyncio.wait_for(connect(self._clients, self._settings), 2 * _PATIENCE)
        try:
            channel = await connection.channel()
            channel.closing.add_done_callback(self._closed)
            channel.on_consumer_cancel_callbacks.add(self._cancelled)
            await channel.basic_qos(prefetch_count=self._settings.batch_size)
            await channel.basic_consume(
                self._settings.name, self._take, consumer_tag=self._settings.uuid, timeout=_PATIENCE
            )
            self._begun.set()
            if self._status.troubled:
                self._status.say(words.NO_RECORDS)
            await self._consume(channel)
        finally:  # what is not acknowledged is in the queue again
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.close(), _PATIENCE)

    def _closed(self, closing: asyncio.Future[Any]) -> None:
        failed = None if closing.cancelled() else closing.exception()
        self._end(failed or ConnectionError("The connection was closed."))

    async def _cancelled(self, _frame: Any) -> None:
        """By the broker: the queue was deleted."""
        self._end(no_queue(self._settings))

    def _end(self, error: BaseException) -> None:
        self._ended = self._ended or error
        self._came.set()

    async def _take(self, delivered: Any) -> None:
        self._status.count("PolledEventCount")
        self._delivered.append(delivered)
        self._came.set()

    # Batches.

    async def _consume(self, channel: Any) -> None:
        failures = 0
        while self._running:
            batch = await self._gathered(channel)
            if not batch:
                continue
            done = await self._invoke(batch)
            if self._ended is not None:
                raise self._ended
            if done:
                await channel.basic_ack(batch[-1].tag, multiple=True)
                self._status.count("DeletedEventCount", len(batch))
                self._status.ok()
                failures = 0
            elif self._running:
                failures += 1
                await self._within(self._halt.wait(), backoff.delay(failures))
                await channel.basic_nack(batch[-1].tag, multiple=True, requeue=True)

    async def _gathered(self, channel: Any) -> list[Message]:
        """A batch, or none. Raises what ended the session."""
        found: list[Message] = []
        gathering = Gathering(self._settings.batch_size, self._settings.window)
        size = self._frame.size
        while self._running:
            if self._ended is not None:
                raise self._ended
            while self._delivered and gathering.missing:
                message = await self._passed(channel, self._delivered[0])
                if message is not None and found and size + len(message.json) + 1 > BYTES:
                    return found
                self._delivered.popleft()
                if message is not None:
                    size += len(message.json) + 1
                    gathering.add([len(message.json)], time.monotonic())
                    found.append(message)
            left = gathering.left(time.monotonic())
            if found and left <= 0:
                return found
            self._came.clear()
            await self._one_of(self._came.wait(), self._halt.wait(), seconds=left if found else None)
        return []

    @staticmethod
    async def _one_of(*waits: Any, seconds: float | None = None) -> None:
        tasks = [asyncio.ensure_future(each) for each in waits]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _passed(self, channel: Any, delivered: Any) -> Message | None:
        """As it is in an event. None: it is in none, and settled."""
        found = shown(delivered)
        tag = delivered.delivery_tag
        if not self._settings.filters.passes(found, delivered.body):
            self._status.count("FilteredOutEventCount")
            await channel.basic_ack(tag)
            return None
        message = Message(str(tag), "", wire.encode(found), tag)
        if len(message.json) + self._frame.size > BYTES:
            self._status.count("DroppedEventCount")
            await channel.basic_reject(
                tag, requeue=False
            )  # to the dead-letter exchange, if the queue has one
            return None
        return message

    async def _invoke(self, batch: list[Message]) -> bool:
        """Has the function had it, and returned?"""
        payload, refusals = self._frame.event(batch), 0
        while self._running and self._ended is None:
            full = None
            if (problem := self._function.problem()) or (full := self._function.full()) is not None:
                if problem or self._function.closed:
                    self._status.say(problem or words.THROTTLED)
                await self._one_of(self._function.changed(full), self._halt.wait(), self._lost())
                continue
            result = await self._function.invoke(payload)
            if result.how in (How.REFUSED, How.GONE):
                refusals += 1
                self._status.say(result.words)
                await self._within(self._halt.wait(), backoff.delay(refusals))
                continue
            self._status.count("InvokedEventCount", len(batch))
            if result.how is How.DONE:
                return True
            self._status.count("FailedInvokeEventCount", len(batch))
            self._status.say(words.FAILED)
            return False
        return False

    async def _lost(self) -> None:
        """Until the session has ended."""
        while self._ended is None:
            self._came.clear()
            await self._came.wait()
