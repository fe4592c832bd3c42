"""How well a run knows its own figures: 95 % confidence intervals by a block bootstrap over its seconds.

Latencies of one second are not independent: they waited in the same line, behind the same pause. So what is drawn again
and again, with replacement, is whole seconds and not requests, which would make the intervals far too narrow (blocks:
Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17, 1989; Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, 8.6). What holds on for longer than a second, or differs from one
run to the next, these intervals do not know: that is what the comparison of two equal runs is for.

The interval lies between two percentiles of the replicates, further out the fewer seconds there are, as Student's t
does for a mean: without that it is too narrow (Hesterberg, "What Teachers Should Know About the Bootstrap", The
American Statistician 69, 2015, the expanded percentile interval).
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import mul
from statistics import NormalDist

from .generate.record import Interval
from .generate.tally import Tally, upper
from .result import QUANTILES, Estimate

CONFIDENCE = 0.95
FEWEST = 5  # seconds: an interval from less is none
BEYOND = (
    10  # requests slower than a quantile, or it is an anecdote: the p99.9 of 500 requests is their slowest
)
REPLICATES = 1000


def estimates(intervals: Sequence[Interval], seed: int = 0) -> dict[str, Estimate]:
    """Of QUANTILES and "goodput" (right answers per second), from whole seconds of a run without its warm-up. A
    quantile with fewer than BEYOND requests behind it is left out; everything is, of fewer than FEWEST seconds. The
    same for the same seed."""
    if len(intervals) < FEWEST:
        return {}
    draw = random.Random(f"bootstrap {seed}")
    seconds = range(len(intervals))
    weights = []  # of each replicate: how often each second was drawn
    for _ in range(REPLICATES):
        drawn = Counter(draw.choices(seconds, k=len(seconds)))
        weights.append([drawn[second] for second in seconds])
    ok = [interval.ended["ok"] for interval in intervals]
    rates = sorted(_dot(weight, ok) / len(ok) for weight in weights)
    found = {}
    tallies = [interval.latency for interval in intervals]
    total = sum(len(tally) for tally in tallies)
    curves = _Curves(tallies)
    for name, which in QUANTILES.items():
        if enough(which, total):
            values = sorted(curves.quantiles(which, weights))
            found[name] = _between(curves.quantile(which, [1] * len(seconds)), values, len(seconds))
    return found | {"goodput": _between(sum(ok) / len(ok), rates, len(seconds))}


def enough(which: float, count: int) -> bool:
    """Whether so many requests can tell a quantile."""
    return (1 - which) * count >= BEYOND - 1e-6


def _between(value: float, replicates: Sequence[float], seconds: int) -> Estimate:
    tail = _tail(seconds)
    last = len(replicates) - 1
    rank = math.floor(tail * last)
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
    """The latencies of each second, to be weighted and asked for quantiles.

    What a replicate has below a value is the sum of what its seconds have, so a quantile is found by bisection with a
    dot product at each step; replicates ask for the same few columns over and over, and none is ever put together."""

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
        low, high = 0, len(self._values) - 1
        while low < high:
            middle = (low + high) // 2
            if _dot(weight, self._column(middle)) >= rank:
                high = middle
            else:
                low = middle + 1
        return upper(self._values[low])

    def quantiles(self, which: float, weights: Sequence[Sequence[int]]) -> Iterator[int]:
        for weight in weights:
            if _dot(weight, self._sizes):  # else none of its seconds had any request
                yield self.quantile(which, weight)
