"""How requests arrive: what a scenario's `arrivals` may be, and the schedules that are made of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import msgspec
from msgspec import Meta

from ..generate import arrivals as schedules
from ..generate.arrivals import Arrival, Invocation, Process, Schedule, Stage, Trace
from ..words import plain
from ..words import seconds as seconds_of
from .reading import Duration, Settings, Source, Span, build, file, table

Rate = Annotated[float, Meta(gt=0, le=10_000_000, description="per second")]
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
        return schedules.synthesize(*self._arguments)

    def __iter__(self) -> Iterator[Arrival]:
        numbers: dict[str, int] = {}
        for it in self.invocations():
            yield it.begin / self._speed, numbers.setdefault(it.func, len(numbers))


class _Arrivals(Settings, frozen=True, kw_only=True, tag_field="kind"):
    """What all kinds have. warmup: seconds at the start that are left out of the figures; None: what is usual."""

    loop: ClassVar[str] = "open"
    warmup: Duration | None = None

    @property
    def words(self) -> str:
        raise NotImplementedError

    @property
    def usual_warmup(self) -> float:
        raise NotImplementedError

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        """Raises OSError and ValueError for a trace that is none."""
        raise NotImplementedError


def _a_tenth(span: float) -> float:
    return min(2.0, span / 10)


def _named(process: Process) -> str:
    return "Poisson" if process == "poisson" else process


class Steady(_Arrivals, frozen=True, kw_only=True, tag="poisson"):
    """One rate, by independent callers."""

    process: ClassVar[Process] = "poisson"
    rate: Rate
    duration: Span = 10.0

    @property
    def words(self) -> str:
        return f"{_named(self.process)}, {plain(self.rate)}/s for {plain(self.duration)} s"

    @property
    def usual_warmup(self) -> float:
        return _a_tenth(self.duration)

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        more = {"seed": seed, "process": self.process, "weights": weights, "functions": functions}
        return schedules.steady(self.rate, self.duration, **more)


class Constant(Steady, frozen=True, kw_only=True, tag="constant"):
    """One rate, by a clock."""

    process: ClassVar[Process] = "constant"


class Ramp(_Arrivals, frozen=True, kw_only=True, tag="ramp"):
    """From one rate to another by steps, `dwell` seconds at each."""

    first: Rate
    last: Rate
    step: Rate
    dwell: Span = 5.0
    process: Process = "poisson"

    def __post_init__(self) -> None:
        if (self.last - self.first) / self.step >= _STAGES:
            raise ValueError(f"a ramp has at most {plain(_STAGES)} steps")
        self.schedule(0, None, 1)

    @property
    def words(self) -> str:
        return (
            f"ramp from {plain(self.first)}/s to {plain(self.last)}/s by {plain(self.step)}, "
            f"{plain(self.dwell)} s each, {_named(self.process)}"
        )

    @property
    def usual_warmup(self) -> float:
        return _a_tenth(self.dwell)

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        more = {"seed": seed, "process": self.process, "weights": weights, "functions": functions}
        return schedules.ramp(self.first, self.last, self.step, self.dwell, **more)


class Bursts(_Arrivals, frozen=True, kw_only=True, tag="bursts"):
    """One rate, and a higher one for `length` of each `every` seconds."""

    rate: Annotated[float, Meta(ge=0, le=10_000_000, description="per second")]
    peak: Rate
    every: Span
    length: Span
    duration: Span = 10.0
    process: Process = "poisson"

    def __post_init__(self) -> None:
        if self.duration / self.every >= _STAGES:
            raise ValueError(f"there are at most {plain(_STAGES)} bursts")
        self.schedule(0, None, 1)

    @property
    def words(self) -> str:
        return (
            f"{_named(self.process)}, {plain(self.rate)}/s with bursts of {plain(self.peak)}/s for "
            f"{plain(self.length)} s every {plain(self.every)} s, {plain(self.duration)} s"
        )

    @property
    def usual_warmup(self) -> float:
        return min(_a_tenth(self.duration), self.every - self.length)  # a burst is never left out

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        more = {"seed": seed, "process": self.process, "weights": weights, "functions": functions}
        return schedules.bursts(self.rate, self.peak, self.every, self.length, self.duration, **more)


class MadeUp(msgspec.Struct, frozen=True):
    """What a trace is to be made of."""

    functions: int
    invocations: int
    seconds: float


def _trace(value: Any, source: Source) -> Path | MadeUp:
    if not isinstance(value, str) or not value.startswith("synthetic:"):
        return file(value, source)
    try:
        functions, invocations, span = value.split(":")[1:]
        made = MadeUp(int(functions), int(invocations), seconds_of(span))
        if 1 <= made.functions <= 10**6 and 1 <= made.invocations <= 10**9 and 0 < made.seconds <= 604_800:
            return made
    except ValueError:
        pass
    raise ValueError(f"write {SYNTHETIC}, as in synthetic:500:100000:3600")


class Replay(_Arrivals, frozen=True, kw_only=True, tag="trace"):
    """A trace, `speed` times as fast as it was."""

    trace: Annotated[Any, _trace]  # Path | MadeUp, a union that msgspec does not take
    speed: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0

    @property
    def words(self) -> str:
        made: Path | MadeUp = self.trace
        if isinstance(made, Path):
            what = f"trace {made.name}"
        else:
            size = f"{plain(made.functions)} functions, {plain(made.invocations)} invocations"
            what = f"made-up trace of {size} in {plain(made.seconds)} s"
        return what if self.speed == 1 else f"{what}, {plain(self.speed)} times as fast"

    @property
    def usual_warmup(self) -> float:
        return 0.0  # its cold starts are what it is replayed for

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Trace | Synthetic:
        made: Path | MadeUp = self.trace
        if isinstance(made, Path):
            return Trace(made, self.speed)
        return Synthetic(made.functions, made.invocations, made.seconds, self.speed, seed)


class Closed(_Arrivals, frozen=True, kw_only=True, tag="closed"):
    """So many callers, each of which sends its next request when it has the response to the last."""

    loop: ClassVar[str] = "closed"
    callers: Annotated[int, Meta(ge=1, le=100_000)]
    duration: Span = 10.0

    @property
    def words(self) -> str:
        return f"closed loop, {plain(self.callers)} caller{'s' * (self.callers > 1)} for {plain(self.duration)} s"

    @property
    def usual_warmup(self) -> float:
        return _a_tenth(self.duration)

    def schedule(self, seed: int, weights: Sequence[float] | None, functions: int) -> Schedule:
        raise ValueError("a closed loop has no schedule")


Arrivals = Steady | Constant | Ramp | Bursts | Replay | Closed
KINDS: dict[str, type[Arrivals]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Arrivals)}


def arrivals_of(value: Any, source: Source) -> Arrivals:
    """A scenario's `arrivals`. Raises ScenarioError, ValueError."""
    values = dict(table(value))
    kind = values.pop("kind", "poisson")
    if not isinstance(kind, str) or kind not in KINDS:
        raise source.wrong("kind", kind, f"use {', '.join(KINDS)}")
    return build(KINDS[kind], values, source)


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
