"""The functions of stats: each adds values up in bounded memory."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable
from typing import Any

from ....observe.points import bounds, bucket
from .values import Rank, number, rank, text

EXACT = 10_000  # values that a percentile is exact for; of more it is within 1 %
DISTINCT = 16_384  # values that count_distinct is exact for; of more it is within a few percent
_SPACE = 1 << 64


class Aggregate:
    """One of a group of records. at: when the record is of, and its place among those of the same time."""

    def add(self, value: Any, at: tuple[Any, ...]) -> None:
        raise NotImplementedError

    def result(self) -> Any:
        raise NotImplementedError


class Count(Aggregate):
    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Any, at: tuple[Any, ...]) -> None:
        if value is not None:
            self._count += 1

    def result(self) -> int:
        return self._count


class CountDistinct(Aggregate):
    """Of many values it keeps the smallest of their hashes: how dense these are says how many there are."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        self._below = _SPACE

    def add(self, value: Any, at: tuple[Any, ...]) -> None:
        if value is None:
            return
        digest = hashlib.blake2b(text(value).encode("utf-8", "replace"), digest_size=8).digest()
        found = int.from_bytes(digest)
        if found < self._below:
            self._hashes.add(found)
            if len(self._hashes) > 2 * DISTINCT:
                smallest = sorted(self._hashes)[: DISTINCT + 1]
                self._below = smallest.pop()
                self._hashes = set(smallest)

    def result(self) -> int:
        if self._below == _SPACE:
            return len(self._hashes)
        return round(len(self._hashes) * _SPACE / self._below)


class Sum(Aggregate):
    def __init__(self) -> None:
        self._sum: int | float = 0

    def add(self, value: Any, at: tuple[Any, ...]) -> None:
        found = number(value)
        if found is not None:
            self._sum += +found

    def result(self) -> Any:
        return self._sum if isinstance(self._sum, int) or math.isfinite(self._sum) else None


class Average(Aggregate):
    """Mean and deviation, by Welford's recurrence."""

    def __init__(self, deviation: bool = False) -> None:
        self._deviation = deviation
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, value: Any, at: tuple[Any, ...]) -> None:
        found = number(value)
        if found is None:
            return
        self._count += 1
        off = found - self._mean
        self._mean += off / self._count
        self._squares += off * (found - self._mean)

    def result(self) -> float | None:
        if not self._count:
            return None
        found = math.sqrt(max(self._squares, 0.0) / self._count) if self._deviation else self._mean
        return found if math.isfinite(found) else None


class Extreme(Aggregate):
    """The value that sorts last, or first."""

    def __init__(self, last: bool) -> None:
        self._last = last
        self._value: Any = None
        self._rank: Rank | None = None

    def add(self, value: Any, at: tuple[Any, ...]) -> None:
        if value is None:
            return
        found = rank(value)
        if self._rank is None or (found > self._rank if self._last else found < self._rank):
            self._value, self._rank = value, found

    def result(self) -> Any:
        return self._value


class Dated(Aggregate):
    """The value of the latest record that has one, or of the earliest."""

    def __init__(self, latest: bool) -> None:
        self._latest = latest
        self._value: Any = None
        self._at: tuple[Any, ...] | None = None

    def add(self, value: Any, at: tuple[Any, ...]) -> None:
        if value is not None and (self._at is None or (at > self._at if self._latest else at < self._at)):
            self._value, self._at = value, at

    def result(self) -> Any:
        return self._value


class Percentile(Aggregate):
    """By the nearest rank; of very many values by a histogram."""

    def __init__(self, percent: float) -> None:
        self._percent = percent
        self._values = array("d")
        self._buckets: dict[int, int] = {}
        self._count = 0

    def add(self, value: Any, at: tuple[Any, ...]) -> None:
        found = number(value)
        if found is None:
            return
        try:
            found = float(found)
        except OverflowError:
            return
        self._count += 1
        if self._buckets:
            self._tally(found)
            return
        self._values.append(found)
        if len(self._values) > EXACT:
            for each in self._values:
                self._tally(each)
            self._values = array("d")

    def _tally(self, value: float) -> None:
        index = bucket(value)
        self._buckets[index] = self._buckets.get(index, 0) + 1

    def result(self) -> float | None:
        if not self._count:
            return None
        place = min(max(math.ceil(self._percent / 100 * self._count), 1), self._count)
        if not self._buckets:
            return sorted(self._values)[place - 1]
        for index in sorted(self._buckets):
            place -= self._buckets[index]
            if place <= 0:
                break
        low, high = bounds(index)
        return (low + high) / 2


# Name, in lower case: what makes one. A percentile's is made with its percentage.
AGGREGATES: dict[str, Callable[[], Aggregate]] = {
    "count": Count,
    "count_distinct": CountDistinct,
    "sum": Sum,
    "avg": Average,
    "stddev": lambda: Average(deviation=True),
    "min": lambda: Extreme(last=False),
    "max": lambda: Extreme(last=True),
    "sortsfirst": lambda: Extreme(last=False),
    "sortslast": lambda: Extreme(last=True),
    "earliest": lambda: Dated(latest=False),
    "latest": lambda: Dated(latest=True),
    "median": lambda: Percentile(50),
}
PERCENTILES = ("pct", "percentile")
