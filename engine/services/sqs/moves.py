"""Move tasks: messages of a dead-letter queue go back to where they came from, or on to another queue.

Each message moves in one step, so that a task which the server's end interrupts goes on at the next start.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ... import limits
from ...aws.faults import Fault
from ...durable.folder import StoreError
from ...durable.queue import Leased
from ...durable.queue import Queues as Rows
from . import messages
from .call import Call
from .faults import invalid, invalid_value, no_resource
from .messages import Meta
from .queues import Catalog, Queue
from .redrive import parse_arn

TABLE = "sqs-moves"  # by source queue's name and task
_CHUNK = 100
_KEPT = 1.0  # seconds between two records of a task's progress
_ACTIVE = ("RUNNING", "CANCELLING")
_UNKNOWN = "CouldNotDetermineMessageSource"
_FORM = (
    "You must use this format to specify the SourceArn: "
    "arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
)
_log = logging.getLogger("stoker.sqs")
Task = dict[str, Any]


class Moves:
    """The tasks of every place. Belongs to one event loop."""

    def __init__(self, catalog: Catalog, rows: Rows) -> None:
        self._catalog = catalog
        self._rows = rows
        self._active: dict[str, Task] = {}  # by the source queue's id
        self._running: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Those that the last run did not end."""
        for queue in self._catalog:
            for task in self._tasks(queue):
                if task["Status"] in _ACTIVE:
                    self._run(queue, dict(task))

    def close(self) -> None:
        for task in self._running:
            task.cancel()

    async def start(self, members: Mapping[str, Any], call: Call) -> dict[str, Any]:
        source = self._source(members["SourceArn"], call)
        if not self._catalog.sources(source):
            raise invalid("Source queue must be configured as a Dead Letter Queue.")
        destination = members.get("DestinationArn")
        if destination is not None:
            target = self._catalog.by_arn(destination)
            if target is None or target.place != call.place:
                raise no_resource("DestinationArn")
            if target is source or target.fifo is not source.fifo:
                raise invalid_value(
                    destination, "DestinationArn", "The queue cannot take the source queue's messages."
                )
        rate = members.get("MaxNumberOfMessagesPerSecond")
        if rate is not None and not 1 <= rate <= limits.SQS_MOVES_PER_SECOND:
            reason = f"You must enter an integer value between 1 and {limits.SQS_MOVES_PER_SECOND}."
            raise invalid_value(rate, "MaxNumberOfMessagesPerSecond", reason)
        async with self._catalog.lock:
            if source.id in self._active:
                raise invalid(
                    "There is already a task running. "
                    "Only one active task is allowed for a source queue arn at a given time."
                )
            ready = sum(self._rows.counts(line).ready for line in source.messages.lines())
            task: Task = {
                "SourceArn": source.arn, "Status": "RUNNING", "StartedTimestamp": int(time.time() * 1000),
                "ApproximateNumberOfMessagesMoved": 0, "ApproximateNumberOfMessagesToMove": ready,
                "_id": str(uuid.uuid4()), "_queue": source.id,
            }  # fmt: skip
            if destination is not None:
                task["DestinationArn"] = destination
            if rate is not None:
                task["MaxNumberOfMessagesPerSecond"] = rate
            old = self._tasks(source)[limits.SQS_MOVE_TASKS - 1 :]
            await self._catalog.write(
                source.place,
                (TABLE, source.name, task["_id"], dict(task)),
                *((TABLE, source.name, each["_id"], None) for each in old),
            )
            self._run(source, task)
        return {"TaskHandle": _handle(task)}

    async def cancel(self, members: Mapping[str, Any], call: Call) -> dict[str, Any]:
        try:
            named = json.loads(base64.b64decode(members["TaskHandle"], validate=True))
            id, arn = named["taskId"], named["sourceArn"]
        except (binascii.Error, ValueError, TypeError, KeyError, RecursionError):
            raise invalid("Value for parameter TaskHandle is invalid.") from None
        source = self._source(arn, call)
        found = next((task for task in self._tasks(source) if task["_id"] == id), None)
        if found is None:
            raise Fault("ResourceNotFoundException", "Task does not exist.")
        task = self._active.get(source.id)
        if task is None or task["_id"] != id or task["Status"] != "RUNNING":
            raise invalid("Only a task that is running can be cancelled.")
        task["Status"] = "CANCELLING"
        await self._keep(source, task)
        return {"ApproximateNumberOfMessagesMoved": task["ApproximateNumberOfMessagesMoved"]}

    async def listed(self, members: Mapping[str, Any], call: Call) -> dict[str, Any]:
        source = self._source(members["SourceArn"], call)
        n = members.get("MaxResults", 1)
        if not 1 <= n <= limits.SQS_MOVE_TASKS:
            raise invalid_value(
                n, "MaxResults", f"Must be between 1 and {limits.SQS_MOVE_TASKS}, if provided."
            )
        shown = []
        for task in self._tasks(source)[:n]:
            current = self._active.get(source.id)
            each = dict(current if current is not None and current["_id"] == task["_id"] else task)
            if each["Status"] == "RUNNING":
                each["TaskHandle"] = _handle(each)
            shown.append({name: value for name, value in each.items() if not name.startswith("_")})
        return {"Results": shown}

    def _source(self, arn: object, call: Call) -> Queue:
        if not isinstance(arn, str) or parse_arn(arn) is None:
            raise invalid(_FORM)
        queue = self._catalog.by_arn(arn)
        if queue is None or queue.place != call.place:
            raise no_resource("SourceArn")
        return queue

    def _tasks(self, source: Queue) -> list[Task]:
        """A queue's tasks, the newest first."""
        found = self._catalog.state(source.place).owned(TABLE, source.name).values()
        mine = [task for task in found if task["_queue"] == source.id]
        return sorted(mine, key=lambda task: task["StartedTimestamp"], reverse=True)

    async def _keep(self, source: Queue, task: Task) -> None:
        await self._catalog.write(source.place, (TABLE, source.name, task["_id"], dict(task)))

    def _run(self, source: Queue, task: Task) -> None:
        self._active[source.id] = task
        running = asyncio.ensure_future(self._move(source, task))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _move(self, source: Queue, task: Task) -> None:
        status = "COMPLETED"
        rate = task.get("MaxNumberOfMessagesPerSecond")
        chunk = _CHUNK if rate is None else max(1, rate // 10)
        kept = time.monotonic()
        try:
            while task["Status"] == "RUNNING" and self._catalog.alive(source):
                begun = time.monotonic()
                leased = source.messages.lease(chunk, None)
                if not leased:
                    break
                moved = [self._moved(source, task, row) for row in leased]
                for future in moved:
                    if future is not None:
                        await future
                        task["ApproximateNumberOfMessagesMoved"] += 1
                if None in moved:
                    status, task["FailureReason"] = "FAILED", _UNKNOWN
                    break
                if time.monotonic() - kept > _KEPT:
                    kept = time.monotonic()
                    await self._keep(source, task)
                if rate is not None:
                    await asyncio.sleep(max(0.0, begun + len(leased) / rate - time.monotonic()))
        except StoreError as error:
            _log.exception("a move task of %s failed", source.arn)
            status, task["FailureReason"] = "FAILED", str(error)
        if status == "COMPLETED" and task["Status"] == "CANCELLING":
            status = "CANCELLED"
        task["Status"] = status
        try:
            if self._catalog.alive(source):
                await self._keep(source, task)
        except StoreError:
            _log.exception("the end of a move task of %s could not be kept", source.arn)
        finally:
            if self._active.get(source.id) is task:
                del self._active[source.id]

    def _moved(self, source: Queue, task: Task, row: Leased) -> asyncio.Future[None] | None:
        """A message on its way, as a new one. None: where it should go is not known or not there, and it stays."""
        meta = Meta.decode(row.meta)
        target = self._catalog.by_arn(task.get("DestinationArn") or meta.source)
        if target is None or target is source or target.fifo is not source.fifo:
            self._rows.release(row.id)
            return None
        new = Meta(enqueued=self._rows.now(), sent=int(time.time() * 1000), id=uuid.uuid4().bytes)
        line = target.messages.line_of(messages.decode(row.value))
        future = self._rows.move(row.id, line, meta=new.encode())
        source.messages.gone(row.id)
        return future


def _handle(task: Task) -> str:
    return base64.b64encode(
        json.dumps({"taskId": task["_id"], "sourceArn": task["SourceArn"]}).encode()
    ).decode()
