"""One partition of a mapping: its records, in order, to the function; and the offset up to which they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from .. import reports
from ..function import Function, Invoked
from ..settings import Settings
from ..status import Status
from ..streams.flow import Flow, Invocation
from ..streams.records import Rules
from ..streams.runner import FlowRunner, Report, now
from .records import Frame, shown, skipped

_ATTEMPTS = (
    10  # retries of a mapping with a destination that sets no number (developer guide, "Kafka on-failure")
)


def rules_of(settings: Settings, frame: Frame) -> Rules:
    retries = settings.retries
    if retries < 0 and settings.destination:
        retries = _ATTEMPTS
    return Rules(
        settings.batch_size, settings.window, 1, settings.bisect, retries, settings.max_age, 0.0, frame.size
    )


class Partition(FlowRunner):
    """Belongs to the event loop."""

    def __init__(
        self, settings: Settings, servers: Sequence[str], number: int, function: Function, status: Status,
        report: Report, changed: Callable[[], object],
    ) -> None:  # fmt: skip
        """changed: called when more is done, or more may be read."""
        self._frame = Frame(settings, servers, number)
        super().__init__(Flow(rules_of(settings, self._frame)), settings, function, status, report)
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None
        self.read: int | None = None  # the offset after the last record that was read

    @property
    def room(self) -> bool:
        """None, once it is stopped: while the group changes, a poll waits for the end of that."""
        return self._running and self._flow.room

    @property
    def done(self) -> int | None:
        """The offset after the last record before which nothing is left to do; None: there is none."""
        sequence = self._flow.checkpoint().sequence
        return None if sequence is None else int(sequence) + 1

    def feed(self, raws: Sequence[Any]) -> None:
        """In their order: aiokafka's records, at least one."""
        filters, moment = self._settings.filters, now()
        feed, record, dropped = self._flow.feed, self._frame.record, 0
        if not filters:
            self._flow.extend([record(raw) for raw in raws], moment)
        for raw in raws if filters else ():
            if filters.passes(shown(raw), {"key": raw.key, "value": raw.value}):
                feed(record(raw), moment)
            else:
                feed(skipped(raw), moment, False)
                dropped += 1
        self.read = raws[-1].offset + 1
        self._status.count("PolledEventCount", len(raws))
        self._status.count("FilteredOutEventCount", dropped)
        if dropped:
            self._changed()
        self.go_on()

    def go_on(self) -> None:
        """Begin what is due, and again when more is."""
        super().go_on()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = None if self._waiting or not self._running else self._flow.wake_at()
        if at is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, at - now()), self.go_on)

    def stop(self) -> None:
        super().stop()
        if self._timer is not None:
            self._timer.cancel()

    async def ended(self, seconds: float | None = None) -> None:
        """After `stop`: until what is in flight has ended, or so long."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)

    def _over(self, task: asyncio.Task[None]) -> None:
        super()._over(task)
        self._changed()

    def _event_of(self, made: Invocation) -> bytes:
        return self._frame.event(made.records)

    def _failed(self, made: Invocation, result: Invoked) -> set[str] | None:
        ids = {record.id for record in made.records}
        return reports.failed(result.payload, ids, self._frame.id_of)
