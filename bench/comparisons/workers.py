"""`stoker serve --workers 2` beside one process, with a handler of 200 us."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from bench.harness import Effort, Ratio
from bench.report import Figure, Outcome, rate
from bench.workers import Measured, Several, measure
from engine.load import machine

COMMAND = "python -m bench.run --only workers"
PROCESSES = 2
CONNECTIONS = 64
PROMISED = 1.6
CORES = 6  # from which on the client, the handlers and two loops do not take each other's


def workers(effort: Effort) -> Outcome:
    """Where cores are few, handlers and client take what a second loop would need: there the rate that the loops have
    time for is promised, by the CPU time that each spends a request."""
    rounds = min(effort.rounds, 5)
    seconds = 1.5 if effort.rounds > 5 else 0.5
    found: dict[int, list[Measured]] = {1: [], PROCESSES: []}
    with ExitStack() as stack:
        servers = [stack.enter_context(Several(count)) for count in found]
        for _ in range(rounds):
            for server in servers:
                found[server.processes].append(measure(server, "busy", CONNECTIONS, seconds))
    few = len(machine.cores()) < CORES
    name = f"--workers {PROCESSES} vs one process, a handler of 200 µs"

    def figure(which: str, attribute: str, target: float | None) -> Figure:
        one, several = ([getattr(each, attribute) for each in found[count]] for count in (1, PROCESSES))
        ratios = [many / single for many, single in zip(several, one, strict=True)]
        return Figure(
            f"{name}: {which}",
            rate(statistics.median(several)),
            rate(statistics.median(one)),
            Ratio(ratios, statistics.median(ratios), max(ratios), max(several) / max(one)),
            target,
            "high",
            COMMAND,
        )

    return Outcome(
        figures=[
            figure("requests/s", "rate", None if few else PROMISED),
            figure("requests/s that the busiest loop has time for", "bound", PROMISED),
        ],
        notes=[f"{name}: judged by its rate from {CORES} cores on"] if few else [],
    )
