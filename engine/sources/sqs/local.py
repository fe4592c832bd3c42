"""A queue of this server, read without HTTP: its messages are leased as soon as they are there; nothing is polled."""

from __future__ import annotations

from collections.abc import Iterable

from ... import limits
from ...aws.clients import CallFailed
from ...aws.faults import Fault
from ...services.sqs.messages import Wanted
from ...services.sqs.queues import Queue
from ...services.sqs.service import Sqs
from ..function import Function
from .reader import Received
from .records import Message

_EVERYTHING = Wanted(["All"], ["All"])
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"
NO_QUEUE_TEXT = "The specified queue does not exist."


class LocalReader:
    """window: seconds that a message may wait in a batch, for which it is hidden beyond its visibility timeout."""

    many = False
    most = 64  # a batch of more is gathered in several steps: no more than needed of large messages
    patience = 1.0

    def __init__(self, sqs: Sqs, source: str, window: float) -> None:
        self._sqs = sqs
        self._source = source
        self._window = window

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
                hidden = self._hidden(queue)
                found = await self._sqs.receiving.take(queue, min(n, self.most), hidden, _EVERYTHING)
            if queue.polls and queue.messages.ready():
                queue.polls.wake()  # for whoever else waits
            if problem:
                return []
            if full is not None:
                await function.changed(full)
                continue
            if found or not await queue.polls.wait(seconds, None):
                return found

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
