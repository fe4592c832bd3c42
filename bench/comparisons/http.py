"""HTTP: the Lambda endpoint against other servers of invocations over HTTP, and against HTTP itself."""

from __future__ import annotations

from contextlib import ExitStack

from bench.harness import Effort, Measure, interleave
from bench.peers.base import Unavailable
from bench.peers.http import BareUvicorn, FunctionsFramework, HttpPeer, Ministack, Rie, Served
from bench.report import Figure, Outcome, duration, latency, rate

COMMAND = "python -m bench.run --only http"
MANY = 16


def http(effort: Effort) -> Outcome:
    """One connection, then sixteen; every response checked."""
    rounds = min(effort.rounds, 7)
    seconds = 1.0 if effort.rounds > 5 else 0.5
    out = Outcome()
    with ExitStack() as stack:
        ours, floor = Served(), BareUvicorn()
        stack.enter_context(ours)
        stack.enter_context(floor)
        peers: dict[str, HttpPeer] = {}
        for kind in (Rie, FunctionsFramework, Ministack):
            try:
                peer = kind()
                stack.enter_context(peer)
                peers[peer.name] = peer
            except Unavailable as reason:
                out.notes.append(f"not measured: {reason}")
        one = {peer.name: peer for peer in (ours, floor, *peers.values())}
        alone = interleave(
            "HTTP, 1 connection", rounds, {name: (lambda p=p: p.load(1, seconds)) for name, p in one.items()}
        )
        many = interleave(
            f"HTTP, {MANY} connections",
            rounds,
            {name: (lambda p=p: p.load(MANY, seconds)) for name, p in one.items() if name != Rie.name},
        )
    out.comparisons += [alone, many]

    def summary(comparison: str, name: str) -> str:
        which = alone if comparison == "one" else many
        return f"{rate(which.median(name, 'rate'))} (p50 {duration(which.median(name))})"

    def figure(name: str, which: str, peer: str, target: float | None, aim: str = "") -> None:
        comparison = alone if which == "one" else many
        if peer in one and peer in comparison.rounds[0]:
            out.figures.append(
                Figure(name, summary(which, ours.name), summary(which, peer),
                       comparison.ratio(ours.name, peer, "rate"), target, "high", COMMAND, aim)
            )  # fmt: skip

    figure("HTTP, 1 connection, requests/s vs RIE", "one", Rie.name, 5)
    figure(
        f"HTTP, {MANY} connections, requests/s vs functions-framework",
        "many",
        FunctionsFramework.name,
        8,
        "39,000/s",
    )
    figure("HTTP, 1 connection, requests/s vs ministack", "one", Ministack.name, 100)
    figure(f"HTTP, {MANY} connections, requests/s vs ministack", "many", Ministack.name, None)
    figure(f"HTTP, {MANY} connections, requests/s vs bare uvicorn echo", "many", floor.name, 1, "2x")

    def of_floor(which: str, measure: Measure, target: float) -> None:
        comparison, connections = (alone, "1 connection") if which == "one" else (many, f"{MANY} connections")
        out.figures.append(
            Figure(
                f"HTTP, {connections}, {measure} vs bare uvicorn echo",
                latency(comparison, ours.name),
                latency(comparison, floor.name),
                comparison.ratio(ours.name, floor.name, measure, want="low"),
                target,
                "low",
                COMMAND,
            )
        )

    of_floor("many", "p99", 1.2)
    of_floor("one", "p50", 0.5)
    of_floor("one", "p99", 1.5)
    for name in one:
        if name != ours.name:
            out.notes.append(f"HTTP, 1 connection, {name}: {summary('one', name)}")
            if name in many.rounds[0]:
                out.notes.append(f"HTTP, {MANY} connections, {name}: {summary('many', name)}")
    return out
