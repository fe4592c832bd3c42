"""The result of a run, in the form that is written down: reports, comparisons and pictures are made from this alone.

Times of requests are nanoseconds, spans of a run seconds, rates per second. What `latency` counts: from the intended
time of each request with any response but a throttle (in a closed loop: from its sending).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from .generate.record import ENDINGS, Tally

FORMAT = 1
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


class Distribution(msgspec.Struct, frozen=True):
    """Latencies. `histogram`: HDR, V2, compressed and in base64, as every HdrHistogram library reads it; "" of none."""

    count: int = 0
    mean: float = 0.0
    least: int = 0
    p50: int = 0
    p90: int = 0
    p99: int = 0
    p999: int = 0
    most: int = 0
    histogram: str = ""

    @classmethod
    def of(cls, tally: Tally) -> Distribution:
        if not tally.counts:
            return cls()
        least, p50, p90, p99, p999, most = tally.quantiles(0.0, *QUANTILES.values(), 1.0)
        encoded: bytes = tally.histogram().encode()
        return cls(len(tally), tally.mean(), least, p50, p90, p99, p999, most, encoded.decode("ascii"))

    def tally(self) -> Tally:
        """The counts again, to three digits."""
        if not self.histogram:
            return Tally()
        from hdrh.histogram import HdrHistogram

        return Tally.of(HdrHistogram.decode(self.histogram.encode("ascii")))


class Estimate(msgspec.Struct, frozen=True):
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float


class Series(msgspec.Struct, frozen=True):
    """The run by the second for which a request was intended, the warm-up's too: columns of the same length."""

    offered: list[int] = []
    ok: list[int] = []
    failed: list[int] = []  # errors, timeouts and failures
    throttled: list[int] = []
    cold: list[int] = []
    in_flight: list[int] = []  # at most, within the second
    p50: list[int] = []
    p99: list[int] = []
    most: list[int] = []


class StageResult(msgspec.Struct, frozen=True):
    """One rate of a schedule. `end` may lie before the schedule's, where a run was cut short."""

    begin: float
    end: float
    rate: float  # as scheduled
    offered: int
    ok: int
    failed: int
    throttled: int
    p50: int
    p99: int
    p999: int
    most: int

    @property
    def goodput(self) -> float:
        return self.ok / (self.end - self.begin)

    @property
    def offered_rate(self) -> float:
        return self.offered / (self.end - self.begin)


class Knee(msgspec.Struct, frozen=True):
    """Where a ramp's target stopped to keep up. kept: the highest rate that it kept, 0 if it kept none; lost: the rate
    after that, None if it kept all; why: what gave way there."""

    kept: float
    lost: float | None
    why: str


class Noise(msgspec.Struct, frozen=True):
    """What two runs of the same differed by, larger over smaller: 1.0 is no difference. `seconds`: of each."""

    seconds: float
    p50: float
    p99: float


class Cpu(msgspec.Struct, frozen=True):
    """CPU time per invocation in µs; None where it cannot be measured. engine: the target's without the workers."""

    generator: float | None = None
    engine: float | None = None
    workers: float | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run, whole. `void`: why its figures mean nothing; empty when they mean something."""

    format: int = FORMAT
    stoker: str
    name: str
    target: str  # in words
    arrivals: str  # in words
    payload: str  # in words
    loop: Literal["open", "closed"] = "open"
    functions: int = 1
    seed: int
    started: str  # ISO 8601, UTC
    duration: float  # of the schedule, the warm-up included
    warmup: float
    polled: bool = False  # the generator kept a core busy
    machine: dict[str, str] = {}
    void: list[str] = []
    offered: int  # without the warm-up, as everything below but `series`
    rate: float  # offered, per second
    goodput: float  # right answers, per second
    ended: dict[str, int]  # by record.ENDINGS
    reasons: dict[str, dict[str, int]] = {}
    latency: Distribution
    cold: Distribution = Distribution()
    warm: Distribution = Distribution()
    refused: Distribution = Distribution()
    lag: Distribution = Distribution()  # of the generator behind its schedule
    parts: dict[str, Distribution] = {}  # where the time went, of the requests that the target timed
    estimates: dict[str, Estimate] = {}  # by QUANTILES' names, and "goodput"
    noise: Noise | None = None
    cpu: Cpu = Cpu()
    steal: float = 0.0  # of all CPU time, taken by the hypervisor meanwhile
    most_in_flight: int = 0
    series: Series = Series()
    stages: list[StageResult] = []
    knee: Knee | None = None

    @property
    def wrong(self) -> int:
        """Requests that ended in anything but a right answer."""
        return sum(self.ended.values()) - self.ended.get("ok", 0)

    def endings(self) -> Iterator[tuple[str, int, list[tuple[str, int]]]]:
        """Each kind that there was, how many, and the reasons with the most frequent first."""
        for kind in (*ENDINGS, *sorted(self.ended.keys() - set(ENDINGS))):
            if count := self.ended.get(kind):
                yield kind, count, sorted(self.reasons.get(kind, {}).items(), key=lambda it: -it[1])


class NotAResult(ValueError):
    """A file that no run wrote."""


def write(path: Path, result: Result) -> None:
    """Raises OSError."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))


def read(path: Path) -> Result:
    """Raises OSError, NotAResult."""
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Result)
    except msgspec.DecodeError as error:
        raise NotAResult(f"{path} is not what stoker load --json writes: {error}") from None
    if result.format != FORMAT:
        raise NotAResult(f"{path} is of format {result.format}; this version reads {FORMAT}")
    return result
