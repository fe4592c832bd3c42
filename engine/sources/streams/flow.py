"""The flow of one shard's records through its function: lanes by partition key, or tumbling windows; and how far it is.
Pure: it is told what was read, what time it is, and how invocations ended.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import backoff
from ..batches import BYTES
from .lanes import Delay, Lane
from .progress import Progress
from .records import GivenUp, Piece, Record, Rules
from .windows import State, Windows

AHEAD = 2  # batches of each lane that are read ahead
# Records that are, however small the batches, if they have no more bytes than that.
SMALL, SMALL_BYTES = 1_000, 1 << 20


@dataclass(slots=True)
class Invocation:
    """One that is to be made. window, state, final, early: of a mapping with tumbling windows."""

    lane: int
    records: list[Record]
    window: dict[str, str] | None = None
    state: State | None = None
    final: bool = False
    early: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """From where a shard goes on. sequence: of the last record that is done; None: there is none."""

    sequence: str | None = None
    window: float | None = None
    state: State | None = None


class Flow:
    """Times: epoch seconds."""

    def __init__(self, rules: Rules, start: Checkpoint | None = None, delay: Delay = backoff.delay) -> None:
        start = start or Checkpoint()
        self._rules = rules
        self._progress = Progress()
        self._before = start.sequence
        self._lanes = [Lane(n, rules, delay) for n in range(1 if rules.tumbling else rules.parallel)]
        self._windows = Windows(rules.tumbling, start.window, start.state) if rules.tumbling else None
        self._final = False  # is the invocation under way the last one of a window?
        self._final_failures = 0
        self._final_until = 0.0
        self._delay = delay

    # What was read.

    def feed(self, record: Record, now: float, passes: bool = True) -> None:
        """In the order of the shard. passes: the filters."""
        self._progress.take(record)
        if not passes:
            self._progress.done([record])
            return
        if len(self._lanes) == 1:
            self._lanes[0].add(record, now)
            return
        lane = zlib.crc32(record.group.encode("utf-8", "surrogatepass")) % len(self._lanes)
        self._lanes[lane].add(record, now)

    def extend(self, records: Sequence[Record], now: float) -> None:
        """`feed` with all of them, which pass."""
        if len(self._lanes) == 1:
            self._progress.extend(records)
            self._lanes[0].extend(records, now)
            return
        for record in records:
            self.feed(record, now)

    def read_until(self, arrived: float) -> None:
        """Whatever arrived before that is here."""
        if self._windows is not None:
            self._windows.read_until = max(self._windows.read_until, arrived)

    @property
    def room(self) -> bool:
        """Should more be read?"""
        ahead, count, bytes = AHEAD * len(self._lanes), len(self._progress), self.bytes
        if count < SMALL and bytes < SMALL_BYTES:
            return True
        return count < ahead * self._rules.batch_size and bytes < ahead * BYTES

    @property
    def bytes(self) -> int:
        """Of the records that were not tried yet."""
        return sum(lane.bytes for lane in self._lanes)

    def __len__(self) -> int:
        """Records that are not done."""
        return len(self._progress)

    @property
    def settled(self) -> bool:
        """Nothing is left to do with what was read, and no window is open."""
        return not len(self) and not self._final and (self._windows is None or self._windows.start is None)

    # What is to be done.

    def next(self, now: float) -> list[Invocation]:
        """The invocations to make now."""
        if self._windows is not None:
            found = self._next_of_window(self._windows, now)
            return [] if found is None else [found]
        made = []
        for lane in self._lanes:
            piece = lane.next(now)
            if piece is not None:
                made.append(Invocation(lane.number, piece.records))
        return made

    def _next_of_window(self, windows: Windows, now: float) -> Invocation | None:
        lane = self._lanes[0]
        if self._final or lane.waits(now):
            return None
        fresh = lane.fresh
        if lane.idle:
            if windows.over(fresh[0].arrived if fresh else None):
                if now < self._final_until:
                    return None
                self._final = True
                return Invocation(0, [], windows.shown(), windows.state, True, windows.early)
            if fresh and windows.start is None:
                windows.open(windows.of(fresh[0].arrived))
        most = 0
        for record in fresh:
            if windows.of(record.arrived) != windows.start:
                break
            most += 1
        closing = windows.start is not None and windows.read_until >= windows.end
        piece = lane.next(now, most, closing)
        if piece is None:
            return None
        return Invocation(0, piece.records, windows.shown(), windows.state)

    def given_up(self) -> list[GivenUp]:
        """What is to be reported, and then `noted`."""
        return [lane.giving for lane in self._lanes if lane.giving is not None]

    def noted(self, given: GivenUp) -> None:
        """It is reported, durably: those records are done."""
        self._progress.done(given.piece.records)
        self._lanes[given.lane].noted()

    def wake_at(self) -> float | None:
        """When `next` may have something without anything else happening; None: never."""
        if self._final:
            return None
        if self._final_until:
            return self._final_until
        return min((at for lane in self._lanes if (at := lane.wake_at()) is not None), default=None)

    # How an invocation ended.

    def refused(self, made: Invocation, now: float) -> None:
        """It did not run."""
        if made.final:
            self._final_again(now)
        else:
            self._lanes[made.lane].refused(now)

    def too_large(self, made: Invocation) -> None:
        """It could not be made: its event, of one record, is larger than an event may be."""
        self._lanes[made.lane].too_large()

    def failed(self, made: Invocation, now: float, request_id: str = "", version: str = "") -> None:
        """The function's error."""
        if made.final:
            self._final_again(now)
        else:
            self._lanes[made.lane].failed(now, request_id, version, True)

    def done(
        self, made: Invocation, now: float, failed: set[str] | None, response: Any = None,
        request_id: str = "", version: str = "",
    ) -> bool:  # fmt: skip
        """It ran to its end. failed: the sequence numbers that it reports, None: all of them. False: as a whole it
        counts as failed."""
        lane = self._lanes[made.lane]
        lowest = 0 if failed is None else _lowest(made.records, failed)
        if made.final:
            if self._windows is not None and isinstance(response, dict) and "state" in response:
                self._final, self._final_failures, self._final_until = False, 0, 0.0
                self._windows.ended()
                return True
            self._final_again(now)
            return False
        if (lowest == 0 and made.records) or not self._kept_state(response):
            lane.failed(now, request_id, version, failed is not None and lowest != 0)
            return False
        if lowest is None:
            self._progress.done(lane.succeeded().records)
        else:
            self._progress.done(lane.failed_from(lowest, now, request_id, version))
        return True

    def _kept_state(self, response: Any) -> bool:
        return self._windows is None or self._windows.returned(response)

    def _final_again(self, now: float) -> None:
        """A window that does not end stops the shard."""
        self._final = False
        self._final_failures += 1
        self._final_until = now + self._delay(self._final_failures)

    def checkpoint(self) -> Checkpoint:
        sequence = self._progress.sequence or self._before
        windows = self._windows
        if windows is None:
            return Checkpoint(sequence)
        return Checkpoint(sequence, windows.start, windows.state)


def _lowest(records: list[Record], failed: set[str]) -> int | None:
    """The first record that failed; None: none did."""
    if not failed:
        return None
    return next((at for at, record in enumerate(records) if record.id in failed), None)


__all__ = ["Checkpoint", "Flow", "GivenUp", "Invocation", "Piece"]
