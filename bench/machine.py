"""The machine as only benchmarks look at it: its own noise, and the memory of processes."""

from __future__ import annotations

import contextlib
import os
import time

from engine.load.machine import PROC, cores


def interruptions(core: int, seconds: float = 1.0) -> tuple[float, float]:
    """What a loop on a core that does nothing but read the clock misses: how often in a second it was away for more
    than 5 µs, and for what share of the time. Next to nothing on a quiet machine; it is the noise under all figures."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        clock, away, count = time.perf_counter_ns, 0, 0
        begin = last = clock()
        while last - begin < seconds * 1e9:
            now = clock()
            if now - last > 5000:
                away += now - last
                count += 1
            last = now
    finally:
        os.sched_setaffinity(0, before)
    return count / seconds, away / (last - begin)


def interrupted() -> str:
    """The same for each core that we may use, in words."""
    each = []
    for core in cores():
        count, share = interruptions(core)
        each.append(
            f"core {core} away {count:,.0f} times a second for more than 5 µs, {share:.1%} of the time"
        )
    return "; ".join(each)


def private_bytes(pid: int) -> int:
    """Memory that would come back if this process alone ended."""
    total = 0
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:", "Private_Hugetlb:")):
            total += int(line.split()[1]) * 1024
    return total


def resident_bytes(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int((PROC / str(pid) / "statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")
