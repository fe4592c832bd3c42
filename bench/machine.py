"""What the operating system says: the machine, stolen time, CPU time and memory of processes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

PROC = Path("/proc")


def steal_ticks() -> int:
    """Ticks the hypervisor gave to somebody else, over all cores, since boot."""
    fields = (PROC / "stat").read_text().split("\n", 1)[0].split()
    return int(fields[8])


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def _first(path: Path, key: str) -> str | None:
    try:
        for line in path.read_text().splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def _governor() -> str:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text().strip()
    except OSError:
        return "not readable"


def describe() -> dict[str, str]:
    """The machine as a reader of the figures needs it, to know whether theirs is alike."""
    cpuinfo = PROC / "cpuinfo"
    flags = (_first(cpuinfo, "flags") or "").split()
    family = "/".join(_first(cpuinfo, key) or "?" for key in ("cpu family", "model\t", "stepping"))
    return {
        "CPU": f"{_first(cpuinfo, 'model name') or platform.machine()} (family/model/stepping {family})",
        "cores": f"{len(cores())} usable of {os.cpu_count()}",
        "virtual machine": "yes" if "hypervisor" in flags else "no, or it does not say",
        "memory": _first(PROC / "meminfo", "MemTotal") or "?",
        "kernel": f"{platform.system()} {platform.release()}",
        "governor": _governor(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def descendants(root: int) -> list[int]:
    """Every live process below root, found by parent links (sessions and groups do not matter)."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            # The command name may hold spaces and brackets: count from the last one.
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: list[int] = []
    level = {root}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found.extend(level)
    return sorted(found)


def cpu_ns(pids: list[int]) -> int:
    """CPU time of all threads of these processes; schedstat counts nanoseconds, stat only ticks."""
    total = 0
    for pid in pids:
        for task in (PROC / str(pid) / "task").glob("*"):
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:
                continue
    return total


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
        try:
            total += int((PROC / str(pid) / "statm").read_text().split()[1])
        except OSError:
            continue
    return total * os.sysconf("SC_PAGE_SIZE")
