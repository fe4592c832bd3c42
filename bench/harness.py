"""Measuring fairly: timed loops, interleaved rounds, and ratios taken within one round.

Both sides of a comparison get the same treatment: the garbage collector is run, frozen and
disabled around each timed section, warm-up calls are not counted, every call is stamped with
perf_counter_ns into a preallocated array, and every result is compared with what was sent
(after the clock has stopped). Subjects take turns, so that a slow minute of the machine slows
all of them, and a ratio is only ever taken between two series of the same round.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
import traceback
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from bench.peers.base import Unavailable
from engine.load import machine

T = TypeVar("T")
RESULTS = Path(__file__).parent / "results"
Measure = Literal["p50", "p99", "rate"]


class WrongResult(AssertionError):
    """A subject returned a wrong result: its figures mean nothing."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: one of the three sizes below."""

    rounds: int
    calls: int  # per subject and round, for calls of microseconds; slow peers make fewer
    warmup: int
    idle_calls: int
    cold_starts: int
    idle_seconds: float
    overload_seconds: float
    large_calls: int


FULL = Effort(15, 5000, 500, 250, 24, 10.0, 10.0, 60)
QUICK = Effort(5, 1500, 200, 100, 12, 2.0, 3.0, 25)
GATE = Effort(7, 2000, 300, 120, 16, 4.0, 4.0, 30)


@dataclass
class Series:
    """What one subject did in one round."""

    samples: array[int]  # nanoseconds per call; empty when only the rate was measured
    count: int
    elapsed_ns: int
    steal: int = 0
    ordered: list[int] = field(default_factory=list, repr=False)

    def quantile(self, q: float) -> float:
        if not self.ordered:
            self.ordered = sorted(self.samples)
        return float(self.ordered[min(len(self.ordered) - 1, int(q * len(self.ordered)))])

    def value(self, measure: Measure) -> float:
        """Nanoseconds for p50 and p99, calls per second for rate."""
        if measure == "rate":
            return self.count * 1e9 / self.elapsed_ns
        return self.quantile(0.5 if measure == "p50" else 0.99)


@dataclass(frozen=True)
class Ratio:
    """One figure over the rounds. `bests` sets each side's own best round against the other's:
    a single disturbed round of the peer can flatter `best`, but not that."""

    rounds: list[float]
    median: float
    best: float
    bests: float


@dataclass
class Comparison:
    """All rounds of a few subjects that took turns."""

    name: str
    rounds: list[dict[str, Series]] = field(default_factory=list)

    def values(self, subject: str, measure: Measure = "p50") -> list[float]:
        return [turn[subject].value(measure) for turn in self.rounds]

    def median(self, subject: str, measure: Measure = "p50") -> float:
        return statistics.median(self.values(subject, measure))

    def ratio(self, above: str, below: str, measure: Measure = "p50", *, want: str = "high") -> Ratio:
        """above / below in every round; want: which end of it is good."""
        tops, bottoms = self.values(above, measure), self.values(below, measure)
        rounds = [top / bottom for top, bottom in zip(tops, bottoms, strict=True)]
        good = max if measure == "rate" else min
        return Ratio(
            rounds,
            statistics.median(rounds),
            max(rounds) if want == "high" else min(rounds),
            good(tops) / good(bottoms),
        )

    def spread(self, subject: str) -> Ratio:
        """p99 / p50 of one subject, per round."""
        rounds = [turn[subject].value("p99") / turn[subject].value("p50") for turn in self.rounds]
        return Ratio(rounds, statistics.median(rounds), min(rounds), min(rounds))

    def as_json(self) -> dict[str, Any]:
        turns = []
        for turn in self.rounds:
            turns.append(
                {
                    name: {
                        "count": series.count,
                        "elapsed_ns": series.elapsed_ns,
                        "steal_ticks": series.steal,
                        "rate": series.value("rate"),
                        **(
                            {f"p{q * 100:g}": series.quantile(q) for q in (0.0, 0.5, 0.9, 0.99, 0.999)}
                            if series.samples
                            else {}
                        ),
                        "samples": list(series.samples),
                    }
                    for name, series in turn.items()
                }
            )
        return {"name": self.name, "rounds": turns}


def interleave(name: str, rounds: int, subjects: Mapping[str, Callable[[], Series]]) -> Comparison:
    """Every subject once per round, in turn: A, B, A, B, …"""
    comparison = Comparison(name)
    for _ in range(rounds):
        turn: dict[str, Series] = {}
        for subject, measure in subjects.items():
            time.sleep(0.005)  # the previous subject stops spinning meanwhile
            before = machine.Ticks.now().steal
            series = measure()
            series.steal = machine.Ticks.now().steal - before
            turn[subject] = series
        comparison.rounds.append(turn)
    return comparison


def each(names: Iterable[str], measure: Callable[[str], T]) -> tuple[dict[str, T], dict[str, str], bool]:
    """Results by name; reasons for the missing ones; whether any of these broke, rather than being unavailable."""
    found: dict[str, T] = {}
    missing: dict[str, str] = {}
    broken = False
    for name in names:
        try:
            found[name] = measure(name)
        except Unavailable as reason:
            missing[name] = str(reason)
        except Exception as error:  # the others still run
            traceback.print_exc()
            missing[name] = f"{type(error).__name__}: {error}"
            broken = True
    return found, missing, broken


@contextmanager
def quiet_gc() -> Iterator[None]:
    """No collection inside a timed section, for any subject."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def make_events(count: int) -> list[dict[str, Any]]:
    """Events of about 100 bytes of JSON, no two alike, so that a swapped reply is noticed."""
    return [
        {"id": f"00000000-0000-4000-8000-{n:012d}", "key": "photos/cat.jpg", "n": n, "ok": True, "f": n / 4}
        for n in range(count)
    ]


def check(expected: Sequence[object], results: Sequence[object]) -> None:
    if len(expected) != len(results):
        raise WrongResult(f"{len(results)} results for {len(expected)} events")
    for number, (want, got) in enumerate(zip(expected, results, strict=True)):
        if want != got:
            raise WrongResult(f"result {number} is {got!r}, not {want!r}")


def time_calls(call: Callable[[Any], Any], events: Sequence[Any], *, warmup: int, gap: float = 0.0) -> Series:
    """One call at a time; with a gap, that many seconds of sleep before each."""
    count = len(events)
    samples = array("q", bytes(8 * count))
    results: list[Any] = [None] * count
    clock, sleep = time.perf_counter_ns, time.sleep
    with quiet_gc():
        for number in range(warmup):
            call(events[number % count])
        begin = clock()
        if gap:
            for number in range(count):
                event = events[number]
                sleep(gap)
                start = clock()
                result = call(event)
                samples[number] = clock() - start
                results[number] = result
        else:
            for number in range(count):
                event = events[number]
                start = clock()
                result = call(event)
                samples[number] = clock() - start
                results[number] = result
        elapsed = clock() - begin
    check(events, results)
    return Series(samples, count, elapsed)


async def time_awaits(call: Callable[[Any], Awaitable[Any]], events: Sequence[Any], *, warmup: int) -> Series:
    """One awaited call at a time."""
    count = len(events)
    samples = array("q", bytes(8 * count))
    results: list[Any] = [None] * count
    clock = time.perf_counter_ns
    with quiet_gc():
        for number in range(warmup):
            await call(events[number % count])
        begin = clock()
        for number in range(count):
            event = events[number]
            start = clock()
            result = await call(event)
            samples[number] = clock() - start
            results[number] = result
        elapsed = clock() - begin
    check(events, results)
    return Series(samples, count, elapsed)


def time_batch(run: Callable[[Sequence[Any]], list[Any]], events: Sequence[Any], *, warmup: int) -> Series:
    """All events at once, results in order; only the rate is measured."""
    with quiet_gc():
        run(events[:warmup])
        begin = time.perf_counter_ns()
        results = run(events)
        elapsed = time.perf_counter_ns() - begin
    check(events, results)
    return Series(array("q"), len(events), elapsed)


def save(name: str, body: dict[str, Any]) -> Path:
    """The whole series, under a name that sorts by time."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / ".gitignore").write_text("*\n")
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}-{name}.json"
    path.write_text(json.dumps(body, separators=(",", ":")))
    return path
