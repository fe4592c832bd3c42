"""From what a run recorded to what it found: the figures, and whether they mean anything."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .generate.arrivals import Stage
from .generate.record import Interval, Record
from .result import Noise, Series, StageResult
from .words import duration as spoken

LAG = 1_000_000  # ns: p99 of the generator's own lag, above which a run is void
STEAL = 0.05  # of all CPU time
_FAILED = ("error", "timeout", "failure")


def void(record: Record, lag_limit: int, steal: float, alone: Record | None) -> list[str]:
    """Why a run's figures mean nothing. alone: the generator's lag with a target that answers by itself."""
    reasons = []
    late = record.lag.quantiles(0.99)[0]
    if late > lag_limit:
        reasons.append(
            f"the generator slipped: a request in a hundred was sent {spoken(late)} late or more, and "
            f"{spoken(lag_limit)} is allowed"
        )
        if alone is not None and (own := alone.lag.quantiles(0.99)[0]) > lag_limit:
            reasons.append(
                f"it does so without any target, too ({spoken(own)}): this machine cannot make that rate"
            )
    if steal > STEAL:
        reasons.append(f"the hypervisor took {steal:.0%} of the CPU time: more than {STEAL:.0%}")
    if record.offered and not record.ended["ok"] and not record.ended["throttle"]:
        reasons.append("no request was answered rightly")
    if not record.offered:
        reasons.append("nothing was sent after the warm-up")
    return reasons


def series(record: Record) -> Series:
    """Second by second."""
    every = record.intervals
    quantiles = [it.latency.quantiles(0.5, 0.99, 1.0) for it in every]
    return Series(
        offered=[it.offered for it in every],
        ok=[it.ended["ok"] for it in every],
        failed=[_failed(it) for it in every],
        throttled=[it.ended["throttle"] for it in every],
        cold=[it.cold for it in every],
        in_flight=[it.most_in_flight for it in every],
        p50=[it[0] for it in quantiles],
        p99=[it[1] for it in quantiles],
        most=[it[2] for it in quantiles],
    )


def stages(record: Record, scheduled: Sequence[Stage], warmup: float) -> list[StageResult]:
    """Of a schedule that has several. What lies in the warm-up whole is left out."""
    found = []
    for stage, it in zip(scheduled, record.stages, strict=True):
        if stage.end > warmup:
            p50, p99, p999, most = it.latency.quantiles(0.5, 0.99, 0.999, 1.0)
            found.append(
                StageResult(
                    begin=stage.begin, end=stage.end, rate=stage.rate, offered=it.offered, ok=it.ended["ok"],
                    failed=_failed(it), throttled=it.ended["throttle"], p50=p50, p99=p99, p999=p999, most=most,
                )
            )  # fmt: skip
    return found


def noise(first: Record, second: Record, seconds: float) -> Noise | None:
    """Of two runs of the same. None where one of them measured nothing."""
    ratios = []
    for q in (0.5, 0.99):
        a, b = first.latency.quantiles(q)[0], second.latency.quantiles(q)[0]
        if not a or not b:
            return None
        ratios.append(max(a, b) / min(a, b))
    return Noise(seconds, *ratios)


def whole_seconds(record: Record, warmup: float, duration: float) -> list[Interval]:
    """Those that lie neither in the warm-up nor beyond the end."""
    return record.intervals[math.ceil(warmup) : math.floor(duration)]


def _failed(it: Interval) -> int:
    return sum(it.ended[kind] for kind in _FAILED)
