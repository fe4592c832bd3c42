"""What an initialised process must not have when workers are forked from it."""

from __future__ import annotations

import contextlib
import os
import socket
import time

_JOINED_S = 0.05  # a thread that was joined is listed for a moment more


def unsafe_to_fork(own_socket: int) -> str:
    """Why forking this initialised process would share what must not be shared; "" when it would not."""
    until = time.monotonic() + _JOINED_S
    while (threads := len(os.listdir("/proc/self/task"))) > 1 and time.monotonic() < until:
        time.sleep(0.001)
    if threads > 1:
        return f"its init left {threads - 1} thread{'s' * (threads > 2)} running"
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            is_socket = os.readlink(f"/proc/self/fd/{name}").startswith("socket:") and int(name) != own_socket
            if is_socket and not _only_sends(int(name)):
                return "its init left a socket open"
    return ""


def _only_sends(fd: int) -> bool:
    """A datagram socket that is neither bound nor connected: each process may send by it (X-Ray's SDK makes one)."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        if sock.type != socket.SOCK_DGRAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        return int(sock.getsockname()[1]) == 0
