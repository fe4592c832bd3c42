"""When requests are sent: schedules that are made before a run, so that no target can slow them down.

A schedule is iterated: each turn gives (seconds after the start, number of the function), in order of time. It is the
same each time for the same seed, and never held in memory whole.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Process = Literal["poisson", "constant"]
Arrival = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a schedule that offers one rate. Seconds; rate in requests per second."""

    begin: float
    end: float
    rate: float


class Schedule(Protocol):
    """What a generator sends by. `duration` in seconds; `functions`: how many there are to be sent to."""

    @property
    def duration(self) -> float: ...
    @property
    def functions(self) -> int: ...
    @property
    def stages(self) -> Sequence[Stage]: ...
    def __iter__(self) -> Iterator[Arrival]: ...


@dataclass(frozen=True)
class Stages:
    """Stages one after the other. poisson: gaps drawn from the exponential distribution, as independent callers make
    them; constant: all the same. Requests go to `functions` functions, drawn by their weights, or all alike."""

    stages: Sequence[Stage]
    seed: int = 0
    process: Process = "poisson"
    functions: int = 1
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("a schedule needs at least one stage")
        if self.functions < 1:
            raise ValueError(f"functions must be at least 1, not {self.functions}")
        if self.process not in ("poisson", "constant"):
            raise ValueError(f'arrivals are "poisson" or "constant", not {self.process!r}')
        if self.weights is not None and not (
            len(self.weights) == self.functions
            and all(math.isfinite(weight) and weight >= 0 for weight in self.weights)
            and sum(self.weights) > 0
        ):
            raise ValueError(
                f"weights are as many numbers as functions ({self.functions}), 0 or more and not all 0, "
                f"not {list(self.weights)}"
            )
        at = 0.0
        for stage in self.stages:
            if not (math.isfinite(stage.end) and stage.begin == at and stage.end > at):
                raise ValueError(
                    f"a stage from {stage.begin} s to {stage.end} s cannot follow on {at} s: stages are finite and "
                    "begin where the one before ends"
                )
            if not (math.isfinite(stage.rate) and stage.rate >= 0):
                raise ValueError(f"a rate is a number of requests per second, 0 or more, not {stage.rate}")
            at = stage.end

    @property
    def duration(self) -> float:
        return self.stages[-1].end

    def __iter__(self) -> Iterator[Arrival]:
        draw = random.Random(self.seed)
        # A generator of its own for the functions: with more of them, the times stay what they are.
        pick = self._functions(random.Random(f"functions {self.seed}"))
        for stage in self.stages:
            for at in self._times(stage, draw):
                yield at, next(pick)

    def _functions(self, draw: random.Random) -> Iterator[int]:
        if self.functions == 1:
            yield from itertools.repeat(0)
        if self.weights is None:
            while True:
                yield draw.randrange(self.functions)
        upto = list(itertools.accumulate(self.weights))
        last = max(number for number, weight in enumerate(self.weights) if weight)
        while True:
            yield min(bisect(upto, draw.random() * upto[-1]), last)  # rounding may reach the very end

    def _times(self, stage: Stage, draw: random.Random) -> Iterator[float]:
        rate, begin, end = stage.rate, stage.begin, stage.end
        if not rate:
            return
        if self.process == "constant":
            for number in range(math.ceil((end - begin) * rate)):
                at = begin + number / rate
                if at < end:  # rounding may have made one too many
                    yield at
            return
        at = begin + draw.expovariate(rate)
        while at < end:
            yield at
            at += draw.expovariate(rate)


def steady(rate: float, duration: float, **more: object) -> Stages:
    """One rate for so many seconds. more: seed, process, functions, weights."""
    return Stages([Stage(0.0, duration, rate)], **more)  # type: ignore[arg-type]


def ramp(first: float, last: float, step: float, dwell: float, **more: object) -> Stages:
    """From one rate to another, `dwell` seconds at each: to where the knee is."""
    if step <= 0 or last < first:
        raise ValueError(f"a ramp goes up: from {first} to {last} by {step} it does not")
    count = math.floor((last - first) / step + 1e-9) + 1
    return Stages(
        [Stage(n * dwell, (n + 1) * dwell, first + n * step) for n in range(count)],
        **more,  # type: ignore[arg-type]
    )


def bursts(base: float, peak: float, every: float, length: float, duration: float, **more: object) -> Stages:
    """`base` requests per second, and `peak` for `length` of each `every` seconds."""
    if not 0 < length < every:
        raise ValueError(
            f"a burst of {length} s every {every} s: it must be shorter than that, and longer than 0"
        )
    stages: list[Stage] = []
    at = 0.0
    for number in range(math.ceil(duration / every)):
        quiet = min(duration, number * every + every - length)
        stages.append(Stage(at, quiet, base))
        at = quiet
        if quiet < duration:
            at = min(duration, (number + 1) * every)
            stages.append(Stage(quiet, at, peak))
    return Stages(stages, **more)  # type: ignore[arg-type]
