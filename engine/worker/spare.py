"""A worker forked before it is needed: what a cold start would wait for is done, it only lacks a lane.

Most of a cold start is the fork, and the page faults of a child that touches its memory for the first time. So a
template whose function may have more workers keeps one child that has gone all the way to where it needs the lane's
descriptors, and has rehearsed the loop once more for its own pages' sake. It has run none of the function's code.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import NoReturn

from .. import wire
from .worker import Worker

CALM_MS = 2  # without a request for a worker, before a spare one is made: it must not compete with those


class Spare:
    """In the template: one waiting child, its pidfd to poll."""

    def __init__(self, worker: Worker, data_bytes: int, foreign: list[int]) -> None:
        """foreign: descriptors of the template's that a child must not have. Raises OSError where it cannot fork."""
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            self._sock.close()
            raise
        finally:
            if os.getpid() == parent:
                theirs.close()
        if self.pid == 0:
            _wait(worker, data_bytes, parent, theirs, [*foreign, self._sock.detach()])
        self.pidfd = os.pidfd_open(self.pid)

    def become(self, message: wire.Fork, fds: list[int]) -> bool:
        """Have it be the worker that this message requests. False: it is dead."""
        try:
            wire.send(self._sock, message, fds)
        except OSError:
            return False
        finally:
            self._sock.close()
        return True

    def close(self) -> None:
        """It has ended."""
        self._sock.close()
        os.close(self.pidfd)


def _wait(worker: Worker, data_bytes: int, parent: int, sock: socket.socket, foreign: list[int]) -> NoReturn:
    """The child: all that can be done without a lane, then wait for one."""
    with contextlib.suppress(BaseException):
        for fd in foreign:
            os.close(fd)
        worker.prepare(data_bytes, parent)
        worker.rehearse()
        received = wire.receive(sock)
        sock.close()
        if received is None:  # its template needs it no more
            os._exit(0)
        message, fds = received
        assert isinstance(message, wire.Fork)
        worker.serve(fds, message.core, message.born)
    os._exit(1)
