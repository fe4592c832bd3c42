"""How often the machine takes a core from a running thread: interrupts, the hypervisor.

A pause costs more than its length, for the core's caches and predictors are cold afterwards.
"""

from __future__ import annotations

import ctypes
import os
import statistics
from array import array

from bench.compiled import library
from bench.harness import Comparison, Series
from bench.peers.base import pinned
from engine.load import machine

LEAST_NS = 1000
SPAN_NS = 50_000_000
_MOST = 100_000
FEW = 1000  # a second, on each core: a call of a few microseconds then seldom meets one
NAME = "the machine's own pauses"


def pauses() -> Series:
    """Pauses of 1 µs or more that a bare loop meets within 50 ms, as samples; `rate` is their number per second.
    Raises Unavailable without a compiler."""
    # ctypes, not cffi: one function, and nothing but a compiler is needed.
    measure = ctypes.CDLL(str(library("pauses"))).bench_pauses
    measure.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint64)
    measure.restype = ctypes.c_int64
    lengths = array("q", bytes(8 * _MOST))
    address, _ = lengths.buffer_info()
    with pinned():
        found = measure(machine.cores()[-1], SPAN_NS, LEAST_NS, address, _MOST)
    if found < 0:
        raise OSError(-found, os.strerror(-found))
    return Series(lengths[:found], found, SPAN_NS)


def beside(comparison: Comparison, subject: str) -> str:
    """A subject's p99 / p50 in rounds with few pauses and in the others, in words."""
    few: list[float] = []
    many: list[float] = []
    for turn, ratio in zip(comparison.rounds, comparison.spread(subject).rounds, strict=True):
        (few if turn[NAME].value("rate") < FEW else many).append(ratio)
    parts = [f"{NAME}, 1 µs or more, met by a bare loop: {comparison.median(NAME, 'rate'):,.0f}/s"]
    for which, ratios in ((f"fewer than {FEW:,}/s", few), ("more", many)):
        if ratios:
            median = statistics.median(ratios)
            parts.append(f"{subject}: p99 / p50 {median:.3g}x in {len(ratios)} rounds with {which}")
    return "; ".join(parts)
