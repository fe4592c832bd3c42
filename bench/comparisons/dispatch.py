"""Warm dispatch against the peers: one call at a time, awaited, 64 in flight, and map.

The promises are ratios to ProcessPoolExecutor and to a multiprocessing.Pipe as users of the standard library get them:
placed by the kernel. The same peers with other placements take turns in the same rounds; their ratios are listed
without a promise, but for one core, where the engine is confined to its worker's as the pipe is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench.harness import (
    Comparison,
    Effort,
    Series,
    interleave,
    make_events,
    time_awaits,
    time_batch,
    time_calls,
)
from bench.pauses import NAME, beside, pauses
from bench.peers.base import Peer, PipelinedPeer, pinned
from bench.peers.mp_pipe import MultiprocessingPipe
from bench.peers.mp_pool import MultiprocessingPool
from bench.peers.process_pool import ProcessPool
from bench.peers.raw_pipe import RawPipe
from bench.peers.ray_graph import RayGraph
from bench.peers.spin_floor import SpinFloor
from bench.report import Figure, Outcome, latency, rate
from bench.subject import AwaitedStoker, Loop, Stoker

COMMAND = "python -m bench.run --only "


def faster_of(comparison: Comparison, *names: str) -> str:
    """The peer at its best: the lowest median p50."""
    return min(names, key=comparison.median)


def quicker_of(comparison: Comparison, *names: str) -> str:
    """The peer at its best: the highest median rate."""
    return max(names, key=lambda name: comparison.median(name, "rate"))


def in_turn(peer: Peer, measure: Callable[[], Series]) -> Series:
    with peer.turn():
        return measure()


def sync(effort: Effort) -> Outcome:
    """One call at a time from a thread."""
    events = make_events(effort.calls)
    few = events[: effort.calls // 5]
    raw_few = [json.dumps(event).encode() for event in few]
    with ExitStack() as stack:
        executor, bound, pool = ProcessPool(), ProcessPool(one_core=True), MultiprocessingPool()
        pipe, raw, spin, stoker = MultiprocessingPipe(), RawPipe(), SpinFloor(), Stoker()
        one_core = MultiprocessingPipe("one core")
        pipes = (pipe, MultiprocessingPipe("two cores"), one_core)
        confined = f"{stoker.name}, one core"
        # The engine last, so that the peers' children inherit nothing of it.
        for peer in (executor, bound, pool, *pipes, raw, spin, stoker):
            stack.enter_context(peer)

        def calls(peer: Peer, events: Sequence[Any] = few) -> Series:
            return in_turn(peer, lambda: time_calls(peer.call, events, warmup=effort.warmup // 5))

        def spins() -> Series:
            with spin.turn():
                samples = spin.round_trips(effort.calls)
            return Series(samples, effort.calls, sum(samples))

        (worker,) = stoker.function.workers()

        def confined_calls() -> Series:
            with pinned(sorted(os.sched_getaffinity(worker))):
                return time_calls(stoker.call, few, warmup=effort.warmup // 5)

        comparison = interleave(
            "sync",
            effort.rounds,
            {
                NAME: pauses,
                stoker.name: lambda: time_calls(stoker.call, events, warmup=effort.warmup),
                executor.name: lambda: calls(executor),
                bound.name: lambda: calls(bound),
                **{peer.name: partial(calls, peer) for peer in pipes},
                confined: confined_calls,
                pool.name: lambda: calls(pool),
                raw.name: lambda: calls(raw, raw_few),
                spin.name: spins,
            },
        )
    command = COMMAND + "sync"
    ours = latency(comparison, stoker.name)

    def against(peer: str, target: float | None, aim: str = "") -> Figure:
        ratio = comparison.ratio(peer, stoker.name)
        theirs = latency(comparison, peer)
        return Figure(f"warm sync p50 vs {peer}", ours, theirs, ratio, target, "high", command, aim)

    return Outcome(
        [comparison],
        [
            against(executor.name, 50),
            against(pipe.name, 6, "10x"),
            Figure(
                f"warm sync p50 confined to one core vs {one_core.name}",
                latency(comparison, confined),
                latency(comparison, one_core.name),
                comparison.ratio(confined, one_core.name, want="low"),
                0.6,
                "low",
                command,
            ),
            Figure(
                "warm sync p99 / p50", ours, "its own p50", comparison.spread(stoker.name), 4, "low", command
            ),
            against(bound.name, None),
            against(pipes[1].name, None),
        ],
        [
            f"one call at a time, {name}: {latency(comparison, name)}"
            for name in (pool.name, raw.name, spin.name)
        ]
        + [f"one call at a time, {beside(comparison, stoker.name)}"],
    )


def awaited(effort: Effort) -> Outcome:
    """One awaited call at a time; the executor awaited and called from a thread: the faster counts."""
    events = make_events(effort.calls)
    few = events[: effort.calls // 5]
    with ExitStack() as stack:
        executor, bound = ProcessPool(), ProcessPool(one_core=True)
        for peer in (executor, bound):
            stack.enter_context(peer)
        loop = stack.enter_context(Loop())
        stoker = AwaitedStoker()
        loop.run(stoker.start_async())
        stack.callback(lambda: loop.run(stoker.close_async()))

        def calls(peer: ProcessPool) -> Series:
            return in_turn(peer, lambda: time_calls(peer.call, few, warmup=effort.warmup // 5))

        def awaits(peer: ProcessPool) -> Series:
            with peer.turn():
                return loop.run(time_awaits(peer.call_async, few, warmup=effort.warmup // 5))

        awaitable = {f"{peer.name}, awaited": peer for peer in (executor, bound)}
        comparison = interleave(
            "awaited",
            effort.rounds,
            {
                NAME: pauses,
                stoker.name: lambda: loop.run(time_awaits(stoker.call_async, events, warmup=effort.warmup)),
                **{peer.name: partial(calls, peer) for peer in (executor, bound)},
                **{name: partial(awaits, peer) for name, peer in awaitable.items()},
            },
        )
        loop_name = loop.name
    command = COMMAND + "awaited"
    ours = latency(comparison, stoker.name)

    def against(peer: ProcessPool, target: float | None, aim: str = "") -> Figure:
        faster = faster_of(comparison, peer.name, f"{peer.name}, awaited")
        ratio = comparison.ratio(faster, stoker.name)
        theirs = latency(comparison, faster)
        note = f"on {loop_name}; against {faster}, the faster of its two ways"
        return Figure(f"awaited p50 vs {peer.name}", ours, theirs, ratio, target, "high", command, aim, note)

    return Outcome(
        [comparison],
        [
            against(executor, 20, "5 µs"),
            Figure(
                "awaited p99 / p50", ours, "its own p50", comparison.spread(stoker.name), 4, "low", command
            ),
            against(bound, None),
        ],
        [
            f"in the run of awaited calls, {name}: {latency(comparison, name)}"
            for name in (executor.name, bound.name, *awaitable)
        ]
        + [f"awaited, {beside(comparison, stoker.name)}"],
    )


def pipelined(effort: Effort) -> Outcome:
    """64 calls in flight: awaited by 64 tasks here, a window of 64 futures there."""
    events = make_events(effort.calls * 4)
    few = events[: effort.calls // 2]
    with ExitStack() as stack:
        executor, bound, pool = ProcessPool(), ProcessPool(one_core=True), MultiprocessingPool()
        for peer in (executor, bound, pool):
            stack.enter_context(peer)
        threads = stack.enter_context(Stoker())
        assert isinstance(threads, PipelinedPeer)
        loop = stack.enter_context(Loop())
        stoker = AwaitedStoker()
        loop.run(stoker.start_async())
        stack.callback(lambda: loop.run(stoker.close_async()))
        from_thread = "Stoker, futures"

        def batch_of(peer: PipelinedPeer) -> Series:
            return in_turn(peer, lambda: time_batch(peer.pipelined, few, warmup=effort.warmup // 5))

        comparison = interleave(
            "pipelined",
            effort.rounds,
            {
                stoker.name: lambda: time_batch(
                    lambda batch: loop.run(stoker.pipelined_async(batch)), events, warmup=effort.warmup
                ),
                executor.name: lambda: batch_of(executor),
                bound.name: lambda: batch_of(bound),
                from_thread: lambda: time_batch(threads.pipelined, events, warmup=effort.warmup),
                pool.name: lambda: batch_of(pool),
            },
        )
    return Outcome(
        [comparison],
        [
            Figure(
                f"64 awaited in flight vs {peer.name}: submit",
                rate(comparison.median(stoker.name, "rate")),
                rate(comparison.median(peer.name, "rate")),
                comparison.ratio(stoker.name, peer.name, "rate"),
                target,
                "high",
                COMMAND + "pipelined",
                aim,
            )
            for peer, target, aim in ((executor, 10, "200,000/s"), (bound, None, ""))
        ],
        _rates(comparison, "64 in flight", (from_thread, pool.name)),
    )


def map_(effort: Effort) -> Outcome:
    """map, event by event; the executor also in chunks, which trade away latency and isolation of events."""
    events = make_events(effort.calls * 4)
    few = events[: effort.calls // 2]
    warmup = effort.warmup // 5
    with ExitStack() as stack:
        executor, bound, pool = ProcessPool(), ProcessPool(one_core=True), MultiprocessingPool()
        stoker = Stoker()
        for peer in (executor, bound, pool, stoker):
            stack.enter_context(peer)

        def submitted(peer: PipelinedPeer) -> Series:
            return in_turn(peer, lambda: time_batch(peer.pipelined, few, warmup=warmup))

        def mapped(peer: PipelinedPeer) -> Series:
            return in_turn(peer, lambda: time_batch(peer.mapped, few, warmup=warmup))

        singly = {
            peer: {
                f"{peer.name}: submit, 64 in flight": partial(submitted, peer),
                f"{peer.name}: map(chunksize=1)": partial(mapped, peer),
            }
            for peer in (executor, bound)
        }
        chunked, imap = f"{executor.name}: map(chunksize=64)", f"{pool.name}: imap(chunksize=1)"
        comparison = interleave(
            "map",
            effort.rounds,
            {
                stoker.name: lambda: time_batch(stoker.mapped, events, warmup=effort.warmup),
                **singly[executor],
                **singly[bound],
                chunked: lambda: time_batch(lambda batch: executor.mapped(batch, 64), events, warmup=warmup),
                imap: lambda: mapped(pool),
            },
        )

    def against(peer: ProcessPool, target: float | None, aim: str = "") -> Figure:
        quicker = quicker_of(comparison, *singly[peer])
        return Figure(
            f"map vs {peer.name}",
            rate(comparison.median(stoker.name, "rate")),
            rate(comparison.median(quicker, "rate")),
            comparison.ratio(stoker.name, quicker, "rate"),
            target,
            "high",
            COMMAND + "map",
            aim,
            f"against {quicker}, the quicker of its ways to take single events",
        )

    return Outcome(
        [comparison],
        [against(executor, 25, "400,000/s"), against(bound, None)],
        _rates(comparison, "map", (*singly[executor], *singly[bound], chunked, imap)),
    )


def ray(effort: Effort) -> Outcome:
    """One call at a time against Ray's Compiled Graph; only where ray is installed."""
    events = make_events(effort.calls)
    few = events[: effort.calls // 5]
    with ExitStack() as stack:
        graph, stoker = RayGraph(), Stoker()
        for peer in (graph, stoker):
            stack.enter_context(peer)
        comparison = interleave(
            "ray",
            effort.rounds,
            {
                stoker.name: lambda: time_calls(stoker.call, events, warmup=effort.warmup),
                graph.name: lambda: time_calls(graph.call, few, warmup=effort.warmup // 5),
            },
        )
    ratio = comparison.ratio(graph.name, stoker.name)
    theirs = latency(comparison, graph.name)
    return Outcome(
        [comparison], [], [f"{graph.name}: {theirs}, {ratio.median:.3g} times Stoker's in the same rounds"]
    )


def _rates(comparison: Comparison, what: str, names: tuple[str, ...]) -> list[str]:
    return [f"{what}, {name}: {rate(comparison.median(name, 'rate'))}" for name in names]
