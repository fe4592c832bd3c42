"""Connections that are passed on to the first process: a socket, and what came on it and was not looked at.

The other end goes on with the same socket, as if it had accepted it: the client sees no difference, and whatever it
asks for is carried out by a whole server. A datagram has the socket's descriptor and the bytes; more than PIECE are in
a memory file beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable

PIECE = 32 * 1024


class Passing:
    """The acceptor's end."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        sock.setblocking(False)
        self._socket, self._loop = sock, loop
        self._waiting: deque[tuple[bytes, list[int]]] = deque()

    def pass_on(self, descriptor: int, data: bytes) -> None:
        """The connection of a descriptor, which stays the caller's to close."""
        descriptors = [os.dup(descriptor)]
        if len(data) > PIECE:
            memory = os.memfd_create("stoker-passed", os.MFD_CLOEXEC)
            descriptors.append(memory)
            while data:
                data = data[os.write(memory, data) :]
        self._waiting.append((data, descriptors))
        if len(self._waiting) == 1:
            self._send()

    def _send(self) -> None:
        while self._waiting:
            data, descriptors = self._waiting[0]
            try:
                socket.send_fds(self._socket, [b"\n" + data], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._send)
                return
            except OSError:  # the other end is gone, and this process is about to be
                pass
            self._waiting.popleft()
            for descriptor in descriptors:
                os.close(descriptor)
        self._loop.remove_writer(self._socket)

    def close(self) -> None:
        self._loop.remove_writer(self._socket)
        self._socket.close()


class Passed:
    """The first process's end. take: gets each connection, and what came on it."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[socket.socket, bytes], object],
    ) -> None:
        sock.setblocking(False)
        self._socket, self._loop, self._take = sock, loop, take
        loop.add_reader(sock, self._read)

    def _read(self) -> None:
        """All that there is."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, PIECE + 1, 2, socket.MSG_CMSG_CLOEXEC)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                descriptors = []
                data = b""
            if not data:  # nobody is there any more
                self._loop.remove_reader(self._socket)
                return
            if descriptors:
                self._taken(data[1:], *descriptors)

    def _taken(self, data: bytes, descriptor: int, memory: int = -1) -> None:
        if memory >= 0:
            with open(memory, "rb") as file:
                file.seek(0)
                data = file.read()
        with contextlib.suppress(OSError):
            self._take(socket.socket(fileno=descriptor), data)

    def close(self) -> None:
        self._read()
        self._loop.remove_reader(self._socket)
        self._socket.close()
