"""How requests arrive, as a scenario says it: what its `arrivals` may be, and the schedules that are made of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from ..generate.arrivals import Arrival, Process, Schedule, Stage, bursts, ramp, steady
from ..generate.trace import Invocation, Trace, synthesize
from .reading import Source, build, choice, duration, file, number, table
from .units import plain

_RATE = number(0, 10_000_000, "per second", above=True)
_BASE = number(0, 10_000_000, "per second")
_SPAN = duration(above=True)
_WARMUP = duration()
_PROCESS = choice("poisson", "constant")
_STAGES = 10_000
SYNTHETIC = "synthetic:FUNCTIONS:INVOCATIONS:SECONDS"


class Synthetic:
    """A made-up trace as a schedule, `speed` times as fast: the same for the same seed, and never held whole."""

    def __init__(self, functions: int, invocations: int, seconds: float, speed: float, seed: int) -> None:
        """Raises ValueError."""
        self.functions = min(functions, invocations)
        self.count = invocations
        self.duration = seconds / speed
        self._speed = speed
        self._arguments = functions, invocations, seconds, seed

    @property
    def stages(self) -> Sequence[Stage]:
        """The whole as one stage, at its mean rate."""
        return [Stage(0.0, self.duration, self.count / self.duration)]

    def invocations(self) -> Iterator[Invocation]:
        return synthesize(*self._arguments)

    def __iter__(self) -> Iterator[Arrival]:
        numbers: dict[str, int] = {}
        for it in self.invocations():
            yield it.begin / self._speed, numbers.setdefault(it.func, len(numbers))


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What all kinds have. warmup: seconds at the start that are left out of the figures, if it is said."""

    loop: ClassVar[str] = "open"
    kind: str
    warmup: Annotated[float | None, _WARMUP] = None

    @property
    def words(self) -> str:
        raise NotImplementedError

    @property
    def usual_warmup(self) -> float:
        """Seconds, where none are said."""
        raise NotImplementedError

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        """Raises OSError and ValueError for a trace that is none."""
        raise NotImplementedError


def _a_tenth(span: float) -> float:
    return min(2.0, span / 10)


def _more(seed: int, process: str, weights: Sequence[float] | None, functions: int) -> dict[str, Any]:
    return {"seed": seed, "process": process, "weights": weights, "functions": functions}


@dataclass(frozen=True, kw_only=True)
class Steady(Arrivals):
    """One rate, by independent callers or by a clock."""

    kind: Annotated[Process, _PROCESS] = "poisson"
    rate: Annotated[float, _RATE]
    duration: Annotated[float, _SPAN] = 10.0

    @property
    def words(self) -> str:
        name = "Poisson" if self.kind == "poisson" else "constant"
        return f"{name}, {plain(self.rate)}/s for {plain(self.duration)} s"

    @property
    def usual_warmup(self) -> float:
        return _a_tenth(self.duration)

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        return steady(self.rate, self.duration, **_more(seed, self.kind, weights, functions))


@dataclass(frozen=True, kw_only=True)
class Ramp(Arrivals):
    """From one rate to another by steps, `dwell` seconds at each."""

    kind: Annotated[str, choice("ramp")] = "ramp"
    first: Annotated[float, _RATE]
    last: Annotated[float, _RATE]
    step: Annotated[float, _RATE]
    dwell: Annotated[float, _SPAN] = 5.0
    process: Annotated[Process, _PROCESS] = "poisson"

    def __post_init__(self) -> None:
        if (self.last - self.first) / self.step >= _STAGES:
            raise ValueError(f"a ramp has at most {plain(_STAGES)} steps")
        ramp(self.first, self.last, self.step, self.dwell)

    @property
    def words(self) -> str:
        return (
            f"ramp from {plain(self.first)}/s to {plain(self.last)}/s by {plain(self.step)}, "
            f"{plain(self.dwell)} s each, {'Poisson' if self.process == 'poisson' else 'constant'}"
        )

    @property
    def usual_warmup(self) -> float:
        return _a_tenth(self.dwell)

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        more = _more(seed, self.process, weights, functions)
        return ramp(self.first, self.last, self.step, self.dwell, **more)


@dataclass(frozen=True, kw_only=True)
class Bursts(Arrivals):
    """One rate, and a higher one for `length` of each `every` seconds."""

    kind: Annotated[str, choice("bursts")] = "bursts"
    rate: Annotated[float, _BASE]
    peak: Annotated[float, _RATE]
    every: Annotated[float, _SPAN]
    length: Annotated[float, _SPAN]
    duration: Annotated[float, _SPAN] = 10.0
    process: Annotated[Process, _PROCESS] = "poisson"

    def __post_init__(self) -> None:
        if self.duration / self.every >= _STAGES:
            raise ValueError(f"there are at most {plain(_STAGES)} bursts")
        bursts(self.rate, self.peak, self.every, self.length, self.duration)

    @property
    def words(self) -> str:
        return (
            f"{'Poisson' if self.process == 'poisson' else 'constant'}, {plain(self.rate)}/s with bursts of "
            f"{plain(self.peak)}/s for {plain(self.length)} s every {plain(self.every)} s, {plain(self.duration)} s"
        )

    @property
    def usual_warmup(self) -> float:
        return min(_a_tenth(self.duration), self.every - self.length)  # a burst is never left out

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        more = _more(seed, self.process, weights, functions)
        return bursts(self.rate, self.peak, self.every, self.length, self.duration, **more)


@dataclass(frozen=True)
class MadeUp:
    """What a trace is to be made of."""

    functions: int
    invocations: int
    seconds: float


def _trace(value: Any, source: Source) -> Path | MadeUp:
    if not isinstance(value, str) or not value.startswith("synthetic:"):
        return file(value, source)
    parts = value.split(":")[1:]
    try:
        functions, invocations, span = int(parts[0]), int(parts[1]), _SPAN(parts[2], source)
        if len(parts) != 3 or not (1 <= functions <= 1_000_000 and 1 <= invocations <= 1_000_000_000):
            raise ValueError
    except (IndexError, ValueError):
        raise ValueError(f"write {SYNTHETIC}, as in synthetic:500:100000:3600") from None
    return MadeUp(functions, invocations, span)


@dataclass(frozen=True, kw_only=True)
class Replay(Arrivals):
    """A trace, `speed` times as fast as it was."""

    kind: Annotated[str, choice("trace")] = "trace"
    trace: Annotated[Path | MadeUp, _trace]
    speed: Annotated[float, number(0, 1_000_000, above=True)] = 1.0

    @property
    def words(self) -> str:
        made = self.trace
        what = (
            f"trace {made.name}"
            if isinstance(made, Path)
            else f"made-up trace of {plain(made.functions)} functions, {plain(made.invocations)} invocations in "
            f"{plain(made.seconds)} s"
        )
        return what if self.speed == 1 else f"{what}, {plain(self.speed)} times as fast"

    @property
    def usual_warmup(self) -> float:
        return 0.0  # its cold starts are what it is replayed for

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Trace | Synthetic:
        made = self.trace
        if isinstance(made, Path):
            return Trace(made, self.speed)
        return Synthetic(made.functions, made.invocations, made.seconds, self.speed, seed)


@dataclass(frozen=True, kw_only=True)
class Closed(Arrivals):
    """So many callers, each of which asks again when it was answered."""

    loop: ClassVar[str] = "closed"
    kind: Annotated[str, choice("closed")] = "closed"
    callers: Annotated[int, number(1, 100_000, whole=True)]
    duration: Annotated[float, _SPAN] = 10.0

    @property
    def words(self) -> str:
        return f"closed loop, {plain(self.callers)} caller{'s' * (self.callers > 1)} for {plain(self.duration)} s"

    @property
    def usual_warmup(self) -> float:
        return _a_tenth(self.duration)

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        raise ValueError("a closed loop has no schedule")


KINDS: dict[str, type[Arrivals]] = {
    "poisson": Steady,
    "constant": Steady,
    "ramp": Ramp,
    "bursts": Bursts,
    "trace": Replay,
    "closed": Closed,
}


def arrivals_of(value: Any, source: Source) -> Arrivals:
    """A scenario's `arrivals`. Raises ScenarioError, ValueError."""
    kind = table(value).get("kind", "poisson")
    if not isinstance(kind, str) or kind not in KINDS:
        raise source.wrong("kind", kind, f"use {', '.join(KINDS)}")
    return build(KINDS[kind], value, source)


def durations(schedule: Trace | Synthetic) -> Callable[[int], float]:
    """How long the n-th invocation took, in seconds, for n that rise; after the last, those from the first again."""
    lasting = (it.duration for _ in itertools.count() for it in schedule.invocations())
    reached, value = -1, 0.0

    def of(number: int) -> float:
        nonlocal reached, value
        while reached < number:
            value = next(lasting)
            reached += 1
        return value

    return of
