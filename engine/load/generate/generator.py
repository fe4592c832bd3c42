"""Sends requests: at the times of a schedule, whatever becomes of them (open loop), or each after the last (closed).

In an open loop the latency of a request counts from the time at which it was *intended* to be sent. A target that
stalls is asked all the same, and what had to wait for it has waited: nothing is omitted because nothing is coordinated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from .arrivals import Arrival, Schedule
from .payloads import Payloads
from .record import Answer, Record
from .replies import Check
from .timer import FineTimer, Timer

MakeTimer = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Timer]
_LEAD = 20_000_000  # ns between the call and the schedule's zero
_AT_ONCE = 16  # requests sent before the loop may look at what came


class Target(Protocol):
    """Where requests go. `send` never raises and never waits: `done` is called once, in the loop, at once or later."""

    def send(self, payload: bytes, function: int, done: Callable[[Answer], None]) -> None: ...


class OpenLoop:
    """One run of a schedule against a target. What came of it is in `record`, second by second while it runs.

    check: of all replies, or of each function's (taken modulo how many there are)."""

    def __init__(
        self,
        target: Target,
        schedule: Schedule,
        payloads: Payloads,
        check: Check | Sequence[Check],
        record: Record,
        timer: MakeTimer = FineTimer,
    ) -> None:
        self.record = record
        self._target = target
        self._payloads = payloads
        self._checks = [check] if callable(check) else list(check)
        self._arrivals: Iterator[Arrival] = iter(schedule)
        self._make_timer = timer
        self._open: dict[int, int] = {}  # offsets, in ns, of what is in flight, by number
        self._number = 0
        self._next: tuple[int, int] | None = None
        self._all_sent = False
        self._error: BaseException | None = None

    async def run(self, drain: float) -> None:
        """Send everything, then wait at most `drain` seconds for what is in flight."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._sent = asyncio.Event()
        self._empty = asyncio.Event()
        self._timer = self._make_timer(loop, self._due)
        try:
            self._begin = self._timer.now() + _LEAD
            self._advance()
            self._due()
            await self._sent.wait()
            if self._error is not None:
                raise self._error
            try:
                await asyncio.wait_for(self._empty.wait(), drain)
            except TimeoutError:
                for offset in self._open.values():
                    self.record.unanswered(offset)
                self._open.clear()  # an answer that comes now is not one any more
        finally:
            self._timer.close()

    def _advance(self) -> None:
        for at, function in self._arrivals:
            self._next = round(at * 1e9), function
            return
        self._next = None

    def _due(self) -> None:
        """Send what is due, set the alarm for the next."""
        if self._all_sent:
            return
        try:
            for _ in range(_AT_ONCE):
                if self._next is None:
                    self._finish()
                    return
                offset, function = self._next
                now = self._timer.now()
                if self._begin + offset > now:
                    self._timer.set(self._begin + offset)
                    return
                self._send(offset, function, now)
                self._advance()
        except Exception as error:  # of the schedule's or the payloads': not a target's
            self._error = error
            self._finish()
            return
        self._loop.call_soon(self._due)

    def _send(self, offset: int, function: int, now: int) -> None:
        number, begin, timer, record = self._number, self._begin, self._timer, self.record
        payload = self._payloads.make(number, function)
        self._number += 1
        self._open[number] = offset
        record.send(offset, now - begin - offset)
        check, opened = self._checks[function % len(self._checks)], self._open

        def done(answer: Answer) -> None:
            if opened.pop(number, None) is None:
                return
            latency = timer.now() - begin - offset
            if answer.ending == "ok" and (why := check(payload, answer.payload)):
                answer = Answer("error", why=why, cold=answer.cold, parts=answer.parts)
            record.answer(offset, latency, answer)
            if not opened and self._all_sent:
                self._empty.set()

        self._target.send(payload, function, done)

    def _finish(self) -> None:
        self._all_sent = True
        self._sent.set()
        if not self._open:
            self._empty.set()


class ClosedLoop:
    """So many callers for so many seconds, each of which asks again when it has been answered: what a simple timer
    measures. A latency counts from when the request was sent, so a target that stalls is asked less."""

    def __init__(
        self,
        target: Target,
        callers: int,
        duration: float,
        payloads: Payloads,
        check: Check,
        record: Record,
        timer: MakeTimer = FineTimer,
    ) -> None:
        if callers < 1 or duration <= 0:
            raise ValueError(f"{callers} callers for {duration} s: at least one, for more than no time")
        self.record = record
        self._target = target
        self._callers = callers
        self._duration = int(duration * 1e9)
        self._payloads = payloads
        self._check = check
        self._make_timer = timer
        self._number = 0
        self._open: dict[int, int] = {}

    async def run(self, drain: float) -> None:
        """Ask for `duration` seconds, then wait at most `drain` seconds for what is in flight."""
        loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._empty = asyncio.Event()
        self._timer = self._make_timer(loop, self._over.set)
        self._loop = loop
        try:
            self._begin = self._timer.now()
            self._timer.set(self._begin + self._duration)
            for _ in range(self._callers):
                self._ask()
            await self._over.wait()
            if self._open:
                try:
                    await asyncio.wait_for(self._empty.wait(), drain)
                except TimeoutError:
                    for offset in self._open.values():
                        self.record.unanswered(offset)
                    self._open.clear()
        finally:
            self._timer.close()

    def _ask(self) -> None:
        offset = self._timer.now() - self._begin
        if offset >= self._duration or self._over.is_set():
            if not self._open:
                self._empty.set()
            return
        number = self._number
        payload = self._payloads.make(number, 0)
        self._number += 1
        self._open[number] = offset
        self.record.send(offset, 0)

        def done(answer: Answer) -> None:
            if self._open.pop(number, None) is None:
                return
            latency = self._timer.now() - self._begin - offset
            if answer.ending == "ok" and (why := self._check(payload, answer.payload)):
                answer = Answer("error", why=why, cold=answer.cold, parts=answer.parts)
            self.record.answer(offset, latency, answer)
            self._loop.call_soon(self._ask)  # not from here: a target may answer at once, and for ever

        self._target.send(payload, 0, done)
