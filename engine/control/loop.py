"""The control loop's event loop: uvloop's where the program has imported it, as every server has; else a small one of
the same interface.

uvloop and asyncio take longer to import than all else that a first result needs (`python -m bench.run --only first`): a
program that awaits nothing does not import them for this. The small one runs functions, and no coroutines.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, cast

_CANCELLED_KEPT = 64  # timers: beyond that they are sorted out once they are half of all

Call = tuple[Callable[..., object], tuple[Any, ...]]


class Timer(Protocol):
    """A call that is due at a time."""

    def when(self) -> float: ...
    def cancel(self) -> None: ...


class Loop(Protocol):
    """What the control loop needs of one."""

    def time(self) -> float: ...
    def add_reader(self, fd: int, function: Callable[..., object], /, *arguments: Any) -> None: ...
    def remove_reader(self, fd: int, /) -> object: ...
    def call_soon(self, function: Callable[..., object], /, *arguments: Any) -> object: ...
    def call_soon_threadsafe(self, function: Callable[..., object], /, *arguments: Any) -> object: ...
    def call_later(self, seconds: float, function: Callable[..., object], /, *arguments: Any) -> Timer: ...
    def call_exception_handler(self, context: dict[str, Any], /) -> None: ...
    def run_forever(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


def new_loop() -> Loop:
    """For a thread of its own."""
    if "uvloop" not in sys.modules:
        return SmallLoop()
    import uvloop

    return cast(Loop, uvloop.new_event_loop())


class SmallTimer:
    """A call that is due at a time."""

    __slots__ = ("_at", "_loop", "call")

    def __init__(self, loop: SmallLoop, at: float, call: Call) -> None:
        self._loop = loop
        self._at = at
        self.call: Call | None = call  # None: cancelled, or made

    def when(self) -> float:
        """In the loop's time."""
        return self._at

    def cancel(self) -> None:
        """It refers to nothing any more. Harmless when it has run."""
        if self.call is not None:
            self.call = None
            self._loop._cancelled()


class SmallLoop:
    """One thread's. Only call_soon_threadsafe is for others. What a call raises is logged, and costs the others
    nothing."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._readers: dict[int, Call] = {}
        self._soon: deque[Call] = deque()
        self._timers: list[tuple[float, int, SmallTimer]] = []  # a heap
        self._numbers = itertools.count()  # first come, first served
        self._dead_timers = 0
        self._stopping = self._closed = False
        self._closing = threading.Lock()
        self.add_reader(self._wake, self._woken)

    def time(self) -> float:
        """Seconds, of its own clock."""
        return monotonic()

    def add_reader(self, fd: int, function: Callable[..., object], *arguments: Any) -> None:
        """Call it whenever the descriptor is readable, or its other end is gone. Raises OSError."""
        self.remove_reader(fd)
        self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = (function, arguments)

    def remove_reader(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            with contextlib.suppress(OSError, ValueError):  # it was closed before
                self._epoll.unregister(fd)

    def call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """In the next turn, after the descriptors that are ready."""
        self._soon.append((function, arguments))

    def call_soon_threadsafe(self, function: Callable[..., object], *arguments: Any) -> None:
        """From any thread. Raises RuntimeError when the loop is closed."""
        with self._closing:  # else its descriptor may be another's by now
            if self._closed:
                raise RuntimeError("the control loop is closed")
            self._soon.append((function, arguments))
            os.eventfd_write(self._wake, 1)

    def call_later(self, seconds: float, function: Callable[..., object], *arguments: Any) -> SmallTimer:
        timer = SmallTimer(self, self.time() + seconds, (function, arguments))
        heapq.heappush(self._timers, (timer.when(), next(self._numbers), timer))
        return timer

    def run_forever(self) -> None:
        """Until stop()."""
        while not self._stopping:
            self._turn()

    def stop(self) -> None:
        """After this turn."""
        self._stopping = True

    def close(self) -> None:
        with self._closing:
            self._closed = True
            self._epoll.close()
            os.close(self._wake)
        self._readers.clear()
        self._soon.clear()
        self._timers.clear()

    def call_exception_handler(self, context: dict[str, Any], /) -> None:
        """Log an exception that nobody gets: "message", "exception"."""
        import logging

        logging.getLogger("stoker").error("%s", context["message"], exc_info=context["exception"])

    def _turn(self) -> None:
        """What is ready, else wait for it. Nothing of it is referred to during the next one's wait."""
        ready, soon, readers = self._epoll.poll(self._patience()), self._soon, self._readers
        # One that an earlier one of this turn removed is not called, nor who has its descriptor's number since.
        for fd, reader in [(fd, readers.get(fd)) for fd, _ in ready]:
            if reader is not None and readers.get(fd) is reader:
                self._call(*reader)
        if self._timers and self._timers[0][0] <= monotonic():
            self._call_due()
        for _ in range(len(soon)):  # what these add is for the next turn
            self._call(*soon.popleft())

    def _patience(self) -> float | None:
        """Seconds that a turn may wait for the first descriptor; None: for ever."""
        if self._soon:
            return 0
        return max(0.0, self._timers[0][0] - monotonic()) if self._timers else None

    def _call_due(self) -> None:
        while self._timers and self._timers[0][0] <= monotonic():
            timer = heapq.heappop(self._timers)[2]
            due, timer.call = timer.call, None
            if due is None:
                self._dead_timers -= 1
            else:
                self._call(*due)

    def _call(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            function(*arguments)
        except Exception as error:
            self.call_exception_handler({"message": f"{function!r} failed", "exception": error})

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _cancelled(self) -> None:
        self._dead_timers += 1
        if self._dead_timers > max(_CANCELLED_KEPT, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if entry[2].call is not None]
            heapq.heapify(self._timers)
            self._dead_timers = 0
