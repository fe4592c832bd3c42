"""What our own targets do at 70 % of what they can serve."""

from __future__ import annotations

import statistics

from bench.harness import Ratio
from bench.open_loop import scenarios
from bench.open_loop.part import Effort, Part, Picture, Run, at_rate, by_callers, by_round, by_steps
from bench.peers.open_loop import EMBEDDED, ENDPOINT, Subject, serving
from bench.report import Figure, duration, rate
from engine.load import words
from engine.load.report import charts
from engine.load.scenario.scenario import Scenario

CALLERS = 16
SHARE = 0.7
PROMISED = 4  # times p50, of the embedded echo


def capacity(effort: Effort) -> Part:
    """The rate at which 16 callers are served, the knee of a ramp around that, and rounds at 70 % of the knee."""
    part = Part(
        "capacity",
        "How far the slowest are from the usual when a target has 70 % of the most to do that it can keep up with. "
        f"A closed loop of {CALLERS} callers tells what rates are to be tried, the knee of a ramp what can be kept.",
        "python -m bench.load --only capacity",
    )
    scenario = scenarios.read("steady")
    _at_share(part, EMBEDDED, scenario, effort, PROMISED)
    with serving(ENDPOINT) as endpoint:
        _at_share(part, endpoint, scenario, effort, None)
    part.notes += [
        "a ramp to beyond the knee of an embedded target is void as a whole: the generator shares its thread, so it "
        "is late, too, where that cannot keep up. Its latencies count that, so that the knee can only be too low",
        "what the endpoint can serve includes what its client can ask: the generator is one Python process",
    ]
    return part


def _at_share(part: Part, subject: Subject, scenario: Scenario, effort: Effort, target: float | None) -> None:
    closed = part.measure(subject, by_callers(scenario, CALLERS, effort.closed), "closed loop").result
    ramp = part.measure(subject, by_steps(scenario, closed.goodput, effort.dwell), "ramp").result
    part.pictures.append(Picture.of(f"capacity-{subject.name.split()[-1]}", charts.throughput(ramp)))
    if ramp.knee is None or not ramp.knee.kept:
        part.notes.append(
            f"{subject.name}: no rate of the ramp was kept, so there is no capacity to speak of"
        )
        return
    kept = ramp.knee.kept
    asked = at_rate(scenario, SHARE * kept, effort.fixed, noise=effort.scenario is None)
    name = f"{SHARE:.0%} of {rate(kept)}"
    runs = [part.measure(subject, asked, name, effort.tries) for _ in range(effort.rounds)]
    part.figures.append(spread(subject, runs, kept, target, part.command))


def spread(subject: Subject, runs: list[Run], kept: float, target: float | None, command: str) -> Figure:
    """p99.9 to p50. Void runs count only where there are no others, and then nothing is promised of them."""
    good = [run for run in runs if not run.void]
    told = [run.result for run in good or runs]
    rounds = [it.latency.p999 / max(1, it.latency.p50) for it in told]
    p50, p999 = (statistics.median(getattr(it.latency, name) for it in told) for name in ("p50", "p999"))
    noises = [it.noise for it in told if it.noise is not None]
    noise = [words.share(max(getattr(it, which) for it in noises) - 1) for which in ("p50", "p99") if noises]
    notes = [by_round(rounds)]
    if noises:
        notes.append(f"two equal runs differed by up to {noise[0]} in p50 and {noise[1]} in p99")
    if not good:
        notes.append("all rounds are void, so nothing is kept or broken")
    return Figure(
        f"open loop, {subject.name}, {SHARE:.0%} of {rate(kept)}, p99.9 / p50",
        f"p99.9 {duration(p999)}",
        f"p50 {duration(p50)}",
        Ratio(rounds, statistics.median(rounds), min(rounds), min(rounds)),
        target if good else None,
        "low",
        command,
        note="; ".join(notes),
    )
