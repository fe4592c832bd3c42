"""Growth: of the payload, up to 6 MiB, and of the number of functions, up to 256."""

from __future__ import annotations

import itertools
import os
import time
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench.harness import (
    Comparison,
    Effort,
    Series,
    WrongResult,
    interleave,
    make_events,
    quiet_gc,
    time_calls,
)
from bench.peers.memcpy_floor import Memcpy
from bench.peers.mp_pipe import PipeOfBytes
from bench.report import Figure, Outcome, duration, latency
from bench.subject import Stoker, options

COMMAND = "python -m bench.run --only "
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 6 << 20)
FUNCTIONS = 256


def time_payload(call: Callable[[bytes], Any], payload: bytes, count: int) -> Series:
    """Like time_calls, but each result is checked and freed before the next call: results are large."""
    samples: array[int] = array("q")
    clock = time.perf_counter_ns
    with quiet_gc():
        for _ in range(3):
            call(payload)
        for _ in range(count):
            begin = clock()
            result = call(payload)
            samples.append(clock() - begin)
            if bytes(result) != payload:
                raise WrongResult(f"{len(payload)} bytes came back as another {len(result)}")
            del result
    return Series(samples, count, sum(samples))


def payload(effort: Effort) -> Outcome:
    """Bytes of the handler's own of each size, against one copy of as many and a Pipe that echoes them. (What a handler
    returns of its own event is not copied: that is beside.)"""
    comparisons: list[Comparison] = []
    ours, echoed, floor = "Stoker, raw", "Stoker, raw, returning its event", "memcpy"
    with Stoker("raw_own:handler", codec="raw") as stoker, PipeOfBytes() as pipe:
        assert isinstance(stoker, Stoker)
        own = stoker.function.invoke_raw
        in_place = stoker.engine.function("raw_echo:handler", **options(codec="raw")).invoke_raw

        def own_call(data: bytes) -> Any:
            return own(data).payload

        def echo_call(data: bytes) -> Any:
            return in_place(data).payload

        for size in SIZES:
            data = os.urandom(size)
            count = effort.large_calls if size > 500_000 else effort.calls // 5
            with Memcpy(size) as memcpy:
                comparisons.append(
                    interleave(
                        f"payload-{size}",
                        max(3, effort.rounds // 2),
                        {
                            ours: partial(time_payload, own_call, data, count),
                            echoed: partial(time_payload, echo_call, data, count),
                            pipe.name: partial(time_payload, pipe.call, data, count),
                            floor: partial(time_payload, memcpy.call, data, count),
                        },
                    )
                )
    largest = comparisons[-1]
    return Outcome(
        comparisons,
        [
            Figure(
                f"6 MiB of the handler's own bytes vs {name}",
                latency(largest, ours),
                latency(largest, name),
                largest.ratio(ours, name, want="low"),
                target,
                "low",
                COMMAND + "payload",
            )
            for name, target in ((floor, 10), (pipe.name, 0.6))
        ],
        [
            f"{size:,} raw bytes: {latency(comparison, ours)}; returned in place {latency(comparison, echoed)}; "
            f"{pipe.name} {latency(comparison, pipe.name)}; "
            f"memcpy {duration(comparison.median(floor))}"
            for size, comparison in zip(SIZES, comparisons, strict=True)
        ],
    )


def many(effort: Effort) -> Outcome:
    """Calls of one function, in an engine that has only it and in one that has 256 warm ones."""
    events = make_events(effort.calls)
    with ExitStack() as stack:
        one = Stoker()
        stack.enter_context(one)
        crowd = Stoker(name="echo-0")
        stack.enter_context(crowd)
        begin = time.perf_counter()
        functions = [crowd.function]
        for number in range(1, FUNCTIONS):
            functions.append(crowd.engine.function("echo:handler", **options(name=f"echo-{number}")))
        for function in functions:
            function.invoke({})
        registered = time.perf_counter() - begin
        turns = [function.invoke for function in functions]

        def round_robin() -> Series:
            """Each call to the next function, whose worker is asleep."""
            following = itertools.cycle(turns)

            def call_next(event: Any) -> Any:
                return next(following)(event)

            return time_calls(call_next, events[: FUNCTIONS * 2], warmup=0)

        single_name, many_name, robin = "1 function", f"one of {FUNCTIONS} functions", "all in turn"
        comparison = interleave(
            "many",
            effort.rounds,
            {
                single_name: lambda: time_calls(one.call, events, warmup=effort.warmup),
                many_name: lambda: time_calls(crowd.call, events, warmup=effort.warmup),
                robin: round_robin,
            },
        )
    return Outcome(
        [comparison],
        [
            Figure(
                f"p50 with {FUNCTIONS} warm functions vs with 1",
                latency(comparison, many_name),
                latency(comparison, single_name),
                comparison.ratio(many_name, single_name, want="low"),
                1.2,
                "low",
                COMMAND + "many",
            )
        ],
        [
            f"{FUNCTIONS} functions called in turn, each worker asleep: {latency(comparison, robin)}",
            f"{FUNCTIONS} functions registered and called once: {registered:.2f} s",
        ],
    )
