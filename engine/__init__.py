"""Stoker: event-driven functions, AWS Lambda's programming model, at microseconds per warm invocation.

    from engine import Engine

    with Engine() as engine:
        thumb = engine.function("app:handler", code="handlers/thumbnail")
        thumb.invoke({"key": "cat.jpg"})

`import engine` is light, and so is `from engine import Engine`: what an engine needs is imported when it is made, while
the interpreter that its workers come from starts beside it.
"""

from __future__ import annotations

from .errors import (
    EngineClosed,
    EngineError,
    FunctionCrashed,
    FunctionError,
    FunctionNotFound,
    FunctionTimeout,
    InitError,
    InvalidConfiguration,
    InvalidEvent,
    PayloadTooLarge,
    TooManyRequests,
    UnsupportedPlatform,
)

TYPE_CHECKING = False  # typing's, which is slow to import
if TYPE_CHECKING:
    from typing import Any

    from .aio import AsyncEngine, AsyncFunction
    from .bus import AsyncBus, AsyncRule, Bus, Rule
    from .consume.consumption import AsyncConsumption
    from .consume.threaded import Consumption
    from .durable.folder import StoreError
    from .durable.queue import QueueFull
    from .function import Function
    from .observe.report import Reply, Timings
    from .observe.stats import FunctionStats
    from .pool.executor import Executor
    from .queues import AsyncQueue, Message, Queue
    from .sync import Engine
    from .version import __version__
    from .worker.context import Context

__all__ = [
    "AsyncBus",
    "AsyncConsumption",
    "AsyncEngine",
    "AsyncFunction",
    "AsyncQueue",
    "AsyncRule",
    "Bus",
    "Consumption",
    "Context",
    "Engine",
    "EngineClosed",
    "EngineError",
    "Executor",
    "Function",
    "FunctionCrashed",
    "FunctionError",
    "FunctionNotFound",
    "FunctionStats",
    "FunctionTimeout",
    "InitError",
    "InvalidConfiguration",
    "InvalidEvent",
    "Message",
    "PayloadTooLarge",
    "Queue",
    "QueueFull",
    "Reply",
    "Rule",
    "StoreError",
    "Timings",
    "TooManyRequests",
    "UnsupportedPlatform",
    "__version__",
]

_LAZY = {
    "AsyncBus": ".bus",
    "AsyncConsumption": ".consume.consumption",
    "AsyncEngine": ".aio",
    "AsyncFunction": ".aio",
    "AsyncQueue": ".queues",
    "AsyncRule": ".bus",
    "Bus": ".bus",
    "Consumption": ".consume.threaded",
    "Context": ".worker.context",
    "Engine": ".sync",
    "Executor": ".pool.executor",
    "Function": ".function",
    "FunctionStats": ".observe.stats",
    "Message": ".queues",
    "Queue": ".queues",
    "QueueFull": ".durable.queue",
    "Reply": ".observe.report",
    "Rule": ".bus",
    "StoreError": ".durable.folder",
    "Timings": ".observe.report",
    "__version__": ".version",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(module, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
