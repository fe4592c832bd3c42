"""Executor beside ProcessPoolExecutor: a call and its result, map without chunks, an array there and back."""

from __future__ import annotations

import concurrent.futures
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy

from bench.harness import Effort, Series, interleave
from bench.report import Figure, Outcome, latency, rate
from engine import Executor

COMMAND = "python -m bench.run --only executor"
ARRAY_MB = 80
OURS, THEIRS = "Executor", "ProcessPoolExecutor"


def _calls(executor: concurrent.futures.Executor, n: int) -> Series:
    submit, clock = executor.submit, time.perf_counter_ns
    for _ in range(n // 10):
        submit(pow, 2, 8).result()
    samples = []
    begin = clock()
    for _ in range(n):
        start = clock()
        submit(pow, 2, 8).result()
        samples.append(clock() - start)
    return Series(samples, n, clock() - begin)


def _mapped(executor: concurrent.futures.Executor, n: int) -> Series:
    begin = time.perf_counter_ns()
    assert sum(executor.map(pow, range(n), [1] * n)) == n * (n - 1) // 2
    return Series([], n, time.perf_counter_ns() - begin)


def _same(array: numpy.ndarray) -> numpy.ndarray:
    return array


def _arrays(executor: concurrent.futures.Executor, array: numpy.ndarray, n: int) -> Series:
    samples = []
    for _ in range(n):
        start = time.perf_counter_ns()
        there = executor.submit(_same, array).result()
        samples.append(time.perf_counter_ns() - start)
        assert there[-1] == array[-1] and there.flags.writeable
    return Series(samples, n, sum(samples))


def executor(effort: Effort) -> Outcome:
    """Both as they come: a worker for each core, not pinned."""
    array = numpy.arange(ARRAY_MB * 1_000_000 // 8, dtype="f8")
    few = max(200, effort.calls // 10)
    with ProcessPoolExecutor() as theirs, Executor() as ours:
        for pool in (theirs, ours):
            _calls(pool, 100)
            _arrays(pool, array, 1)
        calls = interleave(
            "executor-calls",
            effort.rounds,
            {OURS: partial(_calls, ours, few * 5), THEIRS: partial(_calls, theirs, few)},
        )
        mapped = interleave(
            "executor-map",
            effort.rounds,
            {OURS: partial(_mapped, ours, few * 10), THEIRS: partial(_mapped, theirs, few)},
        )
        arrays = interleave(
            "executor-arrays",
            effort.rounds,
            {OURS: partial(_arrays, ours, array, 3), THEIRS: partial(_arrays, theirs, array, 3)},
        )
    return Outcome(
        [calls, mapped, arrays],
        [
            Figure(
                "Executor: submit().result()", latency(calls, OURS), latency(calls, THEIRS),
                calls.ratio(THEIRS, OURS), 4, "high", COMMAND, "15x",
            ),
            Figure(
                "Executor: map without chunks", rate(mapped.median(OURS, "rate")), rate(mapped.median(THEIRS, "rate")),
                mapped.ratio(OURS, THEIRS, "rate"), 12, "high", COMMAND, "25x",
            ),
            Figure(
                f"Executor: an array of {ARRAY_MB} MB there and back", latency(arrays, OURS), latency(arrays, THEIRS),
                arrays.ratio(THEIRS, OURS), 1.5, "high", COMMAND, "3x",
            ),
        ],
        [],
    )  # fmt: skip
