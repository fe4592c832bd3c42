"""Which cores there are to use, and which one a new worker gets."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_SYSTEM = Path("/sys/devices/system/cpu")


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


def turned(cores: list[int], number: int, of: int) -> list[int]:
    """The same cores, for one of several engines that share them: each has another part of them last, which are those
    that assign() takes first."""
    part = len(cores) * number // of
    return cores[len(cores) - part :] + cores[: len(cores) - part]


def spinners(cores: list[int]) -> int:
    """How many cores' worth of time may be spent at once: the mask, or the cgroup's quota if less."""
    return max(1, int(min(len(cores), _quota())))


def physical() -> int:
    """How many physical cores' worth of time may be spent at once."""
    cores = usable()
    found = places(tuple(cores))
    return max(1, int(min(len({place.physical for place in found.values()}), _quota())))


class Place(NamedTuple):
    """Where a core is: what it shares with others. Equal numbers: the same one."""

    physical: tuple[int, int]  # package and core within it: hyper-threads have it in common
    cache: int = 0  # the last-level one, by the first core on it
    node: int = 0


@functools.cache
def places(cores: tuple[int, ...]) -> Mapping[int, Place]:
    """Each core's, as the kernel describes it; what it does not say is the same for all. Two cores leave nothing to
    choose that would need it."""
    return {core: _place(core) if len(cores) > 2 else Place((0, core)) for core in cores}


def _place(core: int) -> Place:
    folder = _SYSTEM / f"cpu{core}"
    package, within = _number(folder / "topology/physical_package_id"), _number(folder / "topology/core_id")
    caches = sorted(folder.glob("cache/index[0-9]*"))  # the last is the largest
    cache = _number(caches[-1] / "shared_cpu_list") if caches else None
    nodes = [int(path.name[4:]) for path in folder.glob("node[0-9]*")]
    physical = (package or 0, core if within is None else within)
    return Place(physical, cache or 0, nodes[0] if nodes else 0)


def _number(path: Path) -> int | None:
    """The first one in that file."""
    try:
        return int(path.read_text().replace("-", ",").split(",")[0])
    except (OSError, ValueError):
        return None


def assign(
    cores: Sequence[int],
    taken: Counter[int],
    places: Mapping[int, Place] | None = None,
    caller: int = -1,
) -> int:
    """A new worker's core: the one with the fewest (taken: how many each has); of those not the caller's, then one
    whose physical core is free of workers and of the caller, then one that shares a cache, then memory, with the
    caller; of equals the last. caller: -1 when not known; the first core counts then, but is not kept free."""
    found = places or {core: Place((0, core)) for core in cores}
    home = found[caller if caller in found else cores[0]]
    used = Counter(found[core].physical for core in taken.elements() if core in found)
    if caller in found:
        used[home.physical] += 1

    def cost(core: int) -> tuple[int, bool, int, bool, bool]:
        place = found[core]
        return (
            taken[core], core == caller, used[place.physical], place.cache != home.cache, place.node != home.node,
        )  # fmt: skip

    return min(reversed(cores), key=cost)
