"""How much memory, and how many processes, a worker and what it started use."""

from __future__ import annotations

import os
from dataclasses import dataclass

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_MOST = 4096


@dataclass(frozen=True, slots=True)
class Usage:
    """kib: resident memory of the tree, file-backed and lane pages left out; processes: its size."""

    kib: int
    processes: int


def usage(pid: int) -> Usage:
    """A worker's tree now. A process that ends meanwhile counts as nothing."""
    kib = processes = 0
    waiting = [pid]
    while waiting and processes < _MOST:
        current = waiting.pop()
        try:
            with open(f"/proc/{current}/statm") as file:
                fields = file.read().split()
            with open(f"/proc/{current}/task/{current}/children") as file:
                waiting += [int(child) for child in file.read().split()]
        except (OSError, ValueError):
            continue
        kib += (int(fields[1]) - int(fields[2])) * _PAGE_KIB
        processes += 1
    return Usage(kib, processes)
