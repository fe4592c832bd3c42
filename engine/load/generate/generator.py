"""Sends requests: at the times of a schedule, whatever becomes of them (open loop), or each after the last (closed).

In an open loop the latency of a request counts from the time at which it was *intended* to be sent. A target that
stalls is sent requests all the same, and what had to wait for it has waited: nothing is omitted because nothing is
coordinated.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from .arrivals import Schedule
from .payloads import Check, Payloads
from .record import Record, Response

_LEAD = 20_000_000  # ns between the call and the schedule's zero
_AT_ONCE = 16  # requests sent before the loop may look at what came
_CLOCK_MONOTONIC = 1
_ABSTIME = 1


class Sender(Protocol):
    """Where requests go. `send` never raises and never waits: `done` is called once, in the loop, at once or later."""

    def send(self, payload: bytes, function: int, done: Callable[[Response], None]) -> None: ...


class Timer(Protocol):
    """Calls back, in the loop, at the time that was set last. Times are ns of its own clock."""

    def now(self) -> int: ...
    def set(self, at: int) -> None: ...
    def close(self) -> None: ...


MakeTimer = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Timer]


class _Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


class FineTimer:
    """A timerfd in the loop: good to some tens of microseconds, where an event loop's own timers take a millisecond."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        """Raises OSError."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._loop = loop
        self._callback = callback
        self._spec = _Spec()
        self._set = self._libc.timerfd_settime
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self.now = time.monotonic_ns
        loop.add_reader(self._fd, self._rung)

    def set(self, at: int) -> None:
        at = max(at, 1)  # 0 would disarm it
        self._spec.value_s, self._spec.value_ns = divmod(at, 1_000_000_000)
        self._set(self._fd, _ABSTIME, ctypes.byref(self._spec), None)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _rung(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set anew meanwhile
            return
        self._callback()


class PolledTimer:
    """Looks at the clock in every turn of the loop, which never sleeps and takes all of a core."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._at: int | None = None
        self._turning = False
        self.now = time.monotonic_ns

    def set(self, at: int) -> None:
        self._at = at
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def close(self) -> None:
        self._at = None

    def _turn(self) -> None:
        if self._at is not None and self.now() < self._at:
            self._loop.call_soon(self._turn)
            return
        self._turning = False
        if self._at is not None:
            self._callback()


class _Loop:
    """What both loops share. check: of all replies, or of each function's (taken modulo how many there are)."""

    def __init__(
        self,
        sender: Sender,
        payloads: Payloads,
        check: Check | Sequence[Check],
        record: Record,
        timer: MakeTimer,
    ) -> None:
        self.record = record
        self._sender = sender
        self._payloads = payloads
        self._checks = [check] if callable(check) else list(check)
        self._make_timer = timer
        self._begin = 0  # by the timer
        self._number = 0
        self._open: dict[int, int] = {}  # offsets, in ns, of what is in flight, by number

    def _send(self, offset: int, function: int, lag: int) -> None:
        number, begin, timer, record = self._number, self._begin, self._timer, self.record
        payload = self._payloads.make(number, function)
        self._number += 1
        self._open[number] = offset
        record.send(offset, lag)
        check, open_ = self._checks[function % len(self._checks)], self._open

        def done(response: Response) -> None:
            if open_.pop(number, None) is None:
                return
            latency = timer.now() - begin - offset
            if response.ending == "ok" and (why := check(payload, response.payload)):
                response = Response("error", why=why, cold=response.cold, parts=response.parts)
            record.receive(offset, latency, response)
            self._received()

        self._sender.send(payload, function, done)

    def _received(self) -> None:
        raise NotImplementedError

    async def _drain(self, seconds: float) -> None:
        """Wait for what is in flight; what comes after that is no response any more."""
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            for offset in self._open.values():
                self.record.unanswered(offset)
            self._open.clear()

    def _start(self, callback: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()  # nothing is in flight, and nothing will be sent
        self._timer = self._make_timer(self._loop, callback)


class OpenLoop(_Loop):
    """One run of a schedule against a target. What came of it is in `record`, second by second while it runs."""

    def __init__(
        self, sender: Sender, schedule: Schedule, payloads: Payloads, check: Check | Sequence[Check], record: Record,
        timer: MakeTimer = FineTimer,
    ) -> None:  # fmt: skip
        super().__init__(sender, payloads, check, record, timer)
        self._arrivals = ((round(at * 1e9), function) for at, function in schedule)
        self._next: tuple[int, int] | None = None
        self._all_sent = False
        self._error: BaseException | None = None

    async def run(self, drain: float) -> None:
        """Send everything, then wait at most `drain` seconds for what is in flight."""
        self._sent = asyncio.Event()
        self._start(self._due)
        try:
            self._begin = self._timer.now() + _LEAD
            self._next = next(self._arrivals, None)
            self._due()
            await self._sent.wait()
            if self._error is not None:
                raise self._error
            await self._drain(drain)
        finally:
            self._timer.close()

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
                self._send(offset, function, now - self._begin - offset)
                self._next = next(self._arrivals, None)
        except Exception as error:  # of the schedule's or the payloads': not a target's
            self._error = error
            self._finish()
            return
        self._loop.call_soon(self._due)

    def _received(self) -> None:
        if not self._open and self._all_sent:
            self._empty.set()

    def _finish(self) -> None:
        self._all_sent = True
        self._sent.set()
        self._received()


class ClosedLoop(_Loop):
    """So many callers for so many seconds, each of which sends its next request when it has the response to the last.
    A latency counts from when the request was sent, so a target that stalls is sent less."""

    def __init__(
        self, sender: Sender, callers: int, duration: float, payloads: Payloads, check: Check | Sequence[Check],
        record: Record, timer: MakeTimer = FineTimer,
    ) -> None:  # fmt: skip
        if callers < 1 or duration <= 0:
            raise ValueError(f"{callers} callers for {duration} s: at least one, for more than no time")
        super().__init__(sender, payloads, check, record, timer)
        self._callers = callers
        self._duration = int(duration * 1e9)

    async def run(self, drain: float) -> None:
        """Send for `duration` seconds, then wait at most `drain` seconds for what is in flight."""
        self._over = asyncio.Event()
        self._start(self._over.set)
        try:
            self._begin = self._timer.now()
            self._timer.set(self._begin + self._duration)
            for _ in range(self._callers):
                self._ask()
            await self._over.wait()
            if self._open:
                await self._drain(drain)
        finally:
            self._timer.close()

    def _ask(self) -> None:
        offset = self._timer.now() - self._begin
        if offset < self._duration and not self._over.is_set():
            self._send(offset, 0, 0)
        elif not self._open:
            self._empty.set()

    def _received(self) -> None:
        self._loop.call_soon(self._ask)  # not from here: a target may respond at once, and for ever
