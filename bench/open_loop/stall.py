"""A server that stands still now and then, asked by an open loop and by a closed one: what either says of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from bench.open_loop import scenarios
from bench.open_loop.part import Effort, Part, Picture, Run, at_rate, by_callers
from bench.peers.http import HttpPeer
from bench.peers.open_loop import http
from bench.report import Figure, duration, single
from engine.load.report import charts

SERVER = Path(__file__).resolve().parents[1] / "functions" / "stalling.py"
RATE = 100.0


class Stalling(HttpPeer):
    """A process of its own, as every target over HTTP."""

    name = "stalling server"

    def __init__(self, every: float, stall: float) -> None:
        super().__init__()
        self._every, self._stall = every, stall

    def command(self) -> list[Any]:
        return [sys.executable, SERVER, self.port, self._every, self._stall]


def stall(effort: Effort) -> Part:
    """Both loops, one after the other, for the same time."""
    seconds, every, length = effort.stall
    part = Part(
        "stall",
        f"A server that answers at once, but stands still for {length:g} s of every {every:g} s, asked for "
        f"{seconds:g} s by an open loop and by a closed one. A tenth of all who come have to wait; a closed loop does "
        "not come meanwhile, so its p99 knows nothing of it.",
        "python -m bench.load --only stall",
    )
    scenario = replace(scenarios.read("steady"), noise=False)
    with Stalling(every, length) as peer:
        subject = http(peer)
        loops = {
            "open loop": at_rate(scenario, RATE, seconds),
            "closed loop": by_callers(scenario, 1, seconds),
        }
        opened, closed = (
            part.measure(subject, variant, name, effort.tries) for name, variant in loops.items()
        )
    part.figures = [
        _figure(part, opened, length, 0.5, "high"),
        _figure(part, closed, length, 0.1, "low"),
    ]
    part.notes.append(
        f"p99 side by side: open loop {duration(opened.result.latency.p99)}, "
        f"closed loop {duration(closed.result.latency.p99)}"
    )
    part.pictures.append(Picture.of("stall", charts.latency_by_percentile(opened.result, closed.result)))
    return part


def _figure(part: Part, run: Run, length: float, target: float, want: Literal["high", "low"]) -> Figure:
    """p99 as a share of what the server stands still for."""
    p99, whole = run.result.latency.p99, length * 1e9
    name = f"p99 in the {run.name} of a server that stands still"
    return Figure(
        name, duration(p99), f"{duration(whole)} of standing", single(p99 / whole), None if run.void else target,
        want, part.command, note="the run is void, so nothing is kept or broken" if run.void else "",
    )  # fmt: skip
