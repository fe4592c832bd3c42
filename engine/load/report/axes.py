"""Axes of charts: where on one a value lies, and which values have a line and a label."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .. import words

DECADES = 2  # of latencies: beyond so many, an axis is logarithmic
_NINES = 9  # after which nobody asks
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
    """Of nothing."""
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
    """For 1/(1-p): a decade for each nine, as far as `count` values justify. The largest of n has its place between n
    and 2n."""
    high = float(max(2, 2 * count))
    ticks = [(1.0, "0"), (2.0, "50")]
    for nines in range(1, _NINES):
        if 10.0**nines <= max(10, count):
            label = "90" if nines == 1 else "99" if nines == 2 else "99." + "9" * (nines - 2)
            ticks.append((10.0**nines, label))
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


_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))


def _round_duration(ns: float) -> str:
    """1, 2 or 5 times a power of ten, without the zeros behind its point."""
    number, unit = words.duration(ns).split(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def _above(value: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(it * power for it in (1, 2, 5, 10) if it * power >= value * (1 - 1e-9))


def _below(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(it * power for it in (5, 2, 1, 0.5) if it * power <= value * (1 + 1e-9))
