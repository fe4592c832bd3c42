"""The ring alone: nanoseconds per record, by one thread and between two threads on a core each."""

from __future__ import annotations

import ctypes
import os
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.compiled import library
from bench.peers.base import Unavailable, pinned
from engine.load import machine

ROUNDS = 20
RECORDS = 100_000  # a round: enough to make the start of a thread negligible
SIZES = pytest.mark.parametrize("size", [64, 1024], ids=["64 B", "1 KiB"])


@pytest.fixture(scope="module")
def ring() -> Iterator[ctypes.CDLL]:
    try:
        loaded = ctypes.CDLL(str(library("ring")))
    except Unavailable as why:
        pytest.skip(str(why))
    loaded.bench_ring_alone.argtypes = (ctypes.c_uint64, ctypes.c_uint64)
    loaded.bench_ring_two.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64)
    loaded.bench_ring_alone.restype = loaded.bench_ring_two.restype = ctypes.c_double
    with pinned():
        yield loaded


def measure(benchmark: Any, run: Callable[[], float]) -> None:
    """pytest-benchmark times a whole round; what one record took, by C's own clock, is in extra_info."""
    each: list[float] = []

    def call() -> None:
        each.append(run())

    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=2)
    assert min(each) > 0, os.strerror(-int(min(each)))
    benchmark.extra_info["ns_per_record"] = round(statistics.median(each[-ROUNDS:]), 1)
    benchmark.extra_info["ns_per_record_best"] = round(min(each[-ROUNDS:]), 1)


@SIZES
@pytest.mark.benchmark(group="100,000 records, one thread")
def test_one_thread(benchmark: Any, ring: ctypes.CDLL, size: int) -> None:
    """Each record is read as soon as it is written: all of it stays in the core's cache."""
    measure(benchmark, lambda: ring.bench_ring_alone(size, RECORDS))


@SIZES
@pytest.mark.benchmark(group="100,000 records, two cores")
def test_two_cores(benchmark: Any, ring: ctypes.CDLL, size: int) -> None:
    """One writes while the other reads, both without a pause: the rate, not the latency, of a lane."""
    cores = machine.cores()
    if len(cores) < 2:
        pytest.skip("needs two cores")
    with pinned():
        measure(benchmark, lambda: ring.bench_ring_two(cores[0], cores[1], size, RECORDS))
