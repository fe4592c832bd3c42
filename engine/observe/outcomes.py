"""The one stream of outcomes: what became of each invocation, gathered for a moment and handed to every subscriber.

A subscriber (counters, metrics) is called with a batch of one deployment. It runs in the event loop, apart from the
invocations themselves: publishing costs those no more than an append.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from .journal import Journal, Throttled
from .records import DeploymentInfo, InvocationRecord, Quiet

FLUSH_SECONDS = 0.05
_decode = msgspec.json.Decoder(Quiet).decode_lines


class Throttle(msgspec.Struct, gc=False):
    """An invocation that was refused before it began. at: epoch seconds; reason: AWS's; alias: the ARN of the one that
    it was for."""

    at: float
    reason: str
    alias: str = ""


@dataclass(slots=True)
class OutcomeBatch:
    """One deployment's outcomes since the last batch: `quiet` ones by themselves, each kind in order."""

    deployment: DeploymentInfo
    ended: list[InvocationRecord]  # that were not quiet
    throttles: list[Throttle]
    number: int = 0  # of its deployment in the journal, once that has one
    quiet: list[QuietOnes] = field(default_factory=list)

    @property
    def records(self) -> list[InvocationRecord]:
        """All that ended, in order: made for this, for who watches them."""
        quiet = [each.record() for some in self.quiet for each in _decode(some.lines)]
        return sorted(self.ended + quiet, key=lambda record: record.at) if quiet else self.ended

    @property
    def took(self) -> list[int]:
        """Nanoseconds in the handler, of all that ended, in no order."""
        return [record.took for record in self.ended] + [took for some in self.quiet for took in some.took]


class QuietOnes(NamedTuple):
    """Invocations that ended quietly. lines: of the journal; times: of each, two 64-bit numbers: its end, microseconds
    of the epoch, and nanoseconds in the handler."""

    lines: bytes
    times: bytes

    @property
    def took(self) -> list[int]:
        return memoryview(self.times).cast("q")[1::2].tolist()


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
        batch.ended.append(record)
        journal = self._outcomes.journal
        if journal is not None and (self.info.log_group or journal.whole):
            record.deployment = batch.number or self._describe(batch, journal)
            journal.ended(record)

    def number(self) -> int:
        """By which the journal's next lines name the deployment; 0 where it has none of them."""
        batch = self._pending or self._begin()
        journal = self._outcomes.journal
        if batch.number or journal is None or not (self.info.log_group or journal.whole):
            return batch.number
        return self._describe(batch, journal)

    def quiet(self, lines: bytes, times: bytes) -> None:
        """So many that ended quietly, whose lines have that number: in the journal once this returns."""
        batch = self._pending or self._begin()
        batch.quiet.append(QuietOnes(lines, times))
        if batch.number:
            journal = self._outcomes.journal
            assert journal is not None
            journal.quiet(lines, len(times) // 16)

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
