"""Axes of charts: where on one a value lies, and which values have a line and a label; and a run's seconds, gathered
into as many spans as a picture has points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from .. import words
from ..result import Result

DECADES = 2  # of latencies: beyond so many, an axis is logarithmic
_NINES = 9  # at most
_EACH = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)  # seconds that are one point
_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`. ticks: values and their labels, "" for a line without one."""

    low: float
    high: float
    log: bool
    ticks: list[tuple[float, str]]
    name: str

    def position(self, value: float) -> float:
        """From 0.0 at the low end to 1.0 at the high one; what is beyond an end lies on it."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def blank(name: str) -> Axis:
    """Without any value."""
    return Axis(0.0, 1.0, False, [], name)


def latency(low: float, high: float, name: str = "latency") -> Axis:
    """For nanoseconds from low to high: from 0, or logarithmic if they are too far from one another."""
    low, high = max(1.0, low), max(1.0, high)
    if high / low <= 10.0**DECADES:
        size, unit = next((it for it in _UNITS if high >= it[0]), _UNITS[-1])
        return linear(high / size, name, lambda value: f"{value:,.6g} {unit}" if value else "0", size)
    low, high = _below(low), _above(high)
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    few = high / low <= 10**3.5  # there is room for every label
    ticks = [
        (factor * 10.0**decade, _round_duration(factor * 10.0**decade) if factor == 1 or few else "")
        for decade in range(first, last + 1)
        for factor in (1, 2, 5)
        if low <= factor * 10.0**decade <= high and (factor == 1 or last - first <= 4)
    ]
    return Axis(low, high, True, ticks, name + ", log scale")


def amount(high: float, name: str, whole: bool = False) -> Axis:
    """For numbers of something, or rates, from 0. whole: there are no halves of it."""
    return linear(high, name, compact, whole=whole)


def linear(
    high: float, name: str, spell: Callable[[float], str], size: float = 1.0, whole: bool = False
) -> Axis:
    """From 0 to `high` times `size`, both rounded up, with three to six ticks."""
    high = high if 1e-9 < high < 1e300 else 1.0
    step = _above(high / 5)
    if whole:
        step = max(1.0, step)
    count = max(1, math.ceil(high / step - 1e-9))
    ticks = [(number * step * size, spell(number * step)) for number in range(count + 1)]
    return Axis(0.0, count * step * size, False, ticks, name)


def percentiles(count: int) -> Axis:
    """For 1/(1-p), as far as `count` values justify: the largest of n has its place between n and 2n."""
    high = float(max(2, 2 * count))
    ticks = [(1.0, "0"), (2.0, "50"), (10.0, "90"), (100.0, "99")][: 4 if count >= 100 else 3]
    ticks += [(10.0**n, "99." + "9" * (n - 2)) for n in range(3, _NINES) if 10.0**n <= count]
    return Axis(1.0, high, True, [tick for tick in ticks if tick[0] <= high], "percentile, %")


def seconds(end: float, ticks: int) -> Axis:
    """From the run's start to its end, with about so many ticks."""
    end = end if 1e-9 < end < 1e300 else 1.0
    step = next((it for it in _SECONDS if end / it <= ticks), None) or 86400 * _above(end / 86400 / ticks)
    size, unit = (1, "s") if end <= 300 else (60, "min") if end <= 18_000 else (3600, "h")
    at = [number * step for number in range(math.floor(end / step + 1e-9) + 1)]
    return Axis(0.0, end, False, [(it, f"{it / size:,.4g}") for it in at], f"time, {unit}")


def compact(value: float) -> str:
    """20,000 in full, 150k, 1.5M."""
    for least, size, suffix in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e5, 1e3, "k")):
        if value >= least:
            return f"{value / size:.4g}{suffix}"
    return f"{value:,.6g}"


def _round_duration(ns: float) -> str:
    """1, 2 or 5 times a power of ten, without the zeros behind its point."""
    number, unit = words.duration(ns).split(" ")
    return f"{words.trimmed(number)} {unit}"


def _above(value: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(it * power for it in (1, 2, 5, 10) if it * power >= value * (1 - 1e-9))


def _below(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(it * power for it in (5, 2, 1, 0.5) if it * power <= value * (1 + 1e-9))


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds of a run that are one point of a line. first, last: of the series, the latter exclusive."""

    first: int
    last: int
    end: float

    @property
    def begin(self) -> float:
        return float(self.first)

    @property
    def middle(self) -> float:
        return (self.begin + self.end) / 2

    def __str__(self) -> str:
        return f"{self.first:,} s" if self.last - self.first == 1 else f"{self.first:,} to {self.end:,.4g} s"


class Spans(list[Span]):
    """All of a run's, in order, of equal length but for the last."""

    @classmethod
    def of(cls, result: Result, most: int) -> Spans:
        """At most so many. A rest at the end that is too short to have a rate belongs to the span before."""
        count = min(len(column) for column in msgspec.structs.astuple(result.series))
        if not count:
            return cls()
        each = next((it for it in _EACH if count <= it * most), None) or math.ceil(count / most)
        end = min(float(count), max(result.duration, count - 1.0))
        starts = list(range(0, count, each))
        if len(starts) > 1 and end - starts[-1] < each / 2:
            starts.pop()
        ends = [*starts[1:], count]
        return cls(
            Span(a, b, end if b == count and end > a else b) for a, b in zip(starts, ends, strict=True)
        )

    @property
    def end(self) -> float:
        return self[-1].end if self else 1.0

    @property
    def each(self) -> int:
        """How many seconds a point is."""
        return self[0].last - self[0].first if len(self) > 1 else 1

    def most(self, column: Sequence[int]) -> list[int]:
        return [max(column[it.first : it.last]) for it in self]

    def sums(self, column: Sequence[int]) -> list[int]:
        return [sum(column[it.first : it.last]) for it in self]

    def note(self, how: str) -> str:
        if self.each == 1:
            return "By the second for which a request was intended."
        return f"By the time for which a request was intended. A point is {self.each} s: {how}."

    def across(self, values: Sequence[float]) -> list[tuple[float, float]]:
        """A point in the middle of each, and one at either end."""
        if not self:
            return []
        points = [(span.middle, value) for span, value in zip(self, values, strict=True)]
        return [(self[0].begin, values[0]), *points, (self.end, values[-1])]
