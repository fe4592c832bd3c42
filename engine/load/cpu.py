"""CPU time of a run: the generator's own, the engine's, the workers'.

In one process with the engine the two share a thread, so that only their sum can be read: the generator's part is what
a target that answers by itself costs at the same rate, measured beforehand.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import machine
from .result import Cpu


@dataclass(frozen=True)
class Look:
    """CPU times at one moment, in ns; None: not to be read."""

    own: int
    engine: int | None
    workers: int | None


class Meter:
    """Reads CPU times. servers: the processes that answer, empty where they are not of this machine; None: the engine
    is in this process. strangers: children of this process that are nobody's workers."""

    def __init__(self, servers: list[int] | None, strangers: Sequence[int] = ()) -> None:
        self._servers = servers
        self._strangers = set(strangers)

    def look(self) -> Look:
        own = time.process_time_ns()
        if self._servers is None:
            return Look(own, None, self._below([os.getpid()]))
        if not self._servers:
            return Look(own, None, None)
        return Look(own, machine.cpu_ns(self._servers), self._below(self._servers))

    def spent(self, before: Look, after: Look, requests: int, alone: float | None) -> Cpu:
        """Per request, in µs. alone: the generator's own by the self-check, in µs."""
        if not requests:
            return Cpu()

        def each(get: Callable[[Look], int | None]) -> float | None:
            first, last = get(before), get(after)
            return None if first is None or last is None else max(0, last - first) / requests / 1000

        own, engine, workers = (
            each(lambda it: it.own),
            each(lambda it: it.engine),
            each(lambda it: it.workers),
        )
        if self._servers is None and own is not None and alone is not None:
            alone = min(alone, own)
            return Cpu(alone, own - alone, workers)
        return Cpu(own, engine, workers)

    def _below(self, roots: list[int]) -> int:
        """Of everything that these processes started, what has ended meanwhile included once it is reaped."""
        found = [pid for root in roots for pid in machine.descendants(root) if pid not in self._strangers]
        return machine.cpu_ns(found) + machine.children_cpu_ns([*roots, *found])
