"""The scenarios of bench/scenarios, read, shortened, and run by themselves or against a peer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from bench.open_loop.part import Effort, Part, Picture
from bench.peers.open_loop import EMBEDDED, check_serves, serving
from engine.load import words
from engine.load.report import charts
from engine.load.result import Result
from engine.load.scenario import scenario as scenario_file
from engine.load.scenario.arrivals import Arrivals, Bursts, Closed, MadeUp, Ramp, Replay, Steady
from engine.load.scenario.scenario import Scenario

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"
LARGE = FOLDER / "large-payload.json"
MIB = 1 << 20
# In the order in which they run. trace takes a minute, so trace-short stands for it here.
SHORT = ("steady", "knee", "burst", "cold-heavy", "trace-short", "mixed", "large-payload", "overload")
ALL = (*SHORT, "trace")
PICTURES: dict[str, Callable[[Result], str]] = {  # of the others: latency by percentile
    "knee": charts.throughput,
    "burst": charts.latency_over_time,
    "cold-heavy": charts.concurrency,
    "trace-short": charts.concurrency,
    "trace": charts.concurrency,
    "overload": charts.throughput,
}


def read(name: str) -> Scenario:
    """One of ALL."""
    if not LARGE.exists():
        LARGE.write_text(json.dumps("x" * (MIB - 2)))
    return scenario_file.read(FOLDER / f"{name}.toml")


def _notes(result: Result) -> Iterator[str]:
    """What the table of runs has no column for."""
    if (knee := result.knee) is not None:
        kept = f"keeps up with {words.rate(knee.kept)}" if knee.kept else "keeps up with none of these rates"
        lost = "the highest that was offered" if knee.lost is None else f"not with {words.rate(knee.lost)}"
        yield f"{kept}, {lost}" + (f": {knee.why}" if knee.why else "")
    for name, it in (("cold", result.cold), ("warm", result.warm), ("refused", result.refused)):
        if it.count and (name != "warm" or result.cold.count):
            yield f"{name}: {it.count:,} seen, p50 {words.duration(it.p50)}, p99 {words.duration(it.p99)}"
    cpu = {"generator": result.cpu.generator, "engine": result.cpu.engine, "workers": result.cpu.workers}
    if used := [f"{who} {words.duration(us * 1000)}" for who, us in cpu.items() if us is not None]:
        yield f"CPU per request: {', '.join(used)}"


def shows(name: str) -> str:
    """The comment at the top of a scenario's file."""
    lines = (FOLDER / f"{name}.toml").read_text().splitlines()
    return " ".join(it.lstrip("# ") for it in itertools.takewhile(lambda it: it.startswith("#"), lines))


def shortened(scenario: Scenario, seconds: float) -> Scenario:
    """At the same rates, but in at most so many seconds, and with no look at the noise."""
    return replace(scenario, arrivals=_shortened(scenario.arrivals, seconds), noise=False)


def _shortened(arrivals: Arrivals, seconds: float) -> Arrivals:
    if isinstance(arrivals, Ramp):
        stages = round((arrivals.last - arrivals.first) / arrivals.step) + 1
        return replace(arrivals, dwell=min(arrivals.dwell, seconds / stages))
    if isinstance(arrivals, Replay):
        made = arrivals.trace
        assert isinstance(made, MadeUp)
        part = min(1.0, seconds * arrivals.speed / made.seconds)
        less = replace(made, invocations=int(made.invocations * part), seconds=made.seconds * part)
        return replace(arrivals, trace=less)
    if isinstance(arrivals, Bursts):  # still two of them, and as much of the time
        every = min(arrivals.every, seconds / 2)
        arrivals = replace(arrivals, every=every, length=arrivals.length * every / arrivals.every)
    assert isinstance(arrivals, Steady | Bursts | Closed)
    return replace(arrivals, duration=min(arrivals.duration, seconds))


def measured(name: str, effort: Effort, against: str | None = None) -> Part:
    """A scenario; against: one of AGAINST, instead of the scenario's own target. Raises Unavailable."""
    scenario = read(name)
    if effort.scenario is not None:
        scenario = shortened(scenario, effort.scenario)
    if against is None:
        part = Part(name, shows(name), f"stoker load bench/scenarios/{name}.toml")
        run = part.measure(EMBEDDED, scenario, name, effort.tries)
    else:
        check_serves(against, scenario)
        part = Part(name, shows(name), f"python -m bench.load --only {name} --against {against}")
        with serving(against) as subject:
            run = part.measure(subject, scenario, name, effort.tries)
    part.notes += _notes(run.result)
    draw = PICTURES.get(name, charts.latency_by_percentile)
    part.pictures.append(Picture.of(name, draw(run.result)))
    return part
