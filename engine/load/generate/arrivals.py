"""When requests are sent: schedules that are made before a run, so that no target can slow them down; stages of one
rate each, and traces of real arrivals, replayed or made up in the shape of a real one.

A schedule is iterated: each turn gives (seconds after the start, number of the function), in order of time. It is the
same each time for the same seed, and never held in memory whole.

A trace has the columns of the Azure Functions trace of 2021: app, func, end_timestamp, duration (seconds), a line for
each invocation, in the order of their ends. One began at end_timestamp - duration.
"""

from __future__ import annotations

import csv
import heapq
import itertools
import math
import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Process = Literal["poisson", "constant"]
Arrival = tuple[float, int]

COLUMNS = ("app", "func", "end_timestamp", "duration")
# From Shahrad et al., "Serverless in the Wild" (USENIX ATC 2020): the log-normal distribution fitted to the average
# durations of functions, in seconds; and the applications that are invoked at most once an hour.
DURATION_MU, DURATION_SIGMA = -0.38, 2.36
RARE = 0.45
# Of our own choice.
SHORTEST, LONGEST = 0.001, 900.0  # seconds; the latter is Lambda's longest timeout
SPREAD = 0.5  # sigma of one function's durations around their median
TAIL = 1.1  # Pareto's alpha, of the rates of what is not rare: a few make nearly all invocations
TIMERS, BURSTY = 0.3, 0.3  # of the functions; the rest have independent callers
BURSTS = 5  # short windows into which most invocations of a bursty one fall
_HOUR = 3600.0


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
        if self.weights is not None:
            fit = len(self.weights) == self.functions and all(0 <= it < math.inf for it in self.weights)
            if not fit or not any(self.weights):
                rule = f"as many numbers as functions ({self.functions}), 0 or more and not all 0"
                raise ValueError(f"weights are {rule}, not {list(self.weights)}")
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


def steady(rate: float, duration: float, **more: Any) -> Stages:
    """One rate for so many seconds. more: seed, process, functions, weights."""
    return Stages([Stage(0.0, duration, rate)], **more)


def ramp(first: float, last: float, step: float, dwell: float, **more: Any) -> Stages:
    """From one rate to another, `dwell` seconds at each: to where the knee is."""
    if step <= 0 or last < first:
        raise ValueError(f"a ramp goes up: from {first} to {last} by {step} it does not")
    count = math.floor((last - first) / step + 1e-9) + 1
    return Stages([Stage(n * dwell, (n + 1) * dwell, first + n * step) for n in range(count)], **more)


def bursts(base: float, peak: float, every: float, length: float, duration: float, **more: Any) -> Stages:
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
    return Stages(stages, **more)


@dataclass(frozen=True, slots=True, order=True)
class Invocation:
    """A line of a trace. begin and duration in seconds."""

    begin: float
    duration: float
    app: str
    func: str

    @property
    def end(self) -> float:
        return self.begin + self.duration


class Trace:
    """A file as a schedule, `speed` times as fast as it was. `names`: app and func by the function's number. It is read
    once for its functions and span, and again for each replay, which holds only lines that may be out of order."""

    def __init__(self, path: Path, speed: float = 1.0) -> None:
        """Raises OSError; ValueError, with the line, for what is no trace."""
        if not (math.isfinite(speed) and speed > 0):
            raise ValueError(f"the speed must be above 0, not {speed}")
        self.path = path
        self.speed = speed
        numbers: dict[tuple[str, str], int] = {}
        self._first, last, self._longest, self.count = math.inf, -math.inf, 0.0, 0
        for line in read(path):
            numbers.setdefault((line.app, line.func), len(numbers))
            self._first, last = min(self._first, line.begin), max(last, line.begin)
            self._longest = max(self._longest, line.duration)
            self.count += 1
        if not numbers:
            raise ValueError(f"{path}: there is no invocation in it")
        self._numbers = numbers
        self.duration = (last - self._first) / speed

    @property
    def names(self) -> list[tuple[str, str]]:
        """app and func by the function's number."""
        return list(self._numbers)

    @property
    def functions(self) -> int:
        return len(self._numbers)

    @property
    def stages(self) -> Sequence[Stage]:
        """The whole as one stage, at its mean rate."""
        rate = self.count / self.duration if self.duration else float(self.count)
        return [Stage(0.0, self.duration, rate)]

    def invocations(self) -> Iterator[Invocation]:
        """Its lines in the order in which they began."""
        held: list[Invocation] = []
        for line in read(self.path):
            heapq.heappush(held, line)
            while held and held[0].begin <= line.end - self._longest:  # nothing that follows began before
                yield heapq.heappop(held)
        while held:
            yield heapq.heappop(held)

    def __iter__(self) -> Iterator[Arrival]:
        for line in self.invocations():
            yield (line.begin - self._first) / self.speed, self._numbers[line.app, line.func]


def read(path: Path) -> Iterator[Invocation]:
    """The lines of a trace's file. Raises OSError, ValueError."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        head = next(lines, [])
        if tuple(head) != COLUMNS:
            raise ValueError(
                f"{path}: its first line must be {','.join(COLUMNS)}, not {','.join(head)[:80]!r}"
            )
        before = -math.inf
        for line in lines:
            try:
                app, func, end, duration = line[0], line[1], float(line[2]), float(line[3])
                if len(line) != len(COLUMNS) or not (math.isfinite(end) and 0 <= duration < math.inf):
                    raise ValueError
            except (IndexError, ValueError):
                found = ",".join(line)[:80]
                expected = "app,func and two numbers of seconds are expected"
                raise ValueError(f"{path}, line {lines.line_num}: {expected}, not {found!r}") from None
            if end < before:
                order = "before the line above it: sort by end_timestamp"
                raise ValueError(f"{path}, line {lines.line_num}: it ended at {end}, {order}")
            before = end
            yield Invocation(end - duration, duration, app, func)


def synthesize(functions: int, invocations: int, seconds: float, seed: int = 0) -> Iterator[Invocation]:
    """Exactly so many invocations, in the order in which they begin. RARE of the applications have at most one an hour;
    the rates of the others and all durations are heavy-tailed; some functions run by a timer, some in bursts."""
    if functions < 1 or invocations < 0 or not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(
            f"{functions} functions, {invocations} invocations, {seconds} seconds: at least one, none, and more than 0"
        )
    draw = random.Random(f"trace {seed}")
    apps = _apps(functions, draw)
    counts = _counts(apps, invocations, max(1, int(seconds / _HOUR)), draw)
    streams = [
        _stream(f"app-{app:04}", f"func-{number:04}", counts[number], seconds, f"{seed} {number}")
        for number, (app, _) in enumerate(apps)
    ]
    return heapq.merge(*streams)


def _apps(functions: int, draw: random.Random) -> list[tuple[int, float]]:
    """Each function's application and its rate, 0 for a rare one, which has one function; half of the others more."""
    apps: list[tuple[int, float]] = []
    for app in itertools.count():
        rate = 0.0 if app and draw.random() < RARE else draw.paretovariate(TAIL)
        apps.append((app, rate))
        while rate and draw.random() < 0.5:
            apps.append((app, rate))
        if len(apps) >= functions:
            break
    return apps[:functions]


def _counts(apps: list[tuple[int, float]], invocations: int, hours: int, draw: random.Random) -> list[int]:
    """Invocations of each function; their sum is exact, and none has no invocation while there are enough."""
    counts = [1 if number < invocations else 0 for number in range(len(apps))]
    weights = [rate * draw.random() for _, rate in apps]
    for number, (_, rate) in enumerate(apps):
        if not rate:
            counts[number] += draw.randrange(hours) if sum(counts) + hours <= invocations else 0
    left = invocations - sum(counts)
    shares = [weight / math.fsum(weights) * left for weight in weights]
    rests = sorted(range(len(apps)), key=lambda number: int(shares[number]) - shares[number])
    for number, share in enumerate(shares):
        counts[number] += int(share)
    for number in rests[: invocations - sum(counts)]:
        counts[number] += 1
    return counts


def _stream(app: str, func: str, count: int, seconds: float, seed: str) -> Iterator[Invocation]:
    draw = random.Random(f"function {seed}")
    median = min(LONGEST, max(SHORTEST, draw.lognormvariate(DURATION_MU, DURATION_SIGMA)))
    kind = draw.random()
    windows = sorted(draw.random() for _ in range(BURSTS))
    phase, rank = draw.random(), 0.0
    for number in range(count):
        # The next of `count` sorted uniform numbers, without the others.
        rank = 1.0 - (1.0 - rank) * (1.0 - draw.random()) ** (1.0 / (count - number))
        at = rank
        if kind < TIMERS:
            at = (number + phase) / count
        elif kind < TIMERS + BURSTY:
            at = _warped(rank, windows)
        duration = min(LONGEST, max(SHORTEST, median * draw.lognormvariate(0.0, SPREAD)))
        yield Invocation(at * seconds, duration, app, func)


def _warped(rank: float, windows: list[float]) -> float:
    """A rank as a time in [0, 1): nine in ten fall into the windows, each a hundredth of the whole."""
    width, dense = 0.01, 0.9
    edges = [0.0]
    for window in windows:  # disjoint, as far as there is room
        start = min(max(window * (1.0 - width), edges[-1]), 1.0 - width)
        edges += [max(start, edges[-1]), min(max(start, edges[-1]) + width, 1.0)]
    edges.append(1.0)
    spans = [b - a for a, b in itertools.pairwise(edges)]
    inside, outside = sum(spans[1::2]), sum(spans[0::2])
    shares = [(1 - dense, outside), (dense, inside)]  # of the spans with even and with odd numbers
    masses = [
        share * span / whole if whole else 0.0
        for span, (share, whole) in zip(spans, itertools.cycle(shares), strict=False)
    ]
    left = rank * sum(masses)
    for start, span, mass in zip(edges, spans, masses, strict=False):
        if left <= mass and mass:
            return min(start + span * left / mass, math.nextafter(1.0, 0.0))
        left -= mass
    return math.nextafter(1.0, 0.0)
