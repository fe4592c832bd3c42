"""The same requests at the same rate to ours and to what there is instead, in turns."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

import msgspec

from bench.harness import Ratio
from bench.open_loop import scenarios
from bench.open_loop.part import Effort, Part, Picture, Run, at_rate, by_callers, by_round
from bench.peers.base import Unavailable
from bench.peers.open_loop import EMBEDDED, ENDPOINT, Subject, serving
from bench.report import Figure, duration, rate
from engine.load.report import charts
from engine.load.scenario.scenario import Scenario

CALLERS = 16
SHARE = 0.8  # of what the best peer can serve: what it can hold
LESS = 0.8  # of that, as long as none holds it
TRIALS = 5
WRONG = 0.02  # of the answers of a closed loop; above that its rate is nobody's capacity
PROMISED = 5


def endpoints(effort: Effort) -> Part:
    """Over HTTP: our endpoint, and emulators and frameworks that run functions."""
    part = Part(
        "peers",
        "One function over HTTP at the highest rate that any of the peers can hold (bare uvicorn, which runs no "
        "functions, is there as the floor, and does not count as one). RIE takes one request at a time: the others "
        "wait for it in the generator.",
        "python -m bench.load --only peers",
    )
    with ExitStack() as stack:
        ours = stack.enter_context(serving(ENDPOINT))
        peers = _started(stack, part, "rie", "functions-framework", "ministack")
        floor = _started(stack, part, "uvicorn")
        _compare(part, ours, peers, floor, PROMISED, effort)
    return part


def process_pool(effort: Effort) -> Part:
    """In one process: the engine, and the standard library's way to have a worker."""
    part = Part(
        "process-pool",
        "One function in one worker, asked by the process that it belongs to, at the highest rate that "
        "ProcessPoolExecutor can hold.",
        "python -m bench.load --only process-pool",
    )
    with serving("process-pool") as pool:
        _compare(part, EMBEDDED, [pool], [], None, effort)
    return part


def _started(stack: ExitStack, part: Part, *names: str) -> list[Subject]:
    found = []
    for name in names:
        try:
            found.append(stack.enter_context(serving(name)))
        except Unavailable as why:
            part.notes.append(f"not measured: {why}")
    return found


def _compare(
    part: Part,
    ours: Subject,
    peers: list[Subject],
    floor: list[Subject],
    target: float | None,
    effort: Effort,
) -> None:
    scenario = scenarios.read("steady")
    served = {}
    for subject in (ours, *peers, *floor):
        variant = by_callers(scenario, CALLERS, effort.closed)
        it = part.measure(subject, variant, f"closed loop, {CALLERS} callers").result
        served[subject.name] = it.goodput if it.wrong <= WRONG * sum(it.ended.values()) else 0.0
    peers = sorted(peers, key=lambda peer: served[peer.name], reverse=True)
    found = _highest(part, peers, served, scenario, effort)
    if found is None:
        part.notes.append("no peer holds any of the rates that were tried")
        return
    best, common = found
    able = [subject for subject in (*peers, *floor) if served[subject.name] >= common]
    part.notes += [
        f"{peer.name} cannot serve {rate(common)}: it serves {rate(served[peer.name])}"
        for peer in peers
        if peer not in able
    ]
    variant = at_rate(scenario, common, effort.fixed)
    turns = []
    for number in range(effort.rounds):
        name = f"{rate(common)}, round {number + 1}"
        turns.append(
            {subject.name: part.measure(subject, variant, name, effort.tries) for subject in (ours, *able)}
        )
    for subject in able:
        promised = target if subject in peers else None
        part.figures.append(ratio(ours.name, subject.name, turns, common, promised, part.command))
    one, other = (
        msgspec.structs.replace(turns[-1][name].result, name=name) for name in (ours.name, best.name)
    )
    part.pictures.append(Picture.of(part.name, charts.latency_by_percentile(one, other)))


def _highest(
    part: Part, peers: list[Subject], served: dict[str, float], scenario: Scenario, effort: Effort
) -> tuple[Subject, float] | None:
    """The highest rate tried that one of the peers, the quickest first, holds in an open loop; and which does."""
    common = SHARE * max((served[peer.name] for peer in peers), default=0.0)
    for _ in range(TRIALS if common else 0):
        for peer in peers:
            if served[peer.name] >= common:
                variant = at_rate(scenario, common, effort.closed)
                if part.measure(peer, variant, f"trial at {rate(common)}").held:
                    return peer, common
        common *= LESS
    return None


def ratio(
    ours: str, theirs: str, turns: list[dict[str, Run]], common: float, target: float | None, command: str
) -> Figure:
    """Their p99 to ours, round by round. Rounds in which either run is void count only where there are no others, and
    nothing is promised of them or of a peer that did not hold the rate."""
    good = [turn for turn in turns if not (turn[ours].void or turn[theirs].void)]
    judged = good or turns
    p99s = [[turn[name].result.latency.p99 for turn in judged] for name in (ours, theirs)]
    rounds = [theirs / max(1, ours) for ours, theirs in zip(*p99s, strict=True)]
    holds = all(turn[theirs].held for turn in judged)
    notes = [by_round(rounds)]
    if not good:
        notes.append("all rounds are void, so nothing is kept or broken")
    if not holds:
        notes.append(f"{theirs} did not hold the rate in every round")
    if good and len(good) < len(turns):
        notes.append(f"{len(turns) - len(good)} of {len(turns)} rounds are void and left out")
    return Figure(
        f"open loop, {rate(common)}, p99 vs {theirs}",
        f"{ours} {duration(statistics.median(p99s[0]))}",
        duration(statistics.median(p99s[1])),
        Ratio(rounds, statistics.median(rounds), max(rounds), min(p99s[1]) / max(1, min(p99s[0]))),
        target if good and holds else None,
        "high",
        command,
        note="; ".join(notes),
    )
