"""A loop's alarm, finer than its own: the timers of an event loop are good to a millisecond only."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from typing import Protocol

_CLOCK_MONOTONIC = 1
_ABSTIME = 1


class Timer(Protocol):
    """Calls back, in the loop, at the time that was set last. Times are ns of its own clock."""

    def now(self) -> int: ...
    def set(self, at: int) -> None: ...
    def close(self) -> None: ...


class _Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


class FineTimer:
    """A timerfd in the loop: good to some tens of microseconds, more where a core that had nothing to do is slow to
    wake."""

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
    """Looks at the clock in every turn of the loop, which so never sleeps: good to what a turn takes, and answers are
    seen at once, too. For a core of one's own: the loop takes all of it."""

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


class LoopTimer:
    """By the loop's own clock and timers, whatever they are: those of a simulation."""

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
