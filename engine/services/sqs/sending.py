"""Sending: a message is checked, recognised when it was taken already, and acknowledged once it is on the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from hashlib import sha256
from typing import Any

from ... import limits
from ...aws.faults import Fault
from ...durable.queue import QueueFull
from ...durable.queue import Queues as Rows
from ...durable.store import Step
from . import batches, messages
from .call import Call
from .deduplication import Deduplication, Taken
from .faults import invalid, invalid_value, missing
from .queues import Queue

_UNIDENTIFIED = (
    "The queue should either have ContentBasedDeduplication enabled "
    "or MessageDeduplicationId provided explicitly"
)
Result = dict[str, Any]


class Sending:
    """Of all queues. Belongs to one event loop."""

    def __init__(self, rows: Rows, deduplication: Deduplication) -> None:
        self._rows = rows
        self._deduplication = deduplication

    async def send(self, queue: Queue, members: Mapping[str, Any], call: Call) -> Result:
        messages.check_size(members, queue.settings.size)
        return await self._begun(queue, members, call)

    async def send_batch(self, queue: Queue, members: Mapping[str, Any], call: Call) -> Result:
        entries: batches.Entries = members["Entries"]
        batches.check(entries, "SendMessageBatchRequestEntry", "MessageBody")
        total = sum(map(messages.size, entries))
        if total > limits.SQS_MESSAGE_BYTES:
            raise Fault(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than {limits.SQS_MESSAGE_BYTES} bytes. You have sent {total} bytes.",
            )
        for entry in entries if queue.fifo else ():
            if not entry.get("MessageGroupId"):
                raise invalid("The request must contain the parameter MessageGroupId.")
            if entry.get("MessageDeduplicationId") is None and not queue.settings.by_content:
                raise invalid(_UNIDENTIFIED)
        outcomes: list[Awaitable[Result] | Fault] = []
        for entry in entries:
            try:
                messages.check_size(entry, queue.settings.size, entry=True)
                outcomes.append(self._begun(queue, entry, call))
            except Fault as fault:
                outcomes.append(fault)
        return await batches.gathered(entries, outcomes)

    def _begun(self, queue: Queue, members: Mapping[str, Any], call: Call) -> Awaitable[Result]:
        """What is awaited then is the disk. Raises Fault."""
        delay = members.get("DelaySeconds")
        if queue.fifo:
            return self._fifo(queue, members, call, delay)
        if delay is None:
            delay = queue.settings.delay
        elif not 0 <= delay <= limits.SQS_DELAY:
            raise invalid_value(
                delay, "DelaySeconds", f"DelaySeconds must be >= 0 and <= {limits.SQS_DELAY}."
            )
        message = messages.made(members, call.place.account, int(time.time() * 1000), call.trace)
        if message.deduplication is not None:
            raise invalid_value(
                message.deduplication,
                "MessageDeduplicationId",
                "The request include parameter that is not valid for this queue type.",
            )
        return _acknowledged(queue, self._put(queue, message, delay), messages.sent(message, None))

    def _fifo(
        self, queue: Queue, members: Mapping[str, Any], call: Call, delay: int | None
    ) -> Awaitable[Result]:
        if members.get("MessageGroupId") is None:
            raise missing("MessageGroupId")
        if delay:
            raise invalid_value(
                delay, "DelaySeconds", "The request include parameter that is not valid for this queue type."
            )
        message = messages.made(members, call.place.account, int(time.time() * 1000), call.trace)
        if message.deduplication is None:
            if not queue.settings.by_content:
                raise invalid(_UNIDENTIFIED)
            message.deduplication = sha256(message.body.encode()).hexdigest()
        scope = f"{message.group}\0" if queue.settings.by_group else ""
        key = f"{scope}{message.deduplication}"
        taken = self._deduplication.find(queue.id, key)
        if taken is not None:
            return _repeated(taken, message)
        id = self._rows.next_id
        steps = self._deduplication.remember(queue.id, key, message.id, id)
        try:
            future = self._put(queue, message, queue.settings.delay, steps)
        except Fault:
            self._deduplication.drop(queue.id, key)
            raise
        self._deduplication.storing(queue.id, key, future)
        return _acknowledged(queue, future, messages.sent(message, messages.sequence(id)))

    def _put(
        self, queue: Queue, message: messages.Message, delay: float, also: list[Step] | None = None
    ) -> asyncio.Future[int]:
        try:
            return queue.messages.put(message, messages.encode(message), messages.NEW, delay, also or ())
        except QueueFull as full:
            raise Fault("RequestThrottled", f"The server's {full}.") from None


async def _acknowledged(queue: Queue, future: asyncio.Future[int], result: Result) -> Result:
    await future
    queue.count("NumberOfMessagesSent", 1)
    return result


async def _repeated(taken: Taken, message: messages.Message) -> Result:
    """The response to a message that was taken before: that one's."""
    if taken.stored is not None:
        await asyncio.shield(taken.stored)
    message.id = taken.message
    return messages.sent(message, messages.sequence(taken.row))
