"""What our own targets do at 70 % of what they can serve."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from msgspec.structs import replace

from bench.harness import Ratio
from bench.open_loop import scenarios
from bench.open_loop.part import Effort, Part, Run, at_rate, by_callers, by_round, by_steps
from bench.open_loop.quiet import quiet
from bench.peers.open_loop import EMBEDDED, ENDPOINT, FLOOR, Subject, serving
from bench.report import Figure, duration, rate
from engine.load import words
from engine.load.scenario.scenario import Scenario

CALLERS = 16
SHARE = 0.7
PROMISED = 4  # times p50, of the embedded echo, on a quiet machine
ABOVE = 1  # times the p99.9 of the floor, on any machine
# On a machine kept quiet many short rounds: the kernel lets those of real-time priority have 0.95 s of each second, and
# what is left of the machine's noise comes every few seconds.
BRIEF_S, BRIEF_DWELL_S, BRIEF_ROUNDS = 0.8, 0.15, 5  # rounds: for each long one
TURNS = 4  # that a long round beside the floor is divided into: a pause of the machine is in one of many


def capacity(effort: Effort) -> Part:
    """The rate at which 16 callers are served, the knee of a ramp around that, and rounds at 70 % of the knee: as the
    machine is, and with it kept quiet."""
    part = Part(
        "capacity",
        "How far the slowest are from the usual when a target has 70 % of the most to do that it can keep up with. "
        f"A closed loop of {CALLERS} callers finds the rates to be tried, the knee of a ramp what can be kept. "
        f"Each round of the embedded target comes after one of {FLOOR.name}: the same schedule in the same loop, each "
        "request written to a process that writes back what it reads, placed by the kernel, and nothing else. That is "
        "the machine's own noise. Then the same once more on a machine kept quiet: no core sleeps, so that none has "
        "to be woken, and generator and workers have real-time priority, so that nothing else takes their cores.",
        "python -m bench.load --only capacity",
    )
    scenario = scenarios.read("steady")
    turns = replace(effort, fixed=effort.fixed / TURNS)
    usual = _at_share(part, EMBEDDED, scenario, turns, TURNS * effort.rounds, floor=True)
    with quiet() as machine:
        if machine.whole:
            brief = replace(effort, fixed=BRIEF_S, dwell=BRIEF_DWELL_S)
            rounds = BRIEF_ROUNDS * effort.rounds
            still = _at_share(part, EMBEDDED, scenario, brief, rounds, floor=True, condition="quiet, ")
        else:
            still = None
            part.notes.append(f"not measured with the machine kept quiet: {machine.words}")
    if usual:  # judged where nothing quieter is
        part.figures += [
            usual.spread(part.command, None if still else PROMISED),
            usual.above(part.command, ABOVE),
        ]
    if still:
        part.figures += [still.spread(part.command, PROMISED), still.above(part.command, None)]
    with serving(ENDPOINT) as endpoint:
        found = _at_share(part, endpoint, scenario, effort, effort.rounds, floor=False)
    if found:
        part.figures.append(found.spread(part.command, None))
    part.notes += [
        "a ramp to beyond the knee of an embedded target is void as a whole: the generator shares its thread, so it "
        "is late, too, where that cannot keep up. Its latencies count that, so that the knee can only be too low",
        "what the endpoint can serve includes what its client can ask: the generator is one Python process",
    ]
    return part


def _at_share(
    part: Part,
    subject: Subject,
    scenario: Scenario,
    effort: Effort,
    rounds: int,
    *,
    floor: bool,
    condition: str = "",
) -> Rounds | None:
    """The capacity of a target, and so many rounds at a share of it. None: no rate was kept."""
    closed = part.measure(
        subject, by_callers(scenario, CALLERS, effort.closed), f"{condition}closed loop"
    ).result
    ramp = part.measure(subject, by_steps(scenario, closed.goodput, effort.dwell), f"{condition}ramp").result
    if ramp.knee is None or not ramp.knee.kept:
        part.notes.append(
            f"{condition}{subject.name}: no rate of the ramp was kept, so there is no capacity to speak of"
        )
        return None
    kept = ramp.knee.kept
    noise = effort.scenario is None and not floor  # two runs more before each
    variant = at_rate(scenario, SHARE * kept, effort.fixed, noise=noise)
    name = f"{condition}{SHARE:.0%} of {rate(kept)}"
    found = Rounds(f"open loop, {condition}{subject.name}, {SHARE:.0%} of {rate(kept)}")
    for _ in range(rounds):
        if floor:
            found.floors.append(part.measure(FLOOR, variant, name))
        found.runs.append(part.measure(subject, variant, name, effort.tries))
    return found


@dataclass
class Rounds:
    """Runs of one target at one rate, each after a run of the floor if there are any of that."""

    name: str
    runs: list[Run] = field(default_factory=list)
    floors: list[Run] = field(default_factory=list)

    def spread(self, command: str, target: float | None) -> Figure:
        """p99.9 to p50 of all rounds. Void runs count only where there are no others, and then nothing is promised of
        them."""
        good = [run for run in self.runs if not run.void]
        runs = good or self.runs
        notes = [by_round([_spread(run) for run in runs])]
        noises = [it.result.noise for it in runs if it.result.noise is not None]
        if noises:
            noise = [words.share(max(getattr(it, which) for it in noises) - 1) for which in ("p50", "p99")]
            notes.append(f"two equal runs differed by up to {noise[0]} in p50 and {noise[1]} in p99")
        if not good:
            notes.append("all rounds are void, so nothing is kept or broken")
            target = None
        if self.floors:
            notes.append(f"{FLOOR.name}, {by_round([_spread(floor) for floor in self.floors])}")
        rounds = [_spread(run) for run in runs]
        p50, p999 = (
            statistics.median(getattr(it.result.latency, name) for it in runs) for name in ("p50", "p999")
        )
        return Figure(
            f"{self.name}, p99.9 / p50",
            f"p99.9 {duration(p999)}",
            f"p50 {duration(p50)}",
            Ratio(rounds, statistics.median(rounds), min(rounds), min(rounds)),
            target,
            "low",
            command,
            note="; ".join(notes),
        )

    def above(self, command: str, target: float | None) -> Figure:
        """p99.9 to that of the floor, round by round, of the rounds of which neither half is void."""
        pairs = list(zip(self.runs, self.floors, strict=True))
        good = [(run, floor) for run, floor in pairs if not (run.void or floor.void)]
        p999s = [[it.result.latency.p999 for it in side] for side in zip(*(good or pairs), strict=True)]
        rounds = [ours / max(1, least) for ours, least in zip(*p999s, strict=True)]
        ours, least = map(statistics.median, p999s)
        return Figure(
            f"{self.name}, p99.9 / the floor's",
            f"p99.9 {duration(ours)}",
            f"p99.9 {duration(least)}",
            Ratio(rounds, statistics.median(rounds), min(rounds), min(rounds)),
            target if good else None,
            "low",
            command,
            note=by_round(rounds) + ("" if good else "; all rounds are void, so nothing is kept or broken"),
        )


def _spread(run: Run) -> float:
    return run.result.latency.p999 / max(1, run.result.latency.p50)
