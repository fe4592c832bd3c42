"""The one stream of outcomes: what became of each invocation, gathered for a moment and handed to every subscriber.

A subscriber (counters, metrics) is called with a batch of one deployment. It runs in the event loop, apart from the
invocations themselves: publishing costs those no more than an append.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from .journal import Journal, Throttled
from .records import DeploymentInfo, InvocationRecord

FLUSH_SECONDS = 0.05


class Throttle(msgspec.Struct, gc=False):
    """An invocation that was refused before it began. at: epoch seconds; reason: AWS's; alias: the ARN of the one that
    it was for."""

    at: float
    reason: str
    alias: str = ""


@dataclass(slots=True)
class OutcomeBatch:
    """One deployment's outcomes since the last batch, in order."""

    deployment: DeploymentInfo
    records: list[InvocationRecord]
    throttles: list[Throttle]
    number: int = 0  # of its deployment in the journal, once that has one


Subscriber = Callable[[OutcomeBatch], object]


class Publisher:
    """Where one deployment's outcomes come in."""

    __slots__ = ("_outcomes", "_pending", "info")

    def __init__(self, outcomes: Outcomes, info: DeploymentInfo) -> None:
        self._outcomes = outcomes
        self.info = info
        self._pending: OutcomeBatch | None = None

    def describe(self, info: DeploymentInfo) -> None:
        """More is known of the deployment: from the next outcome on."""
        self.info = info
        self._pending = None

    def ended(self, record: InvocationRecord) -> None:
        batch = self._pending or self._begin()
        batch.records.append(record)
        journal = self._outcomes.journal
        if journal is not None and (self.info.log_group or journal.whole):
            record.deployment = batch.number or self._describe(batch, journal)
            journal.ended(record)

    def throttled(self, throttle: Throttle) -> None:
        batch = self._pending or self._begin()
        batch.throttles.append(throttle)
        journal = self._outcomes.journal
        if journal is not None and journal.whole:
            number = batch.number or self._describe(batch, journal)
            journal.throttled(Throttled(number, throttle.at, throttle.reason, throttle.alias))

    def flushed(self) -> None:
        self._pending = None

    def _describe(self, batch: OutcomeBatch, journal: Journal) -> int:
        batch.number = journal.describe(batch.deployment)
        return batch.number

    def _begin(self) -> OutcomeBatch:
        batch = self._pending = OutcomeBatch(self.info, [], [])
        self._outcomes.add(self, batch)
        return batch


class Outcomes:
    """Belongs to the event loop that serves requests."""

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal | None = None) -> None:
        """journal: has each record at once, before anybody hears of the invocation's end."""
        self._loop = loop
        self.journal = journal
        self._subscribers: list[Subscriber] = []
        self._batches: list[tuple[Publisher, OutcomeBatch]] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.remove(subscriber)

    def add(self, publisher: Publisher, batch: OutcomeBatch) -> None:
        """A batch that is filled until the next flush."""
        if not self._batches:
            self._loop.call_later(FLUSH_SECONDS, self.flush)
        self._batches.append((publisher, batch))

    def flush(self) -> None:
        """Hand on what was published since the last time."""
        batches, self._batches = self._batches, []
        for publisher, _ in batches:
            publisher.flushed()
        if self.journal is not None:
            self.journal.forget()
        for _, batch in batches:
            for subscriber in self._subscribers:
                try:
                    subscriber(batch)
                except Exception as error:  # one that fails does not take the others' outcomes
                    message = "a subscriber to outcomes failed"
                    self._loop.call_exception_handler({"message": message, "exception": error})
