"""Which cores there are to use, and which one a new worker gets."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter


def _quota() -> float:
    """CPUs that the control group allows; infinity when it does not say."""
    best, lines = math.inf, []
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    for _, controllers, path in lines:
        parts = [p for p in path.split("/") if p]
        for depth in range(len(parts), -1, -1):
            below = "/".join(parts[:depth])
            with contextlib.suppress(OSError, ValueError):
                if controllers == "":
                    with open(f"/sys/fs/cgroup/{below}/cpu.max") as file:
                        quota, period = file.read().split()
                        if quota != "max":
                            best = min(best, int(quota) / int(period))
                elif "cpu" in controllers.split(","):
                    with open(f"/sys/fs/cgroup/cpu/{below}/cpu.cfs_quota_us") as file:
                        quota_us = int(file.read())
                    with open(f"/sys/fs/cgroup/cpu/{below}/cpu.cfs_period_us") as file:
                        if quota_us > 0:
                            best = min(best, quota_us / int(file.read()))
    return best


def usable() -> list[int]:
    """The cores of this process's affinity mask (taskset, cpuset), in order."""
    return sorted(os.sched_getaffinity(0))


def spinners(cores: list[int]) -> int:
    """How many cores' worth of time may be spent at once: the mask, or the cgroup's quota if less."""
    return max(1, int(min(len(cores), _quota())))


def assign(cores: list[int], taken: Counter[int]) -> int:
    """The core with the fewest workers; of those the last, since the first is where the callers are."""
    return min(reversed(cores), key=lambda core: taken[core])
