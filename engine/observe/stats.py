"""A function's counters and latency quantiles, read from the C engine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from .._native import ffi, lib

_TIMES = ("latency_", "duration_")  # ns in C
_IN_C = {  # the C engine's names where they are others; a latency_mean is a mean there
    "queue_depth": "waiting", "in_flight": "in_lanes", "concurrency": "lanes", "late_replies": "late",
    "log_bytes_dropped": "log_dropped", "duration_p50": "d50", "duration_p99": "d99",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """One function since it was configured. Latencies in seconds, from submit to result, at most 1/32 too high.

    invocations counts those that ended, errors among them every failure; throttles were not accepted and
    are neither.
    """

    invocations: int
    errors: int
    timeouts: int
    crashes: int
    throttles: int
    cold_starts: int
    cancelled: int
    queue_depth: int  # waiting now
    in_flight: int  # in a worker's lane now
    concurrency: int  # workers now
    idle: int
    starting: int
    late_replies: int  # dropped: of an invocation that had ended
    log_bytes_dropped: int
    latency_mean: float
    latency_p50: float
    latency_p90: float
    latency_p99: float
    latency_p999: float
    latency_max: float
    duration_p50: float  # of the handler alone
    duration_p99: float

    @classmethod
    def read(cls, engine: Any, index: int) -> FunctionStats:
        read = ffi.new("stk_function_stats *")
        lib.stk_function_stats_read(engine, index, read)
        values = {
            f.name: getattr(read, _IN_C.get(f.name, f.name.removeprefix("latency_"))) for f in fields(cls)
        }
        return cls(**{k: v / 1e9 if k.startswith(_TIMES) else v for k, v in values.items()})
