"""How often the machine takes a core from what runs there, for reasons of its own: interrupts, its hypervisor's work.

A pause costs whoever it meets more than its length, for the core's caches and predictors come back cold.
"""

from __future__ import annotations

import ctypes
import os
import statistics
from array import array

from bench.compiled import library
from bench.harness import Comparison, Series
from engine.load import machine

LEAST_NS = 1000
SPAN_NS = 50_000_000
_MOST = 100_000
FEW = 1000  # a second, on each core: a call of some microseconds then seldom meets one
NAME = "the machine's own pauses"


def pauses() -> Series:
    """Those of 1 µs or more that a bare loop meets within 50 ms, as samples; `rate`, per second, is how many. Raises
    Unavailable without a compiler."""
    # ctypes, not cffi: one function, and nothing but a compiler is needed.
    look = ctypes.CDLL(str(library("pauses"))).bench_pauses
    look.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint64)
    look.restype = ctypes.c_int64
    allowed = machine.cores()
    lengths = array("q", bytes(8 * _MOST))
    address, _ = lengths.buffer_info()
    try:
        found = look(allowed[-1], SPAN_NS, LEAST_NS, address, _MOST)
    finally:
        os.sched_setaffinity(0, allowed)
    if found < 0:
        raise OSError(-found, os.strerror(-found))
    return Series(lengths[:found], found, SPAN_NS)


def beside(comparison: Comparison, subject: str) -> str:
    """What a subject's p99 was to its p50 in rounds in which the machine paused seldom, and in the others, in words."""
    few: list[float] = []
    many: list[float] = []
    for turn, ratio in zip(comparison.rounds, comparison.spread(subject).rounds, strict=True):
        (few if turn[NAME].value("rate") < FEW else many).append(ratio)
    told = [f"{NAME}, 1 µs or more, met by a bare loop: {comparison.median(NAME, 'rate'):,.0f}/s"]
    for which, ratios in ((f"fewer than {FEW:,}/s", few), ("more", many)):
        if ratios:
            median = statistics.median(ratios)
            told.append(f"{subject}: p99 / p50 {median:.3g}x in {len(ratios)} rounds with {which}")
    return "; ".join(told)
