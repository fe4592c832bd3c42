"""An engine's bus as its users have it: events are put, functions are interested by pattern or by time.

    engine.on({"source": ["shop"], "total": [{"numeric": [">", 100]}]}, audit)
    engine.schedule("rate(5 minutes)", report)
    engine.bus().put({"source": "shop", "total": 250})

What is put goes to each function with a pattern that it matches, in the language of EventBridge's event patterns, as
an invocation of its own: at least once, again when it fails, and into a dead-letter queue of the engine when that does
not help (bus_routing.py). With a state directory an event is on the disk before `put` returns, and outlives the
process; a later engine goes on with it once it names the function to `on` or `schedule`. Without one an event is
accepted in memory, and run before the engine closes.
"""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Mapping
from typing import Any

from . import limits
from .bus_routing import Policy, Router
from .calls.reaper import Reaper
from .queues import QueueStore, QueueThread
from .runtime import Runtime, interrupted


class AsyncBus:
    """The bus of an AsyncEngine, in its event loop."""

    __slots__ = ("_router",)

    def __init__(self, router: Router) -> None:
        self._router = router

    async def put(self, event: Mapping[str, Any]) -> int:
        """Give it to each function that is interested now: to how many. Returns once it is on the disk, if there is a
        state directory. Raises InvalidEvent for what is no JSON object, PayloadTooLarge, QueueFull, StoreError,
        EngineClosed; then put it again: some functions may have it."""
        return await self._router.put(event)

    def __repr__(self) -> str:
        return "<AsyncBus>"


class AsyncRule:
    """What a function is interested in, until it is removed."""

    __slots__ = ("_key", "_router")

    def __init__(self, router: Router, key: str) -> None:
        self._router, self._key = router, key

    async def remove(self) -> None:
        """It matches nothing more, or is due no more. What has matched is run."""
        await self._router.remove(self._key)

    def __repr__(self) -> str:
        return f"<AsyncRule {self._key}>"


class Bus:
    """The bus of an Engine, for any thread."""

    __slots__ = ("_bus", "_run")

    def __init__(self, thread: QueueThread, bus: AsyncBus) -> None:
        self._run, self._bus = thread.run, bus

    def put(self, event: Mapping[str, Any]) -> int:
        """As AsyncBus.put."""
        return self._run(self._bus.put(event))

    def __repr__(self) -> str:
        return "<Bus>"


class Rule:
    """As AsyncRule."""

    __slots__ = ("_rule", "_run")

    def __init__(self, thread: QueueThread, rule: AsyncRule) -> None:
        self._run, self._rule = thread.run, rule

    def remove(self) -> None:
        """As AsyncRule.remove."""
        self._run(self._rule.remove())

    def __repr__(self) -> str:
        return repr(self._rule).replace("Async", "", 1)


class BusThread:
    """An Engine's router, in the thread of its queues."""

    def __init__(self, thread: QueueThread, runtime: Runtime, reaper: Reaper) -> None:
        self._thread = thread
        self._router = thread.run(_opened(thread.store, runtime, reaper))
        self.bus = Bus(thread, AsyncBus(self._router))
        _living.add(self)

    def on(self, pattern: Mapping[str, Any], function: str, policy: Policy) -> Rule:
        rule = self._thread.run(on(self._router, pattern, function, policy))
        return Rule(self._thread, rule)

    def schedule(
        self, expression: str, function: str, policy: Policy, name: str | None, zone: str, event: Any
    ) -> Rule:
        rule = self._thread.run(schedule(self._router, expression, function, policy, name, zone, event))
        return Rule(self._thread, rule)

    def close(self, drain: float) -> float:
        """Seconds of `drain` that are left."""
        _living.discard(self)
        if not self._thread.alive:
            return drain
        begun = time.monotonic()
        self._thread.run(self._router.close(drain))
        return max(0.0, drain - (time.monotonic() - begun))


async def _opened(store: QueueStore, runtime: Runtime, reaper: Reaper) -> Router:
    return Router(store, runtime, reaper)


async def on(router: Router, pattern: Mapping[str, Any], function: str, policy: Policy) -> AsyncRule:
    return AsyncRule(router, router.on(pattern, function, policy))


async def schedule(
    router: Router, expression: str, function: str, policy: Policy, name: str | None, zone: str, event: Any
) -> AsyncRule:
    return AsyncRule(router, await router.schedule(expression, function, policy, name, zone, event))


_living: weakref.WeakSet[BusThread] = weakref.WeakSet()


def _at_exit() -> None:
    """What was accepted in memory is done before the program ends, as what was submitted is."""
    for each in list(_living):
        each.close(0.0 if interrupted() else limits.TIMEOUT_MAX)


atexit.register(_at_exit)  # before the runtime's, which was registered earlier
