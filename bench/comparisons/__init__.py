"""The comparisons by name, in the order they run; each takes an Effort and returns an Outcome."""

from __future__ import annotations

from collections.abc import Callable

from bench.comparisons.calls import calls
from bench.comparisons.catalog import catalog
from bench.comparisons.cold import cold, memory
from bench.comparisons.dispatch import awaited, map_, pipelined, ray, sync
from bench.comparisons.events import events
from bench.comparisons.executor import executor
from bench.comparisons.first import first
from bench.comparisons.http import http
from bench.comparisons.idle import after_idle, idle_cpu
from bench.comparisons.large import large
from bench.comparisons.mapping import mappings
from bench.comparisons.outcomes import outcomes
from bench.comparisons.overload import overload
from bench.comparisons.scale import many, payload
from bench.comparisons.threads import threads
from bench.comparisons.workers import workers
from bench.harness import Effort
from bench.report import Outcome

ALL: dict[str, Callable[[Effort], Outcome]] = {
    "sync": sync,
    "threads": threads,
    "awaited": awaited,
    "pipelined": pipelined,
    "map": map_,
    "executor": executor,
    "after-idle": after_idle,
    "idle-cpu": idle_cpu,
    "outcomes": outcomes,
    "first": first,
    "cold": cold,
    "memory": memory,
    "payload": payload,
    "large": large,
    "many": many,
    "overload": overload,
    "http": http,
    "workers": workers,
    "events": events,
    **mappings(),
    "calls": calls,
    "catalog": catalog,
    "ray": ray,  # last: its daemons do not rest between rounds
}
