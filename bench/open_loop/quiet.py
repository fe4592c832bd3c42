"""The machine kept as quiet as its owner may have it while a tail is measured.

Two things of the machine's lengthen a tail more than any target does: a core that slept has to wake (in a virtual
machine its hypervisor has to wake it), and what else runs takes a core for a millisecond or more. The first is kept off
by a request to the kernel's power management, as cyclictest makes it, the second by real-time priority.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

LATENCY = "/dev/cpu_dma_latency"  # how long a core may take to wake, in µs, for as long as the file is open
PRIORITY = 1  # the lowest real-time one: above all that is not real-time


@dataclass(frozen=True)
class Quiet:
    """kept: what could be had, in words; missing: what could not, and why."""

    kept: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.missing

    @property
    def words(self) -> str:
        return "; ".join([*self.kept, *(f"no {it}" for it in self.missing)])


@contextlib.contextmanager
def quiet(latency: str = LATENCY) -> Iterator[Quiet]:
    """Keep the cores awake, and this thread and what it starts ahead of everything that is not real-time. What the
    machine does not allow is missing, with its reason. All is as before afterwards."""
    kept, missing = [], []
    with contextlib.ExitStack() as stack:
        try:
            file = os.open(latency, os.O_WRONLY)
            stack.callback(os.close, file)
            os.write(file, struct.pack("i", 0))
            kept.append("no core sleeps")
        except OSError as error:
            missing.append(f"say over when cores sleep ({latency}: {error.strerror})")
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
            stack.callback(os.sched_setscheduler, 0, *before)
            kept.append("generator and workers have real-time priority")
        except OSError as error:
            missing.append(f"real-time priority ({error.strerror})")
        yield Quiet(tuple(kept), tuple(missing))
