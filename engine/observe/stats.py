"""A function's counters and latency quantiles, read from the C engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._native import ffi, lib


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
        s = ffi.new("stk_function_stats *")
        lib.stk_function_stats_read(engine, index, s)
        return cls(
            invocations=s.invocations,
            errors=s.errors,
            timeouts=s.timeouts,
            crashes=s.crashes,
            throttles=s.throttles,
            cold_starts=s.cold_starts,
            cancelled=s.cancelled,
            queue_depth=s.waiting,
            in_flight=s.in_lanes,
            concurrency=s.lanes,
            idle=s.idle,
            starting=s.starting,
            late_replies=s.late,
            log_bytes_dropped=s.log_dropped,
            latency_mean=s.mean / 1e9,
            latency_p50=s.p50 / 1e9,
            latency_p90=s.p90 / 1e9,
            latency_p99=s.p99 / 1e9,
            latency_p999=s.p999 / 1e9,
            latency_max=s.max / 1e9,
            duration_p50=s.d50 / 1e9,
            duration_p99=s.d99 / 1e9,
        )
