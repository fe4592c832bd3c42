"""A worker and what it started: how much memory and how many processes that is, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

_MOST = 4096  # processes looked at


class Usage(NamedTuple):
    """kib: memory of the tree, file-backed pages left out; processes: its size."""

    kib: int
    processes: int


def usage(pid: int, exact: bool = False) -> Usage:
    """A worker's tree now. A process that ends meanwhile counts as nothing.

    What several processes share (after a fork, or on purpose) counts in each of them, unless `exact`, which costs
    the kernel a walk through every page table: for when the quick figure is too much.
    """
    file, names = "status", (b"RssAnon:", b"RssShmem:")
    if exact:
        file, names = "smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:")
    kib = processes = 0
    for current in _tree(pid):
        with contextlib.suppress(OSError, ValueError):
            kib += sum(_kib(f"/proc/{current}/{file}", names))
            processes += 1
        if processes == _MOST:
            break
    return Usage(kib, processes)


def kill(roots: set[int], killed: set[int]) -> None:
    """Send SIGKILL to these processes and all below them, and note them in `killed`.

    A process that was sent it forks no more, though it may take long to get the time to die. So this goes on
    until a round finds none new: against a fork bomb, a loop that waits for deaths in between would lose.
    """
    found = True
    while found:
        found = False
        for root in roots:
            for pid in _tree(root):
                if pid not in killed:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                    found = True


def reap(pid: int) -> tuple[int, int]:
    """A dead child's exit status, or -signal, and its peak memory in KiB. Its group dies with it, while its pid is
    still taken."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss


def kill_strangers(own: set[int]) -> None:
    """Kill every child but these (the rest are adopted orphans) and all below it, until none is left."""
    while strangers := set(children(os.getpid())) - own:
        kill(strangers, set())
        for pid in strangers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError, ValueError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # a child belongs to the thread that forked it
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(child) for child in file.read().split()]
    return found


def _tree(root: int) -> Iterator[int]:
    waiting = [root]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += children(current)


def _kib(path: str, names: tuple[bytes, ...]) -> Iterator[int]:
    with open(path, "rb") as lines:
        for line in lines:
            if line.startswith(names):
                yield int(line.split()[1])
