"""What the values of a span of time add up to: count, sum, extremes, and a log-linear histogram for percentiles."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

SUBBUCKETS = 64  # of each power of two: a bucket's width is at most 1/64 of its values
_BITS = 6
_PARTS = 2 * SUBBUCKETS  # of a mantissa, which is from 1/2 to 1
_BIAS = 1100 << _BITS  # keeps the buckets of positive numbers, the smallest ones too, above that of zero
# A value's bucket is that of the nearest single, whose upper half is its biased exponent and 7 bits of its mantissa.
_SINGLES = 1e-30, 1e30  # as far as singles are used
_OFFSET = _BIAS - (126 << _BITS)
_UPPER = int(sys.byteorder == "little")  # of a single's two halves
_single = struct.Struct("f")


def bucket(value: float) -> int:
    """The bucket of a value: buckets are in the order of their values, zero's is 0."""
    if not value:
        return 0
    size = abs(value)
    if _SINGLES[0] <= size <= _SINGLES[1]:
        (size,) = _single.unpack(_single.pack(size))
    mantissa, exponent = math.frexp(size)
    index = _BIAS + (exponent << _BITS) + int(mantissa * _PARTS) - SUBBUCKETS
    return index if value > 0 else -index


def bounds(index: int) -> tuple[float, float]:
    """A bucket's lowest and highest value."""
    if not index:
        return 0.0, 0.0
    exponent, sub = divmod(abs(index) - _BIAS, SUBBUCKETS)
    low = math.ldexp((sub + SUBBUCKETS) / _PARTS, exponent)
    high = math.ldexp((sub + SUBBUCKETS + 1) / _PARTS, exponent)
    return (low, high) if index > 0 else (-high, -low)


class Point(msgspec.Struct, array_like=True, gc=False):
    """buckets: how many values each bucket has; they are fewer than `count` where only a sum was given."""

    count: float = 0.0
    sum: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    buckets: dict[int, float] = {}

    def add(self, value: float, times: float = 1) -> None:
        value = float(value)  # True is a number, too, but not one that can be read back
        self.count += times
        self.sum += value * times
        self.low, self.high = min(self.low, value), max(self.high, value)
        index = bucket(value)
        self.buckets[index] = self.buckets.get(index, 0) + times

    def merge(self, other: Point) -> None:
        self.count += other.count
        self.sum += other.sum
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        buckets = self.buckets
        for index, times in other.buckets.items():
            buckets[index] = buckets.get(index, 0) + times

    def copy(self) -> Point:
        return Point(self.count, self.sum, self.low, self.high, dict(self.buckets))

    @property
    def whole(self) -> bool:
        """Has the histogram all values? So it is, too, where they are all the same."""
        return math.isclose(math.fsum(self.buckets.values()), self.count)

    def ordered(self) -> list[tuple[float, float, float]]:
        """Lowest and highest value and number of each bucket, within the extremes."""
        found = []
        for index in sorted(self.buckets):
            low, high = bounds(index)
            low, high = max(low, self.low), min(high, self.high)
            found.append((min(low, high), max(low, high), self.buckets[index]))
        return found


def of_counts(zeros: int, ones: int) -> Point:
    """Of so many zeros and ones."""
    buckets = {0: float(zeros)} if zeros else {}
    if ones:
        buckets[bucket(1)] = float(ones)
    return Point(zeros + ones, ones, 0.0 if zeros else 1.0, 1.0 if ones else 0.0, buckets)


def of_values(values: Sequence[float]) -> Point:
    """Of one value or more: what `add` makes of them, in a fraction of its time."""
    low, high = min(values), max(values)
    if low >= _SINGLES[0] and high <= _SINGLES[1]:
        halves = memoryview(array("f", values)).cast("B").cast("H")[_UPPER::2]
        buckets: dict[int, float] = {}
        for half, times in Counter(halves.tolist()).items():
            index = _OFFSET + (half >> 1)
            buckets[index] = buckets.get(index, 0.0) + times
    else:
        buckets = {index: float(times) for index, times in Counter(map(bucket, values)).items()}
    return Point(float(len(values)), float(sum(values)), float(low), float(high), buckets)


def of_summary(count: float, total: float, low: float, high: float) -> Point:
    """Of values of which no more is known."""
    point = Point(count, total, low, high, {})
    if count and (low == high or count == 1):
        point.buckets[bucket(low)] = count
    return point


def merged(points: Iterable[Point]) -> Point:
    made = Point()
    made.buckets = {}
    for point in points:
        made.merge(point)
    return made


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Point).decode


def encode(point: Point) -> bytes:
    return _encode(point)


def decode(data: bytes | memoryview) -> Point:
    """Raises msgspec.DecodeError."""
    return _decode(data)


def percentile(point: Point, percent: float) -> float:
    """The value that so many percent of the values do not exceed, at most 1/64 off: the place in a bucket is linear."""
    wanted = percent / 100 * point.count
    if percent >= 100:
        return point.high
    seen = 0.0
    for low, high, times in point.ordered():
        if seen + times >= wanted and times:
            return low + (high - low) * max(0.0, wanted - seen) / times
        seen += times
    return point.high


def rank(point: Point, value: float) -> float:
    """How many of the values are at most this one."""
    seen = 0.0
    for low, high, times in point.ordered():
        if high <= value:
            seen += times
        elif low <= value:
            seen += times * (value - low) / (high - low)
    return seen


def trimmed(point: Point, low: float, high: float) -> tuple[float, float]:
    """Number and sum of the values from rank `low` to rank `high`."""
    seen = count = total = 0.0
    for first, last, times in point.ordered():
        begin, end = max(low, seen), min(high, seen + times)
        if end > begin:
            share = ((begin + end) / 2 - seen) / times
            count += end - begin
            total += (end - begin) * (first + (last - first) * share)
        seen += times
    return count, total


__all__: list[Any] = [
    "SUBBUCKETS", "Point", "bounds", "bucket", "decode", "encode", "merged", "of_counts", "of_summary", "of_values",
    "percentile", "rank", "trimmed",
]  # fmt: skip
