"""C spin floor: a shared-memory ping-pong between two pinned cores, compiled when it is first needed."""

from __future__ import annotations

import ctypes
import os
from array import array
from contextlib import AbstractContextManager
from typing import Any

from bench.compiled import library
from bench.peers.base import Peer, Unavailable, pinned
from engine.load import machine


class SpinFloor(Peer):
    name = "C spin floor"

    def start(self) -> None:
        self.allowed = machine.cores()
        if len(self.allowed) < 2:
            raise Unavailable("needs two cores")
        # ctypes, not cffi: one function, and nothing but a compiler is needed.
        self.spin = ctypes.CDLL(str(library("spin"))).bench_spin
        self.spin.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64)

    def turn(self) -> AbstractContextManager[None]:
        return pinned()  # the C code pins this thread

    def round_trips(self, count: int) -> array[int]:
        samples = array("q", bytes(8 * count))
        address, _ = samples.buffer_info()
        failed = self.spin(self.allowed[0], self.allowed[1], address, count)
        if failed:
            raise OSError(failed, os.strerror(failed))
        return samples

    def call(self, event: Any) -> int:
        return self.round_trips(1)[0]

    def close(self) -> None:
        pass
