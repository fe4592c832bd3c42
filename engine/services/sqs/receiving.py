"""Receiving: messages are leased, shown and hidden for a time; then deleted, hidden longer, or back in their places."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from ... import limits
from ...aws.faults import Fault
from ...durable.queue import Leased
from ...durable.queue import Queues as Rows
from . import attempts, batches, messages
from .call import Call
from .faults import invalid_value, ranged
from .handles import Handle
from .messages import Meta, Wanted
from .queues import Catalog, Queue
from .standard import Standard
from .stored import deadline, stored

Result = dict[str, Any]
Given = tuple[Leased, Meta, Handle]
_NOTHING = Wanted((), ())
_NOT_THERE = "Message does not exist or is not available for visibility timeout change."


class Receiving:
    """Of all queues. Belongs to one event loop."""

    def __init__(self, catalog: Catalog, rows: Rows) -> None:
        self._catalog = catalog
        self._rows = rows
        self._attempts = attempts.Attempts()

    async def receive(self, queue: Queue, members: Mapping[str, Any], call: Call) -> Result:
        n = members.get("MaxNumberOfMessages", 1)
        if not 1 <= n <= limits.SQS_ENTRIES:
            raise invalid_value(
                n, "MaxNumberOfMessages", f"Must be between 1 and {limits.SQS_ENTRIES}, if provided."
            )
        settings = queue.settings
        wait = ranged(members.get("WaitTimeSeconds"), "WaitTimeSeconds", 0, limits.SQS_WAIT, settings.wait)
        seconds = ranged(
            members.get("VisibilityTimeout"),
            "VisibilityTimeout",
            0,
            limits.SQS_VISIBILITY,
            settings.visibility,
        )
        system = [*members.get("AttributeNames", ()), *members.get("MessageSystemAttributeNames", ())]
        own = members.get("MessageAttributeNames")
        wanted = Wanted(system, own or ()) if system or own else _NOTHING
        attempt = members.get("ReceiveRequestAttemptId")
        if attempt is not None and not queue.fifo:
            raise invalid_value(
                attempt,
                "ReceiveRequestAttemptId",
                "The request include parameter that is not valid for this queue type.",
            )
        if attempt is not None and (again := self._again(queue, attempt, seconds)) is not None:
            return {"Messages": again}
        if not queue.fifo and not wait and queue.messages.in_flight() >= limits.SQS_IN_FLIGHT:
            raise Fault(
                "OverLimit",
                f"Too many messages are in flight: a queue may have {limits.SQS_IN_FLIGHT} of them.",
            )
        end = time.monotonic() + wait
        while True:
            found = [shown for _, shown in await self.take(queue, n, seconds, wanted)]
            if found or not await queue.polls.wait(end - time.monotonic(), call.left):
                break
        if queue.polls and queue.messages.ready():
            queue.polls.wake()
        if not found:
            return {}
        if attempt is not None:
            self._attempts.keep(queue.id, attempt, found)
        return {"Messages": found}

    async def take(self, queue: Queue, n: int, seconds: int, wanted: Wanted) -> list[tuple[Handle, Result]]:
        """Up to n messages that are due, as they are shown."""
        given = self.given(queue, n, seconds)
        if not seconds:
            end = deadline()
            for future in [self._rows.release(row.id, meta=meta.encode()) for row, meta, _ in given]:
                await stored(future, end)
        return [(handle, shown(queue, row, meta, handle, wanted)) for row, meta, handle in given]

    def given(self, queue: Queue, n: int, seconds: int, briefly: bool = False) -> list[Given]:
        """Up to n messages that are due. What is too old is gone; what was received too often goes to the dead-letter
        queue. briefly: that they were received need not be on the disk if they are deleted a moment later."""
        rows, line = self._rows, queue.messages
        given: list[Given] = []
        first = Meta(int(time.time() * 1000))  # of those that were never received, nor moved
        written = first.encode()
        retention = int(queue.settings.retention * 1e9)
        while len(given) < n:
            room = limits.SQS_IN_FLIGHT - line.in_flight()
            leased = line.lease(min(n - len(given), room), seconds or None, briefly)
            if not leased:
                break
            now = rows.now()
            for row in leased:
                fresh = row.meta == messages.NEW
                meta = first if fresh else Meta.decode(row.meta)
                if now - (meta.enqueued or row.first) > retention:
                    rows.settle([row.id])
                    line.gone(row.id)
                elif queue.redrive is None or not self._is_dead(queue, row, meta):
                    if fresh:
                        rows.annotate(row.id, written)
                    elif not meta.first:
                        meta = Meta(first.first, *meta[1:])
                        rows.annotate(row.id, meta.encode())
                    given.append(
                        (row, meta, queue.handle(row.id, row.attempts, line.received_at(row.id, now)))
                    )
        if given:
            queue.count("NumberOfMessagesReceived", len(given))
        return given

    def _is_dead(self, queue: Queue, row: Leased, meta: Meta) -> bool:
        """Was it received too often? Then it goes where the queue's redrive policy says, if that is there."""
        policy = queue.redrive
        if policy is None or row.attempts <= policy.receives:
            return False
        target = self._catalog.by_arn(policy.target)
        if target is None or target.fifo is not queue.fifo:
            return False
        moved = meta._replace(
            receives=meta.receives + row.attempts - 1,
            source=queue.arn,
            enqueued=self._rows.now() if queue.fifo else meta.enqueued,
        )
        line = target.messages.line_of(messages.decode(row.value))
        self._rows.move(row.id, line, meta=moved.encode())
        queue.messages.gone(row.id)
        return True

    # What a receipt handle is for.

    async def delete(self, queue: Queue, members: Mapping[str, Any], call: Call) -> None:
        await self._deleted(queue, [self._deletable(queue, queue.handled(members["ReceiptHandle"]))])

    async def delete_batch(self, queue: Queue, members: Mapping[str, Any], call: Call) -> Result:
        entries: batches.Entries = members["Entries"]
        batches.check(entries, "DeleteMessageBatchRequestEntry", "ReceiptHandle")
        outcomes: list[Result | Fault] = []
        ids = []
        for entry in entries:
            try:
                ids.append(self._deletable(queue, queue.handled(entry["ReceiptHandle"])))
                outcomes.append({})
            except Fault as fault:
                outcomes.append(fault)
        try:
            await self._deleted(queue, ids)
        except Fault as fault:
            outcomes = [outcome if isinstance(outcome, Fault) else fault for outcome in outcomes]
        return batches.result(entries, outcomes)

    def _deletable(self, queue: Queue, handle: Handle) -> int | None:
        """The row of a handle; None: there is none, or its deletion is on its way. Raises Fault."""
        standing = self._rows.standing(handle.id)
        if standing is None or not queue.messages.owns(standing.queue):
            return None
        if not queue.messages.deletable(handle):
            raise invalid_value(queue.text(handle), "ReceiptHandle", "The receipt handle has expired.")
        return handle.id

    async def _deleted(self, queue: Queue, found: list[int | None]) -> None:
        """Once that is durable, and any deletion that was on its way. Raises Fault when the disk refuses it."""
        await stored(self._settled(queue, found), deadline())

    def _settled(self, queue: Queue, found: list[int | None]) -> asyncio.Future[None]:
        """Rows of which the lines of a FIFO queue hear once that is durable: until then their groups are held."""
        ids = list(dict.fromkeys(id for id in found if id is not None))
        future = self._rows.settle(ids)
        if ids:
            queue.count("NumberOfMessagesDeleted", len(ids))
        if not queue.fifo:
            if queue.polls and queue.messages.ready():
                queue.polls.wake()
            return future

        def gone(_: asyncio.Future[None]) -> None:
            for id in ids:
                queue.messages.gone(id)
            if queue.polls and queue.messages.ready():
                queue.polls.wake()

        if ids:
            future.add_done_callback(gone)  # whether somebody still waits for it or not
        return future

    def remove(self, queue: Queue, handles: Iterable[Handle]) -> int:
        """Delete messages without waiting for the disk; whose handles have expired stay. How many are gone."""
        if isinstance(queue.messages, Standard):
            count = self._rows.remove(queue.messages.name, [handle.id for handle in handles])
            if count:
                queue.count("NumberOfMessagesDeleted", count)
                if queue.polls and queue.messages.ready():
                    queue.polls.wake()
            return count
        ids: list[int | None] = []
        for handle in handles:
            with contextlib.suppress(Fault):
                ids.append(self._deletable(queue, handle))
        self._settled(queue, ids)
        return len(ids)

    async def change(self, queue: Queue, members: Mapping[str, Any], call: Call) -> None:
        handle = queue.handled(members["ReceiptHandle"])
        await self.hide(queue, handle, members["VisibilityTimeout"])

    async def change_batch(self, queue: Queue, members: Mapping[str, Any], call: Call) -> Result:
        entries: batches.Entries = members["Entries"]
        batches.check(entries, "ChangeMessageVisibilityBatchRequestEntry", "ReceiptHandle")
        outcomes: list[Awaitable[Result] | Fault] = []
        for entry in entries:
            seconds = entry.get("VisibilityTimeout", queue.settings.visibility)
            try:
                outcomes.append(self.hide(queue, queue.handled(entry["ReceiptHandle"]), seconds))
            except Fault as fault:
                outcomes.append(fault)
        return await batches.gathered(entries, outcomes)

    async def hide(self, queue: Queue, handle: Handle, seconds: int) -> Result:
        """From now on for so many seconds. Raises Fault."""
        if not 0 <= seconds <= limits.SQS_VISIBILITY:
            raise invalid_value(
                seconds, "VisibilityTimeout", f"Must be >= 0 and <= {limits.SQS_VISIBILITY}, if provided."
            )
        standing = self._rows.standing(handle.id)
        if standing is None or not queue.messages.owns(standing.queue):
            raise invalid_value(queue.text(handle), "ReceiptHandle", _NOT_THERE)
        if (self._rows.now() - handle.at) / 1e9 + seconds > limits.SQS_VISIBILITY:
            reason = f"Total VisibilityTimeout for the message is beyond the limit [{limits.SQS_VISIBILITY} seconds]"
            raise invalid_value(seconds, "VisibilityTimeout", reason)
        if queue.messages.current(handle):
            if seconds:
                self._rows.extend(handle.id, seconds)
            else:
                await stored(self._rows.release(handle.id), deadline())
        elif queue.fifo:
            raise invalid_value(queue.text(handle), "ReceiptHandle", _NOT_THERE)
        return {}

    def _again(self, queue: Queue, attempt: str, seconds: int) -> list[Result] | None:
        """The messages of an earlier receive with the same attempt id, if nothing was done with them."""
        found = self._attempts.find(queue.id, attempt)
        if found is None:
            return None
        handles = [queue.handled(each["ReceiptHandle"]) for each in found]
        if not all(map(queue.messages.current, handles)):
            return None
        for handle in handles:
            self._rows.extend(handle.id, seconds)
        return found

    # What is too old.

    async def sweep(self) -> None:
        """Messages at the heads of their lines that are too old are gone; the others go when it is their turn."""
        for queue in self._catalog:
            for line in queue.messages.lines():
                while first := self._rows.first(line):
                    if not expired(queue, first.put, Meta.decode(first.meta), self._rows.now()):
                        break
                    await self._rows.settle([first.id])
            await asyncio.sleep(0)


def shown(queue: Queue, row: Leased, meta: Meta, handle: Handle, wanted: Wanted) -> Result:
    number = messages.sequence(row.id) if queue.fifo else None
    text = queue.text(handle)
    return messages.received(messages.decode(row.value), meta, row.attempts, number, text, wanted)


def expired(queue: Queue, put: int, meta: Meta, now: int) -> bool:
    return now - (meta.enqueued or put) > queue.settings.retention * 1e9
