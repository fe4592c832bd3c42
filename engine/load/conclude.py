"""From a run's record to its figures: whether they mean anything, second by second, stage by stage, the knee of a ramp,
and the confidence intervals."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from operator import mul
from statistics import NormalDist, median_low

from . import words
from .generate.arrivals import Stage
from .generate.record import Interval, Record, Tally, upper
from .result import QUANTILES, Estimate, Knee, Noise, Series, StageResult

LAG = 1_000_000  # ns: p99 of the generator's own lag, above which a run is void
STEAL = 0.05  # of all CPU time
KEPT = 0.98  # of what was offered in a stage has to end in a right answer,
SLOWER = 5  # times the usual p99 is too slow,
SPREAD = 0.1  # of the stage between p50 and p99 is too much
CONFIDENCE = 0.95
FEWEST = 5  # seconds: an interval from less is none
BEYOND = 10  # requests slower than a quantile, or it is an anecdote: p99.9 of 500 requests is their slowest
REPLICATES = 1000


def void(record: Record, lag_limit: int, steal: float, alone: Record | None) -> list[str]:
    """Why a run's figures mean nothing. alone: with a target that responds by itself."""
    reasons = []
    late = record.lag.quantiles(0.99)[0]
    if late > lag_limit:
        slipped = f"a request in a hundred was sent {words.duration(late)} late or more"
        reasons.append(f"the generator slipped: {slipped}, and {words.duration(lag_limit)} is allowed")
        if alone is not None and (own := alone.lag.quantiles(0.99)[0]) > lag_limit:
            without = f"it does so without any target, too ({words.duration(own)})"
            reasons.append(f"{without}: this machine cannot make that rate")
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
        failed=[it.failed for it in every],
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
            quantiles = it.latency.quantiles(0.5, 0.99, 0.999, 1.0)
            counts = it.offered, it.ended["ok"], it.failed, it.ended["throttle"]
            found.append(StageResult(stage.begin, stage.end, stage.rate, *counts, *quantiles))
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


def knee(stages: Sequence[StageResult]) -> Knee | None:
    """The highest rate of a ramp that a target keeps up with. None where the rates of two or more stages do not rise.

    A stage of a ramp is kept when

    - at least KEPT of what was offered in it ended in a right answer (by count: Poisson's variation is none);
    - its p99 is not more than SLOWER times the usual one: the (lower) median of the p99s of the first stages, a third
      of them and at least three. Not the lowest, because workers that are seldom called sleep between calls, and the
      first stages may be slower than later ones; not the highest, because of one pause in one stage;
    - its p99 is not above its p50 by more than SPREAD of the stage's length. In a line that grows all through a stage
      the last wait much longer than those in the middle: this finds a ramp whose first stage already is too much.
      Stages must be long against what the function itself varies by.

    The knee is the last stage that is kept: one that is lost before it was an accident, not a limit. Of one server with
    a constant time of service this finds 80 to 100 % of what it can serve; of a ramp that begins above that by less
    than a fifth, its first stage or the next.
    """
    if len(stages) < 2 or any(a.rate >= b.rate for a, b in pairwise(stages)):
        return None
    ramp = [stage for stage in stages if stage.offered]  # none was, of the last stages of a run cut short
    if not ramp:
        return None
    first = ramp[: max(3, math.ceil(len(ramp) / 3))]
    usual = median_low([stage.p99 for stage in first if not _overrun(stage)] or [0])  # 0: all are too much
    lost = [_lost(stage, usual) for stage in ramp]
    kept = max((number for number, why in enumerate(lost) if not why), default=-1)
    rate = ramp[kept].rate if kept >= 0 else 0.0
    if kept == len(ramp) - 1:
        return Knee(rate, None, "")
    return Knee(rate, ramp[kept + 1].rate, lost[kept + 1])


def _lost(stage: StageResult, usual: int) -> str:
    """Why a stage is not kept; "" when it is."""
    if why := _overrun(stage):
        return why
    if stage.p99 > SLOWER * usual:
        slow, fast = words.duration(stage.p99), words.duration(usual)
        return f"p99 {slow}, more than {SLOWER} times the {fast} of the first stages"
    return ""


def _overrun(stage: StageResult) -> str:
    """What is wrong with a stage by itself."""
    if stage.ok < KEPT * stage.offered:
        return f"{words.share(stage.ok / stage.offered)} of what was offered was answered rightly"
    length = (stage.end - stage.begin) * 1e9
    if stage.p99 - stage.p50 > SPREAD * length:
        p50, p99, whole = map(words.duration, (stage.p50, stage.p99, length))
        return f"requests waited longer and longer: p50 {p50}, p99 {p99} within {whole}"
    return ""


def estimates(intervals: Sequence[Interval], seed: int = 0) -> dict[str, Estimate]:
    """95 % confidence intervals of QUANTILES and "goodput" (right answers per second), from whole seconds of a run
    without its warm-up: none of a quantile with fewer than BEYOND requests behind it, or of fewer than FEWEST seconds.

    A block bootstrap: latencies of one second are not independent (the same line, the same pause), so whole seconds are
    drawn with replacement; single requests would make the intervals far too narrow (Künsch, "The jackknife and the
    bootstrap for general stationary observations", Annals of Statistics 17, 1989; Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, 8.6). What lasts for longer than a second, or differs from run to run, is not
    in these intervals: the comparison of two equal runs is for that.

    Each lies between two percentiles of the replicates, further out the fewer seconds there are (Hesterberg, "What
    Teachers Should Know About the Bootstrap", The American Statistician 69, 2015: the expanded percentile interval).
    """
    if len(intervals) < FEWEST:
        return {}
    draw = random.Random(f"bootstrap {seed}")
    seconds = range(len(intervals))
    replicates = (Counter(draw.choices(seconds, k=len(seconds))) for _ in range(REPLICATES))
    weights = [[drawn[second] for second in seconds] for drawn in replicates]
    ok = [interval.ended["ok"] for interval in intervals]
    rates = sorted(_dot(weight, ok) / len(ok) for weight in weights)
    found = {}
    curves = _Curves([interval.latency for interval in intervals])
    total = sum(len(interval.latency) for interval in intervals)
    for name, which in QUANTILES.items():
        if enough(which, total):
            values = sorted(curves.quantiles(which, weights))
            found[name] = _between(curves.quantile(which, [1] * len(seconds)), values, len(seconds))
    return found | {"goodput": _between(sum(ok) / len(ok), rates, len(seconds))}


def enough(which: float, count: int) -> bool:
    """Whether so many requests can tell a quantile."""
    return (1 - which) * count >= BEYOND - 1e-6


def _between(value: float, replicates: Sequence[float], seconds: int) -> Estimate:
    last = len(replicates) - 1
    rank = math.floor(_tail(seconds) * last)
    # A replicate is one of few values where there are few; the figure itself is always among what is likely.
    return Estimate(value, min(value, replicates[rank]), max(value, replicates[last - rank]))


def _tail(seconds: int) -> float:
    """The share of replicates on either side of the interval: where sqrt(n / (n - 1)) times Student's t stands in a
    normal distribution. t by the expansion of Cornish and Fisher (within 2 % for 4 degrees of freedom)."""
    normal = NormalDist()
    z, free = normal.inv_cdf((1 + CONFIDENCE) / 2), seconds - 1
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return normal.cdf(-math.sqrt(seconds / free) * t)


def _dot(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(map(mul, one, other))


class _Curves:
    """Quantiles of weighted seconds, by bisection with a dot product at each step: what a replicate has below a value
    is the sum of what its seconds have, and replicates need the same few columns over and over."""

    def __init__(self, tallies: Sequence[Tally]) -> None:
        self._values = sorted(set().union(*(tally.counts for tally in tallies)))
        self._seconds = []  # of each: its values and how many are not above them
        for tally in tallies:
            values = sorted(tally.counts)
            self._seconds.append((values, [0, *accumulate(tally.counts[value] for value in values)]))
        self._sizes = [below[-1] for _, below in self._seconds]
        self._columns: dict[int, list[int]] = {}

    def _column(self, at: int) -> list[int]:
        """How many of each second are not above a value."""
        if at not in self._columns:
            value = self._values[at]
            self._columns[at] = [below[bisect_right(values, value)] for values, below in self._seconds]
        return self._columns[at]

    def quantile(self, which: float, weight: Sequence[int]) -> int:
        """As Tally has it. There must be something in it."""
        rank = max(1, math.ceil(which * _dot(weight, self._sizes) - 1e-9))
        places = range(len(self._values) - 1)
        at = bisect_left(places, rank, key=lambda place: _dot(weight, self._column(place)))
        return upper(self._values[at])

    def quantiles(self, which: float, weights: Sequence[Sequence[int]]) -> Iterator[int]:
        """Of all but those whose seconds had no request."""
        return (self.quantile(which, weight) for weight in weights if _dot(weight, self._sizes))
