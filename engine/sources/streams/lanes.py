"""Lanes of a shard: in each, one batch at a time, in order; what fails is tried again, split, or given up. Pure.

Lambda developer guide, "How Lambda processes records from stream-based event sources": throttles and faults of the
service consume no retries, nor does splitting a batch; a record's age is looked at before its retries are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from .. import backoff
from ..batches import BYTES
from .records import EXHAUSTED, TOO_LARGE, TOO_OLD, GivenUp, Piece, Record, Rules

Delay = Callable[[int], float]  # after so many failures in a row: seconds


class Lane:
    """Times: epoch seconds."""

    def __init__(self, number: int, rules: Rules, delay: Delay = backoff.delay) -> None:
        self.number = number
        self._rules = rules
        self._delay = delay
        self.fresh: deque[Record] = deque()
        self.bytes = 0  # of those
        self._since = 0.0  # when the first of them came
        self._pieces: deque[Piece] = deque()
        self.busy: Piece | None = None
        self.giving: GivenUp | None = None  # nothing goes on until that is taken note of
        self._failures = 0
        self._until = 0.0

    def add(self, record: Record, now: float) -> None:
        if not self.fresh:
            self._since = now
        self.fresh.append(record)
        self.bytes += len(record.json) + 1

    def extend(self, records: Sequence[Record], now: float) -> None:
        """`add` with all of them, of which there is one at least."""
        if not self.fresh:
            self._since = now
        self.fresh.extend(records)
        self.bytes += sum([len(record.json) for record in records]) + len(records)

    @property
    def idle(self) -> bool:
        """Nothing waits to be tried again, and nothing is under way."""
        return self.busy is None and self.giving is None and not self._pieces

    def waits(self, now: float) -> bool:
        """Is it too early to try anything, or is something under way?"""
        return self.busy is not None or self.giving is not None or now < self._until

    def next(self, now: float, most: int | None = None, closing: bool = False) -> Piece | None:
        """What the function is to be invoked with now. most: of the records that were not tried yet, only so many may
        be in one batch; closing: nothing more will be added to those."""
        if self.waits(now):
            return None
        if self._pieces:
            piece = self._pieces.popleft()
        elif self.fresh and (closing or self._closed(now, most)):
            piece = Piece(self._batch(most))
            self._since = now
        else:
            return None
        old = self._old(piece, now)
        if old:
            if old < len(piece.records):
                rest = Piece(piece.records[old:], piece.attempts, piece.invoked, piece.last)
                self._pieces.appendleft(rest)
                piece = Piece(piece.records[:old], piece.attempts, piece.invoked, piece.last)
            self.giving = GivenUp(self.number, piece, TOO_OLD)
            return None
        self.busy = piece
        return piece

    def _closed(self, now: float, most: int | None) -> bool:
        size = self._rules.batch_size
        if len(self.fresh) >= size or (most is not None and most < len(self.fresh)):
            return True
        if now >= self._since + self._rules.window:
            return True
        return self.bytes >= BYTES - self._rules.frame

    def _batch(self, most: int | None) -> list[Record]:
        limit = self._rules.batch_size if most is None else min(most, self._rules.batch_size)
        found: list[Record] = []
        room = BYTES - self._rules.frame
        while self.fresh and len(found) < limit:
            needed = len(self.fresh[0].json) + 1
            if found and needed > room:
                break
            room -= needed
            self.bytes -= needed
            found.append(self.fresh.popleft())
        return found

    def _old(self, piece: Piece, now: float) -> int:
        """How many of its first records are older than they may be."""
        count = 0
        if self._rules.max_age >= 0:
            for record in piece.records:
                if now - record.arrived <= self._rules.max_age:
                    break
                count += 1
        return count

    # How an invocation ended.

    def refused(self, now: float) -> None:
        """It did not run."""
        piece = self._taken()
        self._pieces.appendleft(piece)
        self._back_off(now)

    def too_large(self) -> None:
        """Its one record has no room in an event: no function can be invoked with it."""
        self.giving = GivenUp(self.number, self._taken(), TOO_LARGE)

    def succeeded(self) -> Piece:
        self._failures = 0
        piece = self._taken()
        piece.invoked += 1
        return piece

    def failed(self, now: float, request_id: str, version: str, error: bool) -> None:
        """All of it. error: the function's, not its report's."""
        piece = self._taken()
        self._after(piece, (request_id, version, error))
        rules = self._rules
        if rules.bisect and len(piece.records) > 1:
            half = len(piece.records) // 2
            for records in (piece.records[half:], piece.records[:half]):
                self._pieces.appendleft(Piece(records, piece.attempts, piece.invoked, piece.last))
            self._back_off(now)
        else:
            self._again(piece, now)

    def failed_from(self, at: int, now: float, request_id: str, version: str) -> list[Record]:
        """From its record `at`, which is not the first: those before it, which are done."""
        piece = self._taken()
        self._after(piece, (request_id, version, False))
        rest = Piece(piece.records[at:], piece.attempts, piece.invoked, piece.last)
        if self._rules.bisect:  # that is a split, and consumes no retry
            self._failures = 0
            self._pieces.appendleft(rest)
            self._back_off(now)
        else:
            self._again(rest, now)
        return piece.records[:at]

    def noted(self) -> None:
        """What was given up is taken note of: the lane goes on."""
        self.giving = None

    def _taken(self) -> Piece:
        piece = self.busy
        assert piece is not None
        self.busy = None
        return piece

    @staticmethod
    def _after(piece: Piece, last: tuple[str, str, bool]) -> None:
        piece.invoked += 1
        piece.last = last

    def _again(self, piece: Piece, now: float) -> None:
        piece.attempts += 1
        if 0 <= self._rules.retries < piece.attempts:
            self._failures = 0
            self.giving = GivenUp(self.number, piece, EXHAUSTED)
            return
        self._pieces.appendleft(piece)
        self._back_off(now)

    def _back_off(self, now: float) -> None:
        self._failures += 1
        self._until = now + self._delay(self._failures)

    def wake_at(self) -> float | None:
        """When something may be tried without anything else happening; None: never."""
        if self.busy is not None or self.giving is not None:
            return None
        if self._pieces:
            return self._until
        return max(self._until, self._since + self._rules.window) if self.fresh else None
