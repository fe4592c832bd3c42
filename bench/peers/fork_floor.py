"""Fork floor: a prepared, single-threaded process forks, the child writes a byte, the parent reads it."""

from __future__ import annotations

import json
import os
import subprocess
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.peers.base import Peer, interpreter

FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"

# The forked process is made by exec, has one thread, and its garbage is collected and frozen: the best that a
# snapshot of the same imports can be. As with the cold starts whose floor this is, there is a pause before each fork
# and the children live on until the last one: pages that no other process shares would make forks cheaper.
# Reaping is not timed.
_HELPER = """
import gc, json, os, sys, time
spec = json.loads(sys.argv[1])
sys.path[:0] = spec["path"]
for name in spec["modules"]:
    try:
        __import__(name)
    except Exception:
        if name in spec["required"]:
            raise
gc.collect()
gc.freeze()
clock = time.perf_counter_ns
print(len(os.listdir("/proc/self/task")), flush=True)
for line in sys.stdin:
    samples, children = [], []
    held, release = os.pipe()
    for _ in range(int(line)):
        source, sink = os.pipe()
        time.sleep(0.005)
        begin = clock()
        child = os.fork()
        if not child:
            os.write(sink, b"x")
            os.close(release)
            os.read(held, 1)
            os._exit(0)
        os.read(source, 1)
        samples.append(clock() - begin)
        children.append(child)
        os.close(source)
        os.close(sink)
    os.close(release)
    for child in children:
        os.waitpid(child, 0)
    os.close(held)
    print(json.dumps(samples), flush=True)
"""


class ForkFloor(Peer):
    """`modules` are imported where that works, `required` must be; all before the first fork."""

    def __init__(self, label: str, required: Sequence[str] = (), modules: Sequence[str] = ()) -> None:
        self.name = f"fork floor, {label}"
        self.required = list(required)
        self.modules = [*modules, *required]

    def start(self) -> None:
        spec = {"path": [str(FUNCTIONS)], "modules": self.modules, "required": self.required}
        self.helper = subprocess.Popen(
            interpreter("-c", _HELPER, json.dumps(spec)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A BLAS thread would not survive the fork, and its process would be no floor.
            env=_single_threaded(),
        )
        assert self.helper.stdout is not None
        threads = int(self.helper.stdout.readline() or "0")
        if threads != 1:
            raise RuntimeError(f"{self.name}: the helper has {threads} threads, not 1")
        self.forks(3)

    def forks(self, count: int) -> array[int]:
        assert self.helper.stdin is not None
        assert self.helper.stdout is not None
        self.helper.stdin.write(f"{count}\n")
        self.helper.stdin.flush()
        return array("q", json.loads(self.helper.stdout.readline()))

    def call(self, event: Any) -> int:
        return self.forks(1)[0]

    def close(self) -> None:
        self.helper.communicate()


def _single_threaded() -> dict[str, str]:
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
