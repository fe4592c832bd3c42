"""Two os.pipe between two processes, as the kernel places them or on a core each: one sleep and wake each way."""

from __future__ import annotations

import os
import subprocess
from contextlib import AbstractContextManager

from bench.peers.base import Peer, Unavailable, interpreter, pinned
from engine.load import machine

_CHILD = """
import os, sys
source, sink, core = map(int, sys.argv[1:])
if core >= 0:
    os.sched_setaffinity(0, {core})
while data := os.read(source, 65536):
    os.write(sink, data)
"""


class RawPipe(Peer):
    """Bytes of up to a pipe's capacity; no pickling, no framing."""

    def __init__(self, *, two_cores: bool = False) -> None:
        """two_cores: both processes pinned to one each; else the kernel places them, as for any user of a pipe."""
        self.two_cores = two_cores
        self.name = "raw pipe, two cores" if two_cores else "raw pipe"

    def start(self) -> None:
        self.allowed = machine.cores()
        if self.two_cores and len(self.allowed) < 2:
            raise Unavailable("needs two cores")
        core = self.allowed[1] if self.two_cores else -1
        their_source, self.sink = os.pipe()
        self.source, their_sink = os.pipe()
        self.child = subprocess.Popen(
            interpreter("-I", "-S", "-c", _CHILD, str(their_source), str(their_sink), str(core)),
            pass_fds=(their_source, their_sink),
        )
        os.close(their_source)
        os.close(their_sink)
        self.call(b"ready")

    def turn(self) -> AbstractContextManager[None]:
        return pinned(self.allowed[:1] if self.two_cores else ())

    def call(self, event: bytes) -> bytes:
        os.write(self.sink, event)
        return os.read(self.source, 65536)

    def close(self) -> None:
        os.close(self.sink)
        self.child.kill()  # end of file is not enough: a peer forked since may hold a copy of our end
        self.child.wait()
        os.close(self.source)
