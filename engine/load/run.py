"""One load test, from its scenario to its result.

In order: the generator alone (can this machine offer that rate, and what does it cost?); two short runs of the same,
whose difference is the noise; then the run. One that cannot be trusted is marked void, with the reasons.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import uvloop

from ..config import configure
from ..version import __version__
from . import conclude, machine
from .generate.arrivals import Schedule, Stage, steady
from .generate.generator import ClosedLoop, FineTimer, OpenLoop, PolledTimer, Sender
from .generate.http_client import credentials
from .generate.payloads import expectation
from .generate.record import Record, Response
from .generate.targets import Embedded, LambdaEndpoint, PlainUrl
from .result import Distribution, Noise, Result
from .scenario import target as kinds
from .scenario.scenario import Scenario

ALONE = (1.0, 100_000)  # seconds of the generator alone, and how many requests it sends in them at most
NOISE = (1.0, 5.0)  # seconds of each of the two runs that are compared: a fifth of the run, within these
_UPDATE = 0.5  # seconds between two updates of a Watch
# What a result has under the same name.
_OF_SCENARIO, _OF_RECORD = (
    ("name", "functions", "seed", "warmup"),
    ("latency", "cold", "warm", "refused", "lag"),
)
_LOCAL = ("127.0.0.1", "localhost", "::1")
# Makes a scenario's target real for as long as a run needs it.
Opening = Callable[[kinds.Target], AbstractAsyncContextManager[Sender]]


class Watch(Protocol):
    """Called as a run goes on. To be quick: that is in the generator's loop."""

    @property
    def pid(self) -> int | None: ...  # a process of its own, if it has one
    def phase(self, name: str, seconds: float) -> None: ...
    def update(self, record: Record, elapsed: float) -> None: ...


class Unwatched:
    pid = None

    def phase(self, name: str, seconds: float) -> None: ...
    def update(self, record: Record, elapsed: float) -> None: ...


class Immediate:
    """A target that responds to each request in the next turn of the loop."""

    def send(self, payload: bytes, function: int, done: Callable[[Response], None]) -> None:
        asyncio.get_running_loop().call_soon(done, Response("ok", payload))


@asynccontextmanager
async def opened(target: kinds.Target) -> AsyncIterator[Embedded | LambdaEndpoint | PlainUrl]:
    """An engine of its own with the functions started, or a client. Raises EngineError, OSError, ValueError."""
    if isinstance(target, kinds.Embedded):
        from ..aio import AsyncEngine

        engine = AsyncEngine(logs=False)
        try:
            names: list[str] = []
            for number, each in enumerate(target.functions):
                name = configure(each.reference, **each.options).name
                names.append(name if name not in names else f"{name[:50]}-{number}")
                await engine.function(each.reference, name=names[-1], **each.options)
            yield Embedded(engine, names)
        finally:
            await engine.close(0.0)  # the run has waited for what is in flight
        return
    client: LambdaEndpoint | PlainUrl
    if isinstance(target, kinds.Url):
        client = PlainUrl(target.url, target.method)
    else:
        names = [each.name for each in target.functions]
        client = LambdaEndpoint(target.endpoint, names, credentials() if target.sign else None)
    try:
        await client.reach()
        yield client
    finally:
        await client.close()


def run_now(scenario: Scenario, watch: Watch | None = None) -> Result:
    """run() for synchronous code; where a loop runs already, in another thread, while that loop stands still."""

    def work() -> Result:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(scenario, watch))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1, "stoker-load") as pool:
        return pool.submit(work).result()


async def run(scenario: Scenario, watch: Watch | None = None, opening: Opening = opened) -> Result:
    """opening: for another target in the place of the scenario's. Raises EngineError, OSError, ValueError."""
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
        async with self._opening(scenario.target) as sender:
            servers = _servers(scenario)
            meter = machine.Meter(servers, [] if self._watch.pid is None else [self._watch.pid])
            with self._place(servers):
                noise = await self._noise(sender, duration)
                record = Record(scenario.warmup, _stages(schedule))
                started = datetime.now(UTC)
                ticks, before = machine.Ticks.now(), meter.look()
                await self._drive("run", sender, schedule, duration, record)
                # A generator that polls uses all of a core, whatever the requests cost.
                cpu = meter.spent(before, meter.look(), record.sent, None if scenario.poll else own)
                steal = machine.stolen(ticks, machine.Ticks.now())
        stages = conclude.stages(record, _stages(schedule), scenario.warmup)
        whole = record.intervals[math.ceil(scenario.warmup) : math.floor(duration)]  # seconds
        measured = duration - scenario.warmup
        same: dict[str, Any] = {name: getattr(scenario, name) for name in _OF_SCENARIO}
        same |= {name: Distribution.of(getattr(record, name)) for name in _OF_RECORD}
        return Result(
            **same,
            stoker=__version__,
            target=scenario.target_words,
            arrivals=scenario.arrivals_words,
            payload=scenario.payload_words,
            loop="closed" if closed else "open",
            started=started.isoformat(timespec="seconds"),
            duration=duration,
            polled=scenario.poll,
            machine=machine.describe(),
            void=conclude.void(record, conclude.LAG, steal, alone),
            offered=record.offered,
            rate=record.offered / measured,
            goodput=record.ended["ok"] / measured,
            ended=dict(record.ended),
            reasons={ending: dict(why.most_common()) for ending, why in record.reasons.items()},
            parts={name: Distribution.of(tally) for name, tally in record.parts.items()},
            estimates={} if len(stages) > 1 else conclude.estimates(whole, scenario.seed),
            noise=noise,
            cpu=cpu,
            steal=steal,
            most_in_flight=record.most_in_flight,
            series=conclude.series(record),
            stages=stages,
            knee=conclude.knee(stages),
        )

    def _place(self, servers: list[int] | None) -> contextlib.AbstractContextManager[None]:
        """A generator that polls must keep off the cores that workers are pinned to."""
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
        await self._drive("self-check", Immediate(), schedule, seconds, record, checked=False)
        return record, (time.process_time_ns() - before) / max(1, record.sent) / 1000

    async def _noise(self, sender: Sender, duration: float) -> Noise | None:
        """What two short runs of the same differ by. The first seconds of a target are no part of them."""
        if not self._scenario.noise:
            return None
        seconds = min(max(duration / 5, NOISE[0]), NOISE[1])
        warmup = min(1.0, seconds / 5)
        first, second = Record(warmup), Record(warmup)
        for record in (first, second):
            await self._drive("noise", sender, self._short(seconds), seconds, record)
        return conclude.noise(first, second, seconds - warmup)

    def _short(self, seconds: float) -> Schedule | None:
        """The rate that a schedule begins with, for so many seconds; None of a closed loop."""
        scenario = self._scenario
        if scenario.closed:
            return None
        rate = next((stage.rate for stage in scenario.schedule.stages if stage.rate), 1.0)
        functions = scenario.schedule.functions
        return steady(rate, seconds, seed=scenario.seed, functions=functions, weights=scenario.weights)

    async def _drive(
        self, phase: str, sender: Sender, schedule: Schedule | None, seconds: float, record: Record, *,
        checked: bool = True,
    ) -> None:  # fmt: skip
        """One schedule, or the closed loop for so many seconds."""
        scenario = self._scenario
        checks = scenario.checks() if checked else [expectation("any")]
        more = scenario.payloads(), checks, record, PolledTimer if scenario.poll else FineTimer
        loop: OpenLoop | ClosedLoop
        if schedule is None:
            assert scenario.closed is not None
            loop = ClosedLoop(sender, scenario.closed.callers, seconds, *more)
        else:
            loop = OpenLoop(sender, schedule, *more)
        self._watch.phase(phase, seconds)
        watching = asyncio.ensure_future(self._report(record))
        try:
            with _collected():
                await loop.run(scenario.drain)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _report(self, record: Record) -> None:
        begin = time.monotonic()
        while True:
            await asyncio.sleep(_UPDATE)
            self._watch.update(record, time.monotonic() - begin)


@contextlib.contextmanager
def _collected() -> Iterator[None]:
    """The collector need not look again at what there is before a run: that stays."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _stages(schedule: Schedule | None) -> list[Stage]:
    return [] if schedule is None or len(schedule.stages) < 2 else list(schedule.stages)


def _servers(scenario: Scenario) -> list[int] | None:
    """The processes of the target, where they are on this machine; None: this one."""
    target = scenario.target
    if isinstance(target, kinds.Embedded):
        return None
    parts = urlsplit(target.url if isinstance(target, kinds.Url) else target.endpoint)
    return machine.listeners(parts.port or 80) if parts.hostname in _LOCAL else []
