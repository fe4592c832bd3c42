"""The machine, its stolen time, CPU time and memory of processes, and the CPU time of a run, as the kernel has them."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .result import Cpu

PROC = Path("/proc")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def stolen(before: Ticks, after: Ticks) -> float:
    """The share of all CPU time between two looks that the hypervisor gave to others."""
    total = after.total - before.total
    return (after.steal - before.steal) / total if total else 0.0


@dataclass(frozen=True)
class Ticks:
    """CPU time of all cores since boot, as the kernel counts it."""

    total: int
    steal: int

    @classmethod
    def now(cls) -> Ticks:
        fields = [int(it) for it in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        return cls(sum(fields), fields[7])


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def _text(path: Path) -> str:
    """Of a file that there may not be."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _first(path: Path, key: str) -> str:
    lines = (line for line in _text(path).splitlines() if line.startswith(key))
    return next(lines, "").partition(":")[2].strip()


def describe() -> dict[str, str]:
    """The machine as a reader of the figures needs it, to know whether theirs is alike."""
    cpuinfo = PROC / "cpuinfo"
    flags = _first(cpuinfo, "flags").split()
    family = "/".join(_first(cpuinfo, key) or "?" for key in ("cpu family", "model\t", "stepping"))
    return {
        "CPU": f"{_first(cpuinfo, 'model name') or platform.machine()} (family/model/stepping {family})",
        "cores": f"{len(cores())} usable of {os.cpu_count()}",
        "virtual machine": "yes" if "hypervisor" in flags else "no, or it does not say",
        "memory": _first(PROC / "meminfo", "MemTotal") or "?",
        "kernel": f"{platform.system()} {platform.release()}",
        "governor": _text(_GOVERNOR).strip() or "not readable",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _stat(process: Path) -> list[str]:
    """From its state on: the command name before that may hold spaces and brackets. Raises OSError."""
    return (process / "stat").read_text().rpartition(")")[2].split()


def descendants(root: int) -> list[int]:
    """Every live process below root, found by parent links (sessions and groups do not matter)."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # ended meanwhile
                parents[int(entry.name)] = int(_stat(entry)[1])
    found: list[int] = []
    level = {root}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found.extend(level)
    return sorted(found)


def cpu_ns(pids: list[int]) -> int:
    """CPU time of all threads of these processes; schedstat counts nanoseconds, stat only ticks."""
    tasks = (task for pid in pids for task in (PROC / str(pid) / "task").glob("*"))
    return sum(int(_text(task / "schedstat").split(" ")[0] or 0) for task in tasks)


@contextlib.contextmanager
def apart(pids: list[int]) -> Iterator[None]:
    """This thread off the cores that one of these processes is pinned to, as long as there are others."""
    before = os.sched_getaffinity(0)
    taken: set[int] = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # ended meanwhile
            if len(of := os.sched_getaffinity(pid)) == 1:
                taken |= of
    os.sched_setaffinity(0, before - taken or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def children_cpu_ns(pids: list[int]) -> int:
    """CPU time of the children that these processes have reaped, to a tick."""
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = _stat(PROC / str(pid))
            total += (int(fields[13]) + int(fields[14])) * tick
    return total


def listeners(port: int) -> list[int]:
    """The processes of this machine that listen on a TCP port, as far as we may look into them."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in _text(PROC / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    return sorted(
        int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit() and inodes & _open_in(entry)
    )


def _open_in(process: Path) -> set[str]:
    """What a process has open; nothing of one that is not ours to look into."""
    found = set()
    with contextlib.suppress(OSError):
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(link))
    return found


Look = tuple[int, int | None, int | None]  # CPU times, in ns: this process's, the engine's, the workers'


class Meter:
    """CPU time of a run. servers: the target's processes, empty where they are not of this machine; None: this one,
    where generator and engine share a thread and only their sum can be read: the generator's part is what it took
    without a target, at the same rate. strangers: children of this process that are not workers."""

    def __init__(self, servers: list[int] | None, strangers: Sequence[int] = ()) -> None:
        self._servers = servers
        self._strangers = set(strangers)

    def look(self) -> Look:
        own = time.process_time_ns()
        if self._servers is None:
            return own, None, self._below([os.getpid()])
        if not self._servers:
            return own, None, None
        return own, cpu_ns(self._servers), self._below(self._servers)

    def spent(self, before: Look, after: Look, requests: int, alone: float | None) -> Cpu:
        """Per request, in µs. alone: the generator's own by the self-check, in µs."""
        if not requests:
            return Cpu()
        own, engine, workers = (
            None if first is None or last is None else max(0, last - first) / requests / 1000
            for first, last in zip(before, after, strict=True)
        )
        if self._servers is None and own is not None and alone is not None:
            alone = min(alone, own)
            return Cpu(alone, own - alone, workers)
        return Cpu(own, engine, workers)

    def _below(self, roots: list[int]) -> int:
        """Of everything that these processes started, what has ended meanwhile included once it is reaped."""
        found = [pid for root in roots for pid in descendants(root) if pid not in self._strangers]
        return cpu_ns(found) + children_cpu_ns([*roots, *found])
