"""Latencies counted as an HDR histogram counts them: to three significant digits, in little memory, for ever.

A value is counted under the lower end of its HDR bucket, in a dict: that costs a fifth of the package's record_value,
and a generator has to keep its own times. The package's histogram is made of it when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

DIGITS = 3
HIGHEST = 3_600_000_000_000  # ns: an hour
_BITS = 11  # of the 2,048 buckets that keep three digits


class Tally:
    """How often each latency was seen. Nanoseconds; what is above an hour counts as one, what is below 0 as 0."""

    __slots__ = ("counts",)

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.counts: dict[int, int] = {}
        for value in values:
            self.add(value)

    def add(self, value: int) -> None:
        value = 0 if value < 0 else HIGHEST if value > HIGHEST else value
        shift = value.bit_length() - _BITS
        if shift > 0:
            value = value >> shift << shift
        counts = self.counts
        counts[value] = counts.get(value, 0) + 1

    def merge(self, other: Tally) -> None:
        for value, count in other.counts.items():
            self.counts[value] = self.counts.get(value, 0) + count

    def __len__(self) -> int:
        return sum(self.counts.values())

    def quantiles(self, *which: float) -> list[int]:
        """The smallest values that so many of all do not exceed (0.5: the median; the nearest rank, rounded up), each
        the upper end of its bucket; 0 where nothing was counted."""
        total = len(self)
        found = dict.fromkeys(which, 0)
        seen = 0
        wanted = sorted(which)
        for value in sorted(self.counts):
            seen += self.counts[value]
            while wanted and seen >= max(1, math.ceil(wanted[0] * total - 1e-9)):
                found[wanted.pop(0)] = upper(value)
        return [found[it] for it in which]

    def mean(self) -> float:
        """Of the buckets' middles; 0.0 of nothing."""
        total = len(self)
        return (
            sum((it + upper(it)) / 2 * count for it, count in self.counts.items()) / total if total else 0.0
        )

    def histogram(self) -> HdrHistogram:
        """As the hdrhistogram package has it: to encode, to compare, to print. Raises ImportError without it."""
        from hdrh.histogram import HdrHistogram

        made = HdrHistogram(1, HIGHEST, DIGITS)
        for value, count in self.counts.items():
            made.record_value(value, count)
        return made

    @classmethod
    def of(cls, histogram: HdrHistogram) -> Tally:
        """What such a histogram has counted."""
        made = cls()
        for item in histogram.get_recorded_iterator():
            if item.count_added_in_this_iter_step:
                low = histogram.get_lowest_equivalent_value(item.value_iterated_to)
                made.counts[low] = item.count_added_in_this_iter_step
        return made


def upper(value: int) -> int:
    """The largest value that is counted as the same."""
    shift = max(0, value.bit_length() - _BITS)
    return value | (1 << shift) - 1
