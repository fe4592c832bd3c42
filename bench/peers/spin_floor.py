"""C spin floor: a shared-memory ping-pong between two pinned cores, compiled when it is first needed."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import machine
from bench.peers.base import Peer, Unavailable

SOURCE = Path(__file__).resolve().parent.parent / "native" / "spin.c"
BUILD = Path(__file__).resolve().parent.parent / "results" / "build"


def _compiled() -> Path:
    """The library, named after its source, so that a changed source is built anew."""
    library = BUILD / f"spin-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"
    if not library.exists():
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            raise Unavailable("needs a C compiler")
        BUILD.mkdir(parents=True, exist_ok=True)
        flags = ["-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
        subprocess.run([*compiler.split(), *flags, str(SOURCE), "-o", str(library)], check=True)
    return library


class SpinFloor(Peer):
    name = "C spin floor"

    def start(self) -> None:
        self.allowed = machine.cores()
        if len(self.allowed) < 2:
            raise Unavailable("needs two cores")
        # ctypes, not cffi: one function, and nothing but a compiler is needed.
        self.spin = ctypes.CDLL(str(_compiled())).bench_spin
        self.spin.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64)

    @contextmanager
    def turn(self) -> Iterator[None]:
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.allowed)

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
