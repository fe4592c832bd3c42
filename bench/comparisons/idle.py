"""Idleness: the cost of a call after a pause, and of waiting for one."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack

from bench.harness import Comparison, Effort, Series, interleave, make_events, time_calls
from bench.peers.mp_pipe import MultiprocessingPipe
from bench.peers.process_pool import ProcessPool
from bench.peers.raw_pipe import RawPipe
from bench.report import Figure, Outcome, latency, single
from bench.subject import Stoker
from engine.load import machine

GAP = 0.002
WORKERS = 64
ALLOWED = 0.005  # of one core


def after_idle(effort: Effort) -> Outcome:
    """2 ms asleep before each call: both sides have stopped spinning, so a call is two wakes."""
    events = make_events(effort.idle_calls)
    payloads = [json.dumps(event).encode() for event in events]
    with ExitStack() as stack:
        executor, pipe, raw, stoker = ProcessPool(), MultiprocessingPipe(), RawPipe(), Stoker()
        apart = RawPipe(two_cores=True)
        for peer in (executor, pipe, raw, apart, stoker):
            stack.enter_context(peer)

        def raw_calls(peer: RawPipe) -> Series:
            with peer.turn():
                return time_calls(peer.call, payloads, warmup=5, gap=GAP)

        comparison = interleave(
            "after-idle",
            effort.rounds,
            {
                stoker.name: lambda: time_calls(stoker.call, events, warmup=5, gap=GAP),
                raw.name: lambda: raw_calls(raw),
                apart.name: lambda: raw_calls(apart),
                pipe.name: lambda: time_calls(pipe.call, events, warmup=5, gap=GAP),
                executor.name: lambda: time_calls(executor.call, events, warmup=5, gap=GAP),
            },
        )
    return Outcome(
        [comparison],
        [
            Figure(
                f"p50 after 2 ms idle vs {peer.name}",
                latency(comparison, stoker.name),
                latency(comparison, peer.name),
                comparison.ratio(stoker.name, peer.name, want="low"),
                target,
                "low",
                "python -m bench.run --only after-idle",
            )
            for peer, target in ((raw, 1.5), (apart, None))
        ],
        [f"after 2 ms idle, {name}: {latency(comparison, name)}" for name in (pipe.name, executor.name)],
    )


def idle_cpu(effort: Effort) -> Outcome:
    """64 warm workers with nothing to do: all CPU time of this process and of the engine's."""
    before = set(machine.descendants(os.getpid()))
    with Stoker("work:handler", concurrency=WORKERS, warm=WORKERS) as stoker:
        assert isinstance(stoker, Stoker)
        # 64 at once, so that all workers are started; asleep, so that it costs no CPU time.
        results = list(stoker.function.map([{"sleep": 0.1, "report": "process"}] * WORKERS * 2))
        workers = len({result["pid"] for result in results})
        time.sleep(1.0)
        mine = sorted({os.getpid(), *machine.descendants(os.getpid())} - before)
        spent, begin = machine.cpu_ns(mine), time.perf_counter_ns()
        time.sleep(effort.idle_seconds)
        spent, took = machine.cpu_ns(mine) - spent, time.perf_counter_ns() - begin
    share = spent / took
    return Outcome(
        [Comparison("idle-cpu")],
        [
            Figure(
                f"CPU of {WORKERS} warm idle workers",
                f"{share:.3%} of a core",
                f"{ALLOWED:.1%}",
                single(share / ALLOWED),
                1,
                "low",
                "python -m bench.run --only idle-cpu",
                note=f"{workers} workers seen, {len(mine)} processes watched for {took / 1e9:.0f} s",
            )
        ],
    )
