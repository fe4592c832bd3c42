"""Reading the pipes behind workers' descriptors 1 and 2, before they fill.

A worker reads its own pipe after each invocation; this side reads only when a pipe holds so much that the
writer could soon block, or when its worker is dead. Edge-triggered: a write wakes us once.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import termios
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

_HIGH_WATER = 16 * 1024
_CHUNK = 64 * 1024
_AT_ONCE = 16  # chunks a turn: a flood must not keep the loop from its deadlines


class Pipes:
    """The read ends, each with its owner."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        running: Callable[[Any], int],
        deliver: Callable[[Any, int, bytes], None],
    ) -> None:
        """running: what an owner runs now, looked up before each read; deliver: gets both, and the output."""
        self._loop = loop
        self._running = running
        self._deliver = deliver
        self._owners: dict[int, Any] = {}
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._readable)

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._owners.clear()

    def watch(self, fd: int, owner: Any) -> None:
        self._owners[fd] = owner
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def unwatch(self, fd: int) -> None:
        if self._owners.pop(fd, None) is not None:
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(fd)

    def _readable(self) -> None:
        for fd, _events in self._epoll.poll(0):
            owner = self._owners.get(fd)
            if owner is not None and (owner[1] is None or _held(fd) >= _HIGH_WATER):  # None: an environment's
                self.drain(fd)

    def drain(self, fd: int) -> None:
        """Read what is there now, never waiting."""
        owner = self._owners.get(fd)
        for _ in range(_AT_ONCE):
            if owner is None or not _held(fd):
                return
            running = self._running(owner)
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:  # the worker took it meanwhile
                return
            self._deliver(owner, running, data)
        self._loop.call_soon(self.drain, fd)


def _held(fd: int) -> int:
    """Bytes in a pipe."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
