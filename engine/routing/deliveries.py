"""Deliveries: rows of queues that are sent, again and again, until they arrive or are given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..durable.queue import Leased, Queues
from . import retry

AT_ONCE = 16  # of one queue
MISTAKE_S = 1.0  # until a delivery is tried again whose failure could not be dealt with


class Again(NamedTuple):
    """It is tried again after `delay` seconds, maybe with other metadata."""

    delay: float
    meta: bytes | None = None


def again(queues: Queues, row: Leased, error: Exception, most: float) -> Again | None:
    """After growing pauses, until the row is `most` seconds old; not at all where it would be in vain."""
    delay = retry.back_off(row.attempts)
    age = (queues.now() - row.first) / 1e9
    return Again(delay) if getattr(error, "retriable", True) and age + delay <= most else None


Send = Callable[[str, Leased], Awaitable[object]]  # the queue, and the row
Failed = Callable[[str, Leased, Exception], Awaitable[Again | None]]
# Hears of each attempt: the row, when it began (epoch seconds), why it failed, and when it is tried again, if it is.
Measure = Callable[[Leased, float, Exception | None, Again | None], object]


class Deliveries:
    """Of all queues of a service. Belongs to the event loop."""

    def __init__(
        self,
        queues: Queues,
        service: str,
        send: Send,
        failed: Failed,
        at_once: Callable[[str], int] = lambda queue: AT_ONCE,
        measure: Measure = lambda row, began, error, step: None,
    ) -> None:
        """failed: hears why a row was not sent. None: it is given up, and what comes of that is durable. at_once: how
        many of a queue are sent at a time; where that is one, a row that is tried again with no delay stays first."""
        self._queues = queues
        self._service = service
        self._send = send
        self._failed = failed
        self._at_once = at_once
        self._measure = measure
        self._running: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Take up what an earlier server did not deliver."""
        self._queues.listen(self._service, self.due)
        for queue in self._queues.queues(self._service):
            self.due(queue)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def idle(self, seconds: float) -> None:
        """Until nothing is being sent, and nothing is due that may be; for at most so long."""
        end = asyncio.get_running_loop().time() + seconds
        while self._tasks and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    def due(self, queue: str) -> None:
        """More of this queue may be sent than before, or there is more to send."""
        while self._running.get(queue, 0) < self._at_once(queue) and (rows := self._queues.lease(queue)):
            self._running[queue] = self._running.get(queue, 0) + 1
            task = asyncio.get_running_loop().create_task(self._deliver(queue, rows[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, queue: str, row: Leased) -> None:
        try:
            again = await self._attempt(queue, row)
            if again is None:
                self._queues.settle([row.id])
            else:
                released = self._queues.release(row.id, again.delay, meta=again.meta)
                if self._at_once(queue) == 1:
                    await released  # only then it is before those behind it
        finally:
            self._running[queue] -= 1
            if not self._running[queue]:
                del self._running[queue]
        self.due(queue)

    async def _attempt(self, queue: str, row: Leased) -> Again | None:
        began = time.time()
        try:
            await self._send(queue, row)
        except Exception as error:  # no delivery is lost by a mistake of ours
            try:
                step = await self._failed(queue, row, error)
            except Exception as fault:
                _report(f"a delivery of {queue} could not be given up", fault)
                step = Again(MISTAKE_S)
            self._measured(row, began, error, step)
            return step
        self._measured(row, began, None, None)
        return None

    def _measured(self, row: Leased, began: float, error: Exception | None, step: Again | None) -> None:
        try:
            self._measure(row, began, error, step)
        except Exception as fault:
            _report("a delivery could not be measured", fault)


def _report(message: str, fault: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": fault})
