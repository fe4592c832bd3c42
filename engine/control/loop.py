"""The control loop's turns: descriptors to read, timers, calls from other threads.

asyncio's loops do this too, but to import them (with TLS, streams, subprocesses) takes longer than all else that a
program needs until its first result. The methods have the names and the meaning that asyncio gives them, so that what
completes invocations (calls/reaper.py) runs in either.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

_CANCELLED = 64  # timers that may lie in the heap although nobody waits for them


class Timer:
    """What call_later() returns."""

    __slots__ = ("_arguments", "_callback", "_loop", "_when")

    def __init__(
        self, loop: ControlLoop, when: float, callback: Callable[..., object], arguments: Any
    ) -> None:
        self._loop = loop
        self._when = when
        self._callback: Callable[..., object] | None = callback
        self._arguments = arguments

    def when(self) -> float:
        """Of the loop's time(), seconds."""
        return self._when

    @property
    def cancelled(self) -> bool:
        return self._callback is None

    def cancel(self) -> None:
        """In the loop. It refers to nothing any more."""
        if self._callback is not None:
            self._callback = self._arguments = None
            self._loop._cancelled += 1

    def _run(self) -> None:
        callback, arguments = self._callback, self._arguments
        self._callback = self._arguments = None
        if callback is not None:
            callback(*arguments)


class _Reader:
    """A descriptor's callback. Another one of the same number is another object."""

    __slots__ = ("arguments", "callback")

    def __init__(self, callback: Callable[..., object], arguments: Any) -> None:
        self.callback = callback
        self.arguments = arguments

    def run(self) -> None:
        self.callback(*self.arguments)


class ControlLoop:
    """One thread's. call_soon_threadsafe() is for all threads, the rest for the loop's own."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._readers: dict[int, _Reader] = {}
        self._ready: deque[tuple[Callable[..., object], Any]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._cancelled = 0  # of the timers in the heap
        self._numbers = itertools.count()  # so that no two in the heap are equal
        self._closing = threading.Lock()
        self._closed = self._stopping = False

    def time(self) -> float:
        return time.monotonic()

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self._ready.append((callback, arguments))

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Raises RuntimeError when the loop is closed."""
        with self._closing:  # else the eventfd's number might be another's by now
            if self._closed:
                raise RuntimeError("the control loop is closed")
            self._ready.append((callback, arguments))
            os.eventfd_write(self._wake_fd, 1)

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        """delay: seconds; kept to a millisecond."""
        timer = Timer(self, time.monotonic() + delay, callback, arguments)
        if self._cancelled > _CANCELLED and self._cancelled > len(self._timers) // 2:
            self._timers = [each for each in self._timers if not each[2].cancelled]
            heapq.heapify(self._timers)
            self._cancelled = 0
        heapq.heappush(self._timers, (timer.when(), next(self._numbers), timer))
        return timer

    def add_reader(self, fd: int, callback: Callable[..., object], *arguments: Any) -> None:
        """Call it in each turn in which there is something to read. Raises OSError."""
        if fd not in self._readers:
            self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = _Reader(callback, arguments)

    def remove_reader(self, fd: int) -> bool:
        """Before it is closed."""
        if self._readers.pop(fd, None) is None:
            return False
        with contextlib.suppress(OSError, ValueError):
            self._epoll.unregister(fd)
        return True

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a callback raised is shown, and the loop goes on."""
        import traceback

        with contextlib.suppress(Exception):  # stderr may be closed, or None
            sys.stderr.write(f"stoker: {context['message']}\n")
            traceback.print_exception(context["exception"])

    def stop(self) -> None:
        """End run_forever() after this turn."""
        self._stopping = True

    def run_forever(self) -> None:
        while not self._stopping:
            self._turn()

    def close(self) -> None:
        with self._closing:
            self._closed = True
            self._epoll.close()
            os.close(self._wake_fd)
        self._readers.clear()
        self._ready.clear()
        self._timers.clear()

    def _turn(self) -> None:
        for reader, fd in self._readable(self._patience()):
            if self._readers.get(fd) is reader:  # else it was removed meanwhile
                self._guarded(reader.run)
        if self._timers:
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._due(heapq.heappop(self._timers)[2])
        for _ in range(len(self._ready)):  # what these add is for the next turn
            callback, arguments = self._ready.popleft()
            self._guarded(callback, *arguments)

    def _patience(self) -> float | None:
        """Seconds that a turn may wait for descriptors; None: as long as it takes."""
        if self._ready or self._stopping:
            return 0.0
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
            self._cancelled -= 1
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _readable(self, patience: float | None) -> list[tuple[_Reader, int]]:
        found = []
        for fd, _events in self._epoll.poll(patience):
            if fd == self._wake_fd:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(fd)
            elif (reader := self._readers.get(fd)) is not None:
                found.append((reader, fd))
        return found

    def _due(self, timer: Timer) -> None:
        if timer.cancelled:
            self._cancelled -= 1
        else:
            self._guarded(timer._run)

    def _guarded(self, callback: Callable[..., object], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except BaseException as error:
            message = f"exception in the control loop, in {callback!r}"
            self.call_exception_handler({"message": message, "exception": error})
