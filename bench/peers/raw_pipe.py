"""Two os.pipe between two processes pinned to two cores: the cost of one sleep and wake each way."""

from __future__ import annotations

import os
import subprocess
from contextlib import AbstractContextManager

from bench.peers.base import Peer, Unavailable, interpreter, pinned
from engine.load import machine

_CHILD = """
import os, sys
source, sink, core = map(int, sys.argv[1:])
os.sched_setaffinity(0, {core})
while data := os.read(source, 65536):
    os.write(sink, data)
"""


class RawPipe(Peer):
    """Bytes of up to a pipe's capacity; no pickling, no framing."""

    name = "raw pipe, two cores"

    def start(self) -> None:
        self.allowed = machine.cores()
        if len(self.allowed) < 2:
            raise Unavailable("needs two cores")
        their_source, self.sink = os.pipe()
        self.source, their_sink = os.pipe()
        self.child = subprocess.Popen(
            interpreter("-I", "-S", "-c", _CHILD, str(their_source), str(their_sink), str(self.allowed[1])),
            pass_fds=(their_source, their_sink),
        )
        os.close(their_source)
        os.close(their_sink)
        self.call(b"ready")

    def turn(self) -> AbstractContextManager[None]:
        return pinned(self.allowed[:1])

    def call(self, event: bytes) -> bytes:
        os.write(self.sink, event)
        return os.read(self.source, 65536)

    def close(self) -> None:
        os.close(self.sink)
        self.child.kill()  # end of file is not enough: a peer forked since may hold a copy of our end
        self.child.wait()
        os.close(self.source)
