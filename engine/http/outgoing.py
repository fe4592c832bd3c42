"""What was written to a connection and is not taken yet: its room in the budget, and how long it may stay."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

from .budget import WRITTEN, Budget, Hold


class Outgoing:
    """Of one transport."""

    __slots__ = ("_budget", "_hold", "_transport")

    def __init__(self, transport: asyncio.Transport, budget: Budget) -> None:
        transport.set_write_buffer_limits(
            high=WRITTEN, low=0
        )  # so that resume_writing() says that all is taken
        self._transport = transport
        self._budget = budget
        self._hold = Hold(budget)

    def room(self, size: int) -> bool:
        """Takes room for a response of that size, which whoever does not move makes if need be."""
        if size <= WRITTEN:
            return True
        return self._budget.make_room(size - self._hold.bytes) and self._hold.take(size)

    def wrote(self, size: int) -> None:
        """A response that there was room for was given to the transport, which may have passed all of it on."""
        if not self._hold.bytes:
            return
        if self._transport.get_write_buffer_size():
            self._watch(size)
        else:
            self._hold.release()

    def left(self, rest: bytes) -> None:
        """What the kernel did not take of a response that there was room for."""
        if self.room(len(rest)):
            self._transport.write(rest)
            self.wrote(len(rest))
        else:
            self._transport.abort()

    def paused(self) -> None:
        """The transport has more than it passes on."""
        self._watch(self._transport.get_write_buffer_size())

    def done(self) -> None:
        """All is taken, or nobody is left to take it."""
        self._hold.release()

    def _watch(self, size: int) -> None:
        self._hold.watch(size, self._progress, self._cut_off)

    def _progress(self) -> int:
        """Bytes that were taken, counted from anywhere: the kernel's buffer is the client's to empty, too."""
        left = self._transport.get_write_buffer_size()
        if not left:
            self._hold.release()
            return 0
        descriptor = self._transport.get_extra_info("socket").fileno()
        (with_kernel,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
        return -(left + int(with_kernel))

    def _cut_off(self) -> None:
        self._hold.release()
        self._transport.abort()
