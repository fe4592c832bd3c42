"""What a run's requests came to: latencies, outcomes and the generator's own lag, in all and second by second."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .arrivals import Stage

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

# ok; error: the function's own, or a wrong reply; throttle: refused for want of capacity; timeout: the function's, or
# no response at all; failure: what came was no response (a connection that broke, say).
Ending = Literal["ok", "error", "throttle", "timeout", "failure"]
ENDINGS: tuple[Ending, ...] = ("ok", "error", "throttle", "timeout", "failure")
WRONG: tuple[Ending, ...] = ("error", "timeout", "failure")  # neither right nor refused
_SECOND = 1_000_000_000
_REASONS = 20  # of each kind are kept
DIGITS = 3
HIGHEST = 3_600_000_000_000  # ns: an hour
_BITS = 11  # of the 2,048 buckets that keep three digits


@dataclass(slots=True)
class Response:
    """What a target made of one request. parts: ns of queue, dispatch, execute, reply. None: it does not tell."""

    ending: Ending
    payload: bytes = b""
    why: str = ""
    cold: bool | None = None
    parts: Mapping[str, int] | None = None


class Tally:
    """How often each latency (ns, 0 to an hour) was seen, to three significant digits, as an HDR histogram counts them.
    A value is counted under the lower end of its bucket, in a dict: a fifth of the cost of the package's record_value,
    as a generator has to keep its own times. The package's histogram is made of it where it is needed."""

    __slots__ = ("counts",)

    def __init__(self, values: Iterable[int] = (), counts: dict[int, int] | None = None) -> None:
        self.counts: dict[int, int] = {} if counts is None else counts
        for value in values:
            self.add(value)

    def add(self, value: int) -> None:
        self.count(lower(value))

    def count(self, bucket: int) -> None:
        """Once more a value of this bucket, by its lower end."""
        counts = self.counts
        counts[bucket] = counts.get(bucket, 0) + 1

    def merge(self, other: Tally) -> None:
        for value, count in other.counts.items():
            self.counts[value] = self.counts.get(value, 0) + count

    def __len__(self) -> int:
        return sum(self.counts.values())

    def quantiles(self, *which: float) -> list[int]:
        """By the nearest rank, rounded up (0.5: the median), each the upper end of its bucket; 0 of nothing."""
        total = len(self)
        found = dict.fromkeys(which, 0)
        seen = 0
        left = sorted(which)
        for value in sorted(self.counts):
            seen += self.counts[value]
            while left and seen >= max(1, math.ceil(left[0] * total - 1e-9)):
                found[left.pop(0)] = upper(value)
        return [found[it] for it in which]

    def mean(self) -> float:
        """Of the buckets' middles; 0.0 of nothing."""
        total = sum((it + upper(it)) / 2 * count for it, count in self.counts.items())
        return total / len(self) if self.counts else 0.0

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
        return cls(
            counts={
                histogram.get_lowest_equivalent_value(it.value_iterated_to): it.count_added_in_this_iter_step
                for it in histogram.get_recorded_iterator()
                if it.count_added_in_this_iter_step
            }
        )


def lower(value: int) -> int:
    """The smallest value that is counted as the same."""
    value = 0 if value < 0 else HIGHEST if value > HIGHEST else value
    shift = value.bit_length() - _BITS
    return value >> shift << shift if shift > 0 else value


def upper(value: int) -> int:
    """The largest value that is counted as the same."""
    shift = max(0, value.bit_length() - _BITS)
    return value | (1 << shift) - 1


@dataclass(slots=True)
class Interval:
    """A second or a stage of a run, by the intended time of its requests."""

    offered: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    latency: Tally = field(default_factory=Tally)
    cold: int = 0
    most_in_flight: int = 0

    @property
    def failed(self) -> int:
        return sum(self.ended[ending] for ending in WRONG)


class Record:
    """Everything about a run. Latencies count from the time at which a request was to be sent; what had no response is
    a timeout and has none. `warmup` seconds at the start are seen in the intervals and stages and nowhere else."""

    def __init__(self, warmup: float = 0.0, stages: Sequence[Stage] = ()) -> None:
        self.warmup = int(warmup * _SECOND)
        self.latency = Tally()  # all but what was refused
        self.cold, self.warm, self.refused, self.lag = Tally(), Tally(), Tally(), Tally()
        self.parts: dict[str, Tally] = {}
        self.ended: Counter[str] = Counter()
        self.reasons: dict[str, Counter[str]] = {}
        self.offered = self.sent = self.in_flight = self.most_in_flight = 0
        self.intervals: list[Interval] = []
        self.stages = [Interval() for _ in stages]
        self._ends = [round(stage.end * _SECOND) for stage in stages[:-1]]
        # The intervals of the offset that was asked for last, and from when to when they are those of others.
        self._last: tuple[Interval, ...] = ()
        self._from = self._until = 0

    def interval(self, offset: int) -> Interval:
        """That of an offset, in ns, from the start."""
        number = max(0, offset) // _SECOND
        while number >= len(self.intervals):
            self.intervals.append(Interval())
        return self.intervals[number]

    def _both(self, offset: int) -> tuple[Interval, ...]:
        """An offset's second and, if there are any, its stage."""
        if self._from <= offset < self._until:
            return self._last
        second = self.interval(offset)
        self._from = offset // _SECOND * _SECOND
        self._until = self._from + _SECOND
        if not self.stages:
            self._last = (second,)
            return self._last
        number = bisect_right(self._ends, offset)
        if number:
            self._from = max(self._from, self._ends[number - 1])
        if number < len(self._ends):
            self._until = min(self._until, self._ends[number])
        self._last = (second, self.stages[number])
        return self._last

    def send(self, offset: int, lag: int) -> None:
        """A request that was intended for `offset` is sent, `lag` late."""
        self.sent += 1
        self.in_flight = in_flight = self.in_flight + 1
        for interval in self._both(offset):
            interval.offered += 1
            interval.most_in_flight = max(interval.most_in_flight, in_flight)
        self.most_in_flight = max(self.most_in_flight, in_flight)
        if offset >= self.warmup:
            self.offered += 1
            self.lag.add(lag)

    def receive(self, offset: int, latency: int, response: Response) -> None:
        self.in_flight -= 1
        ending, cold = response.ending, response.cold
        bucket = lower(latency)
        for interval in self._both(offset):
            interval.ended[ending] += 1
            if cold:
                interval.cold += 1
            if ending != "throttle":
                interval.latency.count(bucket)
        if offset < self.warmup:
            return
        if ending == "throttle":
            self.refused.count(bucket)
        else:
            self.latency.count(bucket)
            if cold is not None:
                (self.cold if cold else self.warm).count(bucket)
        if response.parts is not None:
            for name, value in response.parts.items():
                self.parts.setdefault(name, Tally()).add(value)
        self.ended[ending] += 1
        if ending != "ok":
            self._because(ending, response.why)

    def unanswered(self, offset: int) -> None:
        """The run is over and this one is not."""
        self.in_flight -= 1
        for interval in self._both(offset):
            interval.ended["timeout"] += 1
        if offset >= self.warmup:
            self.ended["timeout"] += 1
            self._because("timeout", "no answer before the end of the run")

    def _because(self, ending: str, why: str) -> None:
        reasons = self.reasons.setdefault(ending, Counter())
        reasons[why if why in reasons or len(reasons) < _REASONS else "(others)"] += 1
