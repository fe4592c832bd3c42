"""What one part of the open-loop measurements gives, and the runs that it is made of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from xml.etree import ElementTree

import msgspec
import uvloop
from msgspec.structs import replace

from bench.peers.open_loop import EMBEDDED, Subject
from bench.report import Figure
from engine.load import words
from engine.load.conclude import KEPT, SPREAD
from engine.load.result import Result
from engine.load.run import run
from engine.load.scenario.arrivals import Closed, Ramp, Steady
from engine.load.scenario.scenario import Scenario


class Effort(msgspec.Struct, frozen=True):
    """How long to measure, in seconds; the two below are all there is.

    tries: of a run that is void; scenario: that a scenario takes at most, None: as long as it says; fixed: a run at one
    rate; stall: how long a run against a target that stalls takes, every how long that does, and for how long."""

    rounds: int
    tries: int
    scenario: float | None
    fixed: float
    closed: float
    dwell: float
    stall: tuple[float, float, float]


FULL = Effort(3, 3, None, 8.0, 3.0, 1.5, (30.0, 10.0, 1.0))
QUICK = Effort(1, 1, 1.0, 1.0, 0.4, 0.15, (2.2, 1.0, 0.2))


@dataclass(frozen=True)
class Run:
    """One run, named; thrown: void ones before it."""

    name: str
    subject: str
    result: Result
    thrown: int = 0

    @property
    def void(self) -> bool:
        return bool(self.result.void)

    @property
    def held(self) -> bool:
        """Did the target keep up? As the knee of a ramp is found, but with no stage before to compare."""
        it = self.result
        right = it.ended.get("ok", 0) >= KEPT * it.offered
        return right and it.latency.p99 - it.latency.p50 <= SPREAD * (it.duration - it.warmup) * 1e9


@dataclass(frozen=True)
class Picture:
    """caption: the same in words."""

    file: str
    caption: str
    svg: str

    @classmethod
    def of(cls, name: str, svg: str) -> Picture:
        return cls(f"load-{name}.svg", ElementTree.fromstring(svg).get("aria-label", name), svg)


@dataclass
class Part:
    """shows: what it is for, in words; command: what prints it again."""

    name: str
    shows: str
    command: str
    runs: list[Run] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def measure(self, subject: Subject, scenario: Scenario, name: str, tries: int = 1) -> Run:
        """Run a scenario against a subject, so often at most while it is void, and print its line."""
        found = once(subject, scenario, name, tries)
        self.runs.append(found)
        print(line(found), flush=True)
        return found


def once(subject: Subject, scenario: Scenario, name: str, tries: int) -> Run:
    thrown = 0
    while True:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(run(subject.adapt(scenario), opening=subject.opening))
        if not result.void or thrown + 1 >= tries:
            break
        thrown += 1
    target = result.target if subject == EMBEDDED else subject.name
    return Run(name, subject.name, replace(result, name=name, target=target), thrown)


def at_rate(scenario: Scenario, rate: float, seconds: float, noise: bool = False) -> Scenario:
    """The same requests at one rate, by independent callers."""
    return replace(scenario, arrivals=Steady(rate=rate, duration=seconds), noise=noise)


def by_callers(scenario: Scenario, callers: int, seconds: float) -> Scenario:
    """The same requests in a closed loop."""
    return replace(scenario, arrivals=Closed(callers=callers, duration=seconds), noise=False)


def by_steps(scenario: Scenario, rate: float, dwell: float) -> Scenario:
    """The same requests at 0.3 to 1.1 times this rate."""
    return replace(
        scenario, arrivals=Ramp(first=0.3 * rate, last=1.1 * rate, step=0.1 * rate, dwell=dwell), noise=False
    )


def by_round(ratios: list[float]) -> str:
    """What a median is of."""
    return "by round " + ", ".join(f"{ratio:.3g}x" for ratio in ratios)


HEADER = ("run", "of", "offered", "goodput", "wrong", "p50", "p99", "p99.9", "max", "lag p99", "noise", "")
_WIDTHS = (30, 22, 9, 9, 7, 8, 8, 8, 8, 8, 16)


def cells(run: Run) -> tuple[str, ...]:
    """A run as a row of a table."""
    it = run.result
    of = it.latency
    total = sum(it.ended.values())
    noise = words.NONE
    if it.noise is not None:
        noise = f"{words.share(it.noise.p50 - 1)}, {words.share(it.noise.p99 - 1)}"
    marks = "VOID" if run.void else ""
    if run.thrown:
        marks += f" ({run.thrown} void before)"
    return (
        run.name,
        run.subject,
        words.rate(it.rate),
        words.rate(it.goodput),
        words.share(it.wrong / total) if total else words.NONE,
        *map(words.duration, (of.p50, of.p99, of.p999, of.most)),
        words.duration(it.lag.p99) if it.loop == "open" else "closed",
        noise,
        marks.strip(),
    )


def line(run: Run | None = None) -> str:
    """A run's, or the header's, while others are still to come."""
    row = HEADER if run is None else cells(run)
    first, second, *others = row[:-1]
    columns = [first.ljust(_WIDTHS[0]), second.ljust(_WIDTHS[1])]
    columns += [cell.rjust(width) for cell, width in zip(others, _WIDTHS[2:], strict=True)]
    return "  ".join([*columns, row[-1]]).rstrip()
