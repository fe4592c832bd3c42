"""What a flow has due is done: its invocations, and the reports of what it gives up, each when there is room for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ... import wire
from .. import reports, words
from ..batches import BYTES
from ..function import Function, How, Invoked
from ..settings import Settings
from ..status import Status
from .flow import Flow, GivenUp, Invocation

Report = Callable[[GivenUp], Awaitable[None]]

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Epoch seconds, by a clock that does not jump."""
    return _EPOCH + time.monotonic()


class FlowRunner:
    """Of one shard or partition, for whoever reads it: that calls `go_on` when there is something new, and waits for
    `_event`, which is set when something has ended. Belongs to the event loop."""

    def __init__(
        self, flow: Flow, settings: Settings, function: Function, status: Status, report: Report
    ) -> None:
        """report: done once what was given up is durable elsewhere."""
        self._flow, self._settings = flow, settings
        self._function, self._status, self._report = function, status, report
        self._running = True
        self._event, self._halt = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = False  # for the function
        self._reporting: set[int] = set()  # lanes

    def stop(self) -> None:
        """Begin nothing more."""
        self._running = False
        self._event.set()
        self._halt.set()

    # What each kind of source says of itself.

    def _event_of(self, made: Invocation) -> bytes:
        raise NotImplementedError

    def _failed(self, made: Invocation, result: Invoked) -> set[str] | None:
        """The records that a response reports, by their ids; None: all of them."""
        return reports.failed(result.payload, {record.id for record in made.records})

    def _measure(self, made: Invocation, now: float) -> None:
        """An invocation has ended."""

    def _moved(self) -> None:
        """More may be done than was."""

    # Invoking.

    def go_on(self) -> None:
        """Begin what is due."""
        if not self._running or self._waiting:
            return
        problem = self._function.problem()
        full = None if problem else self._function.full()
        if problem or full is not None:
            if problem or self._function.closed:
                self._status.say(problem or words.THROTTLED)
            self._waiting = True
            self._task(self._until_changed())
            return
        for made in self._flow.next(now()):
            self._task(self._invoke(made))
        for given in self._flow.given_up():
            if given.lane not in self._reporting:
                self._reporting.add(given.lane)
                self._task(self._give_up(given))

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._event.set()
        if self._running:
            self.go_on()  # not only after what is being read
        if not task.cancelled() and (error := task.exception()) is not None:
            self._status.complain(self._settings, error)

    async def _until_changed(self) -> None:
        """Room in the function, or the end of this."""
        full = self._function.full()
        if full is None and not self._function.problem():  # since it was looked at last
            self._waiting = False
            return
        halted = asyncio.ensure_future(self._halt.wait())
        changed = asyncio.ensure_future(self._function.changed(full))
        try:
            await asyncio.wait((halted, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            halted.cancel()
            changed.cancel()
            self._waiting = False

    async def _invoke(self, made: Invocation) -> None:
        payload = self._event_of(made)
        if len(payload) > BYTES and len(made.records) == 1:
            self._flow.too_large(made)
            return
        result = await self._function.invoke(payload)
        ended, count = now(), len(made.records)
        if result.how in (How.REFUSED, How.GONE):
            self._status.say(result.words)
            self._flow.refused(made, ended)
            return
        failed: set[str] | None = set()
        if result.how is How.FAILED:
            self._flow.failed(made, ended, result.request_id, result.version)
            well = False
        else:
            if self._settings.reports:
                failed = self._failed(made, result)
            response = _decoded(result.payload) if made.window is not None else None
            well = self._flow.done(made, ended, failed, response, result.request_id, result.version)
        self.go_on()  # the function need not wait for what follows
        self._status.count("InvokedEventCount", count)
        if failed:
            self._status.count("FailedInvokeEventCount", len(failed))
        if well:
            self._status.ok()
        else:
            self._status.say(words.FAILED)
            self._status.count("FailedInvokeEventCount", count)
        self._measure(made, ended)
        self._moved()

    async def _give_up(self, given: GivenUp) -> None:
        """Reported, if there is a destination; then the shard goes on."""
        try:
            await self._report(given)
            self._status.count("DroppedEventCount", len(given.piece.records))
            self._flow.noted(given)
        finally:
            self._reporting.discard(given.lane)
        self._moved()


def _decoded(payload: bytes) -> Any:
    try:
        return wire.decode(payload)
    except (ValueError, RecursionError):
        return None
