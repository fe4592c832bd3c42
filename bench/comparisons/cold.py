"""Cold start from a snapshot against the fork floor and a fresh interpreter; memory of further workers."""

from __future__ import annotations

import statistics
import time
from array import array
from contextlib import ExitStack

from bench.harness import Comparison, Effort, Series, interleave, quiet_gc
from bench.machine import private_bytes, resident_bytes
from bench.peers.base import Unavailable
from bench.peers.fork_floor import ForkFloor
from bench.peers.fresh_interpreter import FreshInterpreter
from bench.report import Figure, Outcome, duration, latency, mib, single
from bench.subject import ALL_SANDBOXED, Stoker

COMMAND = "python -m bench.run --only "
FRESH_STARTS = 4
WORKERS = 8
AT_ONCE = 8
INVOCATIONS = 100
ALLOWED = 4 << 20


def modules_of(reference: str) -> list[str]:
    """Everything a worker of this handler has imported: what the fork floor has to import as well."""
    with Stoker(reference) as stoker:
        names = stoker.call({"report": "modules"})
    return [name for name in names if not name.startswith("_") and name != "sys"]


def cold_starts_of(stoker: Stoker) -> int:
    (stats,) = stoker.engine.stats().values()
    return stats.cold_starts


def cold_starts(reference: str, count: int, sandbox: bool = ALL_SANDBOXED) -> Series:
    """`count` calls, each with all workers busy, so that a worker is forked for it."""
    samples: array[int] = array("q")
    hold = 0.5 + 0.05 * count
    with Stoker(reference, sandbox, concurrency=count + 1, warm=0) as stoker, quiet_gc():
        assert isinstance(stoker, Stoker)
        stoker.call({"n": -1})  # the template is there now, and one worker
        held = []
        before = cold_starts_of(stoker)
        for number in range(count):
            held.append(stoker.function.submit({"sleep": hold}))
            time.sleep(0.005)
            event = {"n": number}
            begin = time.perf_counter_ns()
            result = stoker.call(event)
            samples.append(time.perf_counter_ns() - begin)
            if result != event:
                raise AssertionError(f"{result!r} for {event!r}")
            after = cold_starts_of(stoker)
            if after <= before:
                raise Unavailable("no worker was forked for a call that should have been a cold start")
            before = after
        for future in held:
            future.result()
    return Series(samples, count, sum(samples))


def at_once(reference: str) -> Series:
    """AT_ONCE calls at the same moment, each in need of a worker of its own; one spare worker is there already."""
    hold = 0.2
    ended: dict[int, int] = {}
    with Stoker(reference, concurrency=AT_ONCE + 1, warm=0) as stoker, quiet_gc():
        assert isinstance(stoker, Stoker)
        stoker.call({"n": -1})
        occupied = stoker.function.submit({"sleep": hold * 4})
        time.sleep(0.05)
        begin = time.perf_counter_ns()
        futures = [stoker.function.submit({"n": n, "sleep": hold}) for n in range(AT_ONCE)]
        for number, future in enumerate(futures):
            future.add_done_callback(lambda _, n=number: ended.setdefault(n, time.perf_counter_ns()))
        results = [future.result() for future in [*futures, occupied]]
        if [result.get("n") for result in results[:-1]] != list(range(AT_ONCE)):
            raise AssertionError(f"{results!r}")
        if cold_starts_of(stoker) < AT_ONCE:
            raise Unavailable("not every call had a worker of its own")
    samples = array("q", [ended[n] - begin - int(hold * 1e9) for n in range(AT_ONCE)])
    return Series(samples, AT_ONCE, sum(samples))


def cold(effort: Effort) -> Outcome:
    """Request to reply, for a light and for a heavy handler."""
    rounds = max(2, effort.rounds // 3)
    with ExitStack() as stack:
        light = ForkFloor("same imports as the light handler", modules=modules_of("work:handler"))
        heavy = ForkFloor(
            "same imports as the NumPy + boto3 handler", ["numpy_boto3"], modules_of("numpy_boto3:handler")
        )
        bare, fresh = ForkFloor("bare interpreter"), FreshInterpreter("numpy_boto3")
        for peer in (bare, light, heavy, fresh):
            stack.enter_context(peer)

        def forks(floor: ForkFloor) -> Series:
            samples = floor.forks(effort.cold_starts)
            return Series(samples, len(samples), sum(samples))

        def fresh_starts() -> Series:
            samples = fresh.starts([{"n": number} for number in range(FRESH_STARTS)])
            return Series(samples, len(samples), sum(samples))

        ours, ours_heavy = "Stoker, light handler", "Stoker, NumPy + boto3 handler"
        burst, sealed = "Stoker, NumPy + boto3 handler, at once", "Stoker, light handler in a sandbox"
        comparison = interleave(
            "cold",
            rounds,
            {
                ours: lambda: cold_starts("work:handler", effort.cold_starts),
                light.name: lambda: forks(light),
                sealed: lambda: cold_starts("work:handler", effort.cold_starts, sandbox=True),
                bare.name: lambda: forks(bare),
                ours_heavy: lambda: cold_starts("numpy_boto3:handler", effort.cold_starts),
                heavy.name: lambda: forks(heavy),
                fresh.name: fresh_starts,
                burst: lambda: at_once("numpy_boto3:handler"),
            },
        )
    command = COMMAND + "cold"
    return Outcome(
        [comparison],
        [
            Figure(
                "cold start, light handler, vs fork floor",
                latency(comparison, ours),
                latency(comparison, light.name),
                comparison.ratio(ours, light.name, want="low"),
                2,
                "low",
                command,
                "1.5x",
            ),
            Figure(
                "cold start, light handler in a sandbox, vs fork floor",
                latency(comparison, sealed),
                latency(comparison, light.name),
                comparison.ratio(sealed, light.name, want="low"),
                2,
                "low",
                command,
                "1.5x",
            ),
            Figure(
                "cold start, NumPy + boto3, vs fork floor",
                latency(comparison, ours_heavy),
                latency(comparison, heavy.name),
                comparison.ratio(ours_heavy, heavy.name, want="low"),
                2,
                "low",
                command,
                "1.5x",
            ),
            Figure(
                "cold start, NumPy + boto3, vs fresh interpreter",
                latency(comparison, ours_heavy),
                duration(comparison.median(fresh.name)),
                comparison.ratio(fresh.name, ours_heavy),
                80,
                "high",
                command,
            ),
        ],
        [
            f"{bare.name}: {latency(comparison, bare.name)}",
            f"{AT_ONCE} cold starts at the same moment, NumPy + boto3: {latency(comparison, burst)}",
        ],
    )


def memory(effort: Effort) -> Outcome:
    """Private memory of each of eight workers of the heavy handler, after 100 invocations of each."""
    with Stoker("numpy_boto3:handler", concurrency=WORKERS, warm=WORKERS) as stoker:
        assert isinstance(stoker, Stoker)
        seen: dict[int, int] = {}
        deadline = time.monotonic() + 30.0
        # A short sleep in each keeps all eight busy, in whatever order idle workers are taken.
        while len(seen) < WORKERS or min(seen.values()) < INVOCATIONS:
            for result in stoker.function.map([{"sleep": 0.002, "report": "process"}] * WORKERS * 10):
                seen[result["pid"]] = result["invocations"]
            if time.monotonic() > deadline:
                raise Unavailable(f"not {WORKERS} workers with {INVOCATIONS} invocations each: {seen}")
        sizes = [private_bytes(pid) for pid in sorted(seen)]
        resident = resident_bytes(sorted(seen)[:1])
    worst = max(sizes)
    return Outcome(
        [Comparison("memory")],
        [
            Figure(
                f"private memory of a further worker after {INVOCATIONS} invocations",
                f"{mib(worst)} (largest of {WORKERS})",
                mib(ALLOWED),
                single(worst / ALLOWED),
                1,
                "low",
                COMMAND + "memory",
                note=f"median {mib(statistics.median(sizes))}; resident, mostly shared: {mib(resident)}",
            )
        ],
    )
