"""One load test, from its scenario to its result.

In order: the generator alone, against a target that answers by itself (can this machine offer that rate, and what does
it cost?); two short runs of the same, whose difference is the noise; then the run. A run that cannot be trusted is not
thrown away but marked void, with the reasons.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

from ..version import __version__
from . import conclude, machine
from .cpu import Meter
from .estimate import estimates
from .generate.arrivals import Schedule, Stage, steady
from .generate.generator import ClosedLoop, OpenLoop, Target
from .generate.record import Answer, Record
from .generate.replies import expectation
from .generate.timer import FineTimer, PolledTimer
from .knee import find
from .opening import opened
from .result import Distribution, Noise, Result
from .scenario import target_kinds
from .scenario.scenario import Scenario

ALONE = (1.0, 100_000)  # seconds of the generator alone, and how many requests it sends in them at most
NOISE = (1.0, 5.0)  # seconds of each of the two runs that are compared: a fifth of the run, within these
_UPDATE = 0.5  # seconds between two looks of who watches
_LOCAL = ("127.0.0.1", "localhost", "::1")
# Makes a scenario's target real for as long as a run needs it.
Opening = Callable[[target_kinds.Target], AbstractAsyncContextManager[Target]]


class Watch(Protocol):
    """Who is told how a run goes on. To be quick: it is called in the generator's loop."""

    @property
    def pid(self) -> int | None: ...  # a process of its own, if it has one
    def phase(self, name: str, seconds: float) -> None: ...
    def update(self, record: Record, elapsed: float) -> None: ...


class Unwatched:
    """Nobody."""

    pid = None

    def phase(self, name: str, seconds: float) -> None: ...
    def update(self, record: Record, elapsed: float) -> None: ...


class ByItself:
    """A target that answers each request in the next turn of the loop."""

    def send(self, payload: bytes, function: int, done: Callable[[Answer], None]) -> None:
        asyncio.get_running_loop().call_soon(done, Answer("ok", payload))


async def run(scenario: Scenario, watch: Watch | None = None, opening: Opening = opened) -> Result:
    """What a scenario's run finds. opening: for a target of one's own in the place of the scenario's. Raises
    EngineError, OSError and ValueError for what cannot begin."""
    return await _Run(scenario, watch or Unwatched(), opening).result()


class _Run:
    def __init__(self, scenario: Scenario, watch: Watch, opening: Opening) -> None:
        self._scenario = scenario
        self._watch = watch
        self._opening = opening

    async def result(self) -> Result:
        scenario = self._scenario
        closed = scenario.closed
        schedule = None if closed else scenario.schedule
        duration = closed.duration if closed else scenario.schedule.duration
        alone, own = await self._alone() if schedule else (None, None)
        async with self._opening(scenario.target) as target:
            strangers = [] if self._watch.pid is None else [self._watch.pid]
            servers = _servers(scenario)
            meter = Meter(servers, strangers)
            with self._place(servers):
                noise = await self._noise(target, duration)
                record = Record(scenario.warmup, _stages(schedule))
                started = datetime.now(UTC)
                ticks, before = machine.Ticks.now(), meter.look()
                await self._drive("run", target, schedule, duration, record)
                # Who polls has no CPU time of its own but all of it.
                cpu = meter.spent(before, meter.look(), record.sent, None if scenario.poll else own)
                steal = machine.stolen(ticks, machine.Ticks.now())
        stages = conclude.stages(record, _stages(schedule), scenario.warmup)
        knee = find(stages)
        seconds = conclude.whole_seconds(record, scenario.warmup, duration)
        measured = duration - scenario.warmup
        return Result(
            stoker=__version__,
            name=scenario.name,
            target=scenario.target_words,
            arrivals=scenario.arrivals_words,
            payload=scenario.payload_words,
            loop="closed" if closed else "open",
            functions=scenario.functions,
            seed=scenario.seed,
            started=started.isoformat(timespec="seconds"),
            duration=duration,
            warmup=scenario.warmup,
            polled=scenario.poll,
            machine=machine.describe(),
            void=conclude.void(record, conclude.LAG, steal, alone),
            offered=record.offered,
            rate=record.offered / measured,
            goodput=record.ended["ok"] / measured,
            ended={kind: record.ended[kind] for kind in record.ended},
            reasons={ending: dict(why.most_common()) for ending, why in record.reasons.items()},
            latency=Distribution.of(record.latency),
            cold=Distribution.of(record.cold),
            warm=Distribution.of(record.warm),
            refused=Distribution.of(record.refused),
            lag=Distribution.of(record.lag),
            parts={name: Distribution.of(tally) for name, tally in record.parts.items()},
            estimates={} if len(stages) > 1 else estimates(seconds, scenario.seed),
            noise=noise,
            cpu=cpu,
            steal=steal,
            most_in_flight=record.most_in_flight,
            series=conclude.series(record),
            stages=stages,
            knee=knee,
        )

    def _place(self, servers: list[int] | None) -> contextlib.AbstractContextManager[None]:
        """Who polls must not do so where a worker is pinned to."""
        if not self._scenario.poll:
            return contextlib.nullcontext()
        roots = [os.getpid()] if servers is None else servers
        return machine.apart([pid for root in roots for pid in machine.descendants(root)])

    async def _alone(self) -> tuple[Record, float]:
        """The generator without a target, at the scenario's highest rate; its CPU time per request, in µs."""
        rate = max(stage.rate for stage in self._scenario.schedule.stages)
        seconds = min(ALONE[0], ALONE[1] / rate)
        schedule = steady(rate, seconds, seed=self._scenario.seed)
        record = Record()
        before = time.process_time_ns()
        await self._drive("self-check", ByItself(), schedule, seconds, record, checked=False)
        return record, (time.process_time_ns() - before) / max(1, record.sent) / 1000

    async def _noise(self, target: Target, duration: float) -> Noise | None:
        """What two short runs of the same differ by. The first seconds of a target are no part of them."""
        if not self._scenario.noise:
            return None
        seconds = min(max(duration / 5, NOISE[0]), NOISE[1])
        warmup = min(1.0, seconds / 5)
        first, second = Record(warmup), Record(warmup)
        for record in (first, second):
            await self._drive("noise", target, self._short(seconds), seconds, record)
        return conclude.noise(first, second, seconds - warmup)

    def _short(self, seconds: float) -> Schedule | None:
        """The rate that a schedule begins with, for so many seconds; None of a closed loop."""
        if self._scenario.closed:
            return None
        schedule = self._scenario.schedule
        rate = next((stage.rate for stage in schedule.stages if stage.rate), 1.0)
        scenario = self._scenario
        return steady(
            rate, seconds, seed=scenario.seed, functions=schedule.functions, weights=scenario.weights
        )

    async def _drive(
        self,
        phase: str,
        target: Target,
        schedule: Schedule | None,
        seconds: float,
        record: Record,
        *,
        checked: bool = True,
    ) -> None:
        """One schedule, or the closed loop for so many seconds."""
        scenario = self._scenario
        checks = scenario.checks() if checked else [expectation("any")]
        timer = PolledTimer if scenario.poll else FineTimer
        loop: OpenLoop | ClosedLoop
        if schedule is None:
            assert scenario.closed is not None
            loop = ClosedLoop(
                target, scenario.closed.callers, seconds, scenario.payloads(), checks[0], record, timer
            )
        else:
            loop = OpenLoop(target, schedule, scenario.payloads(), checks, record, timer)
        self._watch.phase(phase, seconds)
        watching = asyncio.ensure_future(self._tell(record))
        try:
            with _collected():
                await loop.run(scenario.drain)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _tell(self, record: Record) -> None:
        begin = time.monotonic()
        while True:
            await asyncio.sleep(_UPDATE)
            self._watch.update(record, time.monotonic() - begin)


@contextlib.contextmanager
def _collected() -> Iterator[None]:
    """What there is now is garbage already or stays: the collector need not look at it again meanwhile."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _stages(schedule: Schedule | None) -> list[Stage]:
    return [] if schedule is None or len(schedule.stages) < 2 else list(schedule.stages)


def _servers(scenario: Scenario) -> list[int] | None:
    """The processes that answer, where they are on this machine."""
    target = scenario.target
    if isinstance(target, target_kinds.Embedded):
        return None
    parts = urlsplit(target.url if isinstance(target, target_kinds.Url) else target.endpoint)
    return machine.listeners(parts.port or 80) if parts.hostname in _LOCAL else []
