"""A run's seconds, gathered into as many spans as a picture has points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ..result import Result

_EACH = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)  # seconds that are one point


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
        """At most so many. What is left of a second at the end of the run belongs to the span before, if it is too
        short to have a rate."""
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

    def told(self, how: str) -> str:
        if self.each == 1:
            return "By the second for which a request was intended."
        return f"By the time for which a request was intended. A point is {self.each} s: {how}."

    def across(self, values: Sequence[float]) -> list[tuple[float, float]]:
        """A point in the middle of each, and one at either end."""
        if not self:
            return []
        points = [(span.middle, value) for span, value in zip(self, values, strict=True)]
        return [(self[0].begin, values[0]), *points, (self.end, values[-1])]
