"""An event loop whose time is simulated: it jumps to the next timer when there is nothing else to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from engine.load.generate.arrivals import Schedule
from engine.load.generate.generator import OpenLoop, Sender
from engine.load.generate.payloads import Check, Fixed, Payloads, expectation
from engine.load.generate.record import Record, Response

ECHO = expectation("echo")


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing will ever happen any more")
        found = super().select(0)
        if not found and timeout > 0:
            self.loop.now = self.loop._scheduled[0].when()  # type: ignore[attr-defined]
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A simulation takes as long as its callbacks, and is the same every time."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self
        self._clock_resolution = 1e-10  # a timer at this very moment is due

    def time(self) -> float:
        return self.now


def simulate(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """A coroutine's result, in simulated time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def run_open(
    sender: Sender, schedule: Schedule, record: Record | None = None, *, payloads: Payloads | None = None,
    check: Check | Sequence[Check] = ECHO, drain: float = 60,
) -> Record:  # fmt: skip
    """The record of an open loop in simulated time."""
    record = record or Record()
    loop = OpenLoop(sender, schedule, payloads or Fixed(b"1"), check, record, LoopTimer)
    simulate(loop.run(drain))
    return record


class Station:
    """A target in simulated time: one server, first come first served, `service` seconds each, that stands still for
    the first `stall` of every `every` seconds."""

    def __init__(self, service: float, every: float = 0.0, stall: float = 0.0) -> None:
        self.service, self.every, self.stall = service, every, stall
        self.free = 0.0
        self.sent: list[tuple[float, bytes, int]] = []

    def send(self, payload: bytes, function: int, done: Callable[[Response], None]) -> None:
        loop = asyncio.get_running_loop()
        self.sent.append((loop.time(), payload, function))
        start = max(self.free, loop.time())
        if self.every and start % self.every < self.stall:
            start += self.stall - start % self.every
        self.free = start + self.service
        loop.call_at(self.free, done, Response("ok", payload))


class LoopTimer:
    """A generator's timer by the loop's own clock and timers: those of a simulation."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def now(self) -> int:
        return round(self._loop.time() * 1e9)

    def set(self, at: int) -> None:
        self.close()
        self._handle = self._loop.call_at(at / 1e9, self._callback)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
