"""A queue of this server, read without HTTP: its messages are leased as soon as they are there; nothing is polled."""

from __future__ import annotations

from collections.abc import Iterable

from ... import limits
from ...aws.clients import CallFailed
from ...aws.faults import Fault
from ...durable.queue import Leased
from ...services.sqs.handles import Handle
from ...services.sqs.messages import Meta, Wanted, decode
from ...services.sqs.queues import Queue
from ...services.sqs.receiving import shown
from ...services.sqs.service import Sqs
from ..function import Function
from ..settings import Settings
from .reader import Received
from .records import Message, of_own

_EVERYTHING = Wanted(["All"], ["All"])
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"
NO_QUEUE_TEXT = "The specified queue does not exist."


class LocalReader:
    """A message is hidden beyond its visibility timeout for as long as it may wait in a batch."""

    many = False
    most = 64  # a batch of more is gathered in several steps: no more than needed of large messages
    patience = 1.0

    def __init__(self, sqs: Sqs, settings: Settings) -> None:
        self._sqs = sqs
        self._source, self._region = settings.source, settings.region
        self._window = settings.window
        self._filtered = bool(settings.filters)

    def _queue(self) -> Queue:
        queue = self._sqs.catalog.by_arn(self._source)
        if queue is None:
            raise CallFailed(NO_QUEUE, NO_QUEUE_TEXT, retriable=True)
        return queue

    async def receive(self, n: int, seconds: float, function: Function) -> list[Received]:
        while True:
            queue = self._queue()
            full, problem = function.full(), function.problem()
            found: list[Received] = []
            if full is None and not problem:
                given = self._sqs.receiving.given(queue, min(n, self.most), self._hidden(queue), True)
                found = [self._received(queue, *each) for each in given]
            if queue.polls and queue.messages.ready():
                queue.polls.wake()  # for whoever else waits
            if problem:
                return []
            if full is not None:
                await function.changed(full)
                continue
            if found or not await queue.polls.wait(seconds, None):
                return found

    def _received(self, queue: Queue, row: Leased, meta: Meta, handle: Handle) -> Received:
        if self._filtered:
            return handle, shown(queue, row, meta, handle, _EVERYTHING)
        return of_own(
            decode(row.value),
            meta,
            row.id,
            row.attempts,
            handle,
            queue.text(handle),
            self._source,
            self._region,
        )

    def _hidden(self, queue: Queue) -> int:
        return min(limits.SQS_VISIBILITY, queue.settings.visibility + int(self._window))

    async def delete(self, messages: Iterable[Message]) -> int:
        """It does not wait for the disk: what is not deleted in a crash comes again."""
        queue = self._sqs.catalog.by_arn(self._source)
        return 0 if queue is None else self._sqs.receiving.remove(queue, (each.handle for each in messages))

    async def keep(self, messages: Iterable[Message]) -> bool:
        queue = self._queue()
        for each in messages:
            try:
                await self._sqs.receiving.hide(queue, each.handle, queue.settings.visibility)
            except Fault:
                return False
        return True
