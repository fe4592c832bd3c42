"""What an Engine consumes: the same, for any thread."""

from __future__ import annotations

import atexit
import time
import weakref
from typing import Any

from .. import limits
from ..calls.reaper import Reaper
from ..queues import QueueStore, QueueThread
from ..runtime import Runtime, interrupted
from .consumption import AsyncConsumption, Consumptions
from .origins import Source
from .wanted import Wanted


class Consumption:
    """As AsyncConsumption."""

    __slots__ = ("_consumption", "_run")

    def __init__(self, thread: QueueThread, consumption: AsyncConsumption) -> None:
        self._run, self._consumption = thread.run, consumption

    def pause(self) -> None:
        """As AsyncConsumption.pause."""
        self._run(self._consumption.pause())

    def resume(self) -> None:
        """As AsyncConsumption.resume."""
        self._run(self._consumption.resume())

    def stats(self) -> dict[str, Any]:
        """As AsyncConsumption.stats."""
        return self._consumption.stats()

    def close(self) -> None:
        """As AsyncConsumption.close."""
        self._run(self._consumption.close())

    def __repr__(self) -> str:
        return repr(self._consumption).replace("Async", "", 1)


class ConsumeThread:
    """An Engine's consumptions, in the thread of its queues."""

    def __init__(self, thread: QueueThread, runtime: Runtime, reaper: Reaper) -> None:
        self._thread = thread
        self._consumptions = thread.run(_opened(thread.store, runtime, reaper))
        _living.add(self)

    def consume(self, function: str, source: Source, wanted: Wanted) -> Consumption:
        return Consumption(
            self._thread, self._thread.run(self._consumptions.consume(function, source, wanted))
        )

    def close(self, drain: float) -> float:
        """Seconds of `drain` that are left."""
        _living.discard(self)
        if not self._thread.alive:
            return drain
        begun = time.monotonic()
        self._thread.run(self._consumptions.close(drain))
        return max(0.0, drain - (time.monotonic() - begun))


async def _opened(store: QueueStore, runtime: Runtime, reaper: Reaper) -> Consumptions:
    return Consumptions(store, runtime, reaper)


_living: weakref.WeakSet[ConsumeThread] = weakref.WeakSet()


def _at_exit() -> None:
    """What is in flight when the program ends is settled."""
    for each in list(_living):
        each.close(0.0 if interrupted() else limits.DRAIN_TIMEOUT)


atexit.register(_at_exit)  # before the runtime's, which was registered earlier
