"""Where an Executor's workers run: on any core, but not on that of the caller that spins for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import until

from engine import Executor

CORES = sorted(os.sched_getaffinity(0))
CALLS = 20_000


def core_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[36])


@pytest.mark.promise(119)
@pytest.mark.skipif(len(CORES) < 2, reason="it takes two cores")
def test_a_worker_leaves_the_core_of_its_caller() -> None:
    with Executor(1) as executor:
        executor.submit(pow, 2, 8).result()
        (worker,) = until(executor.workers)
        everywhere = os.sched_getaffinity(worker)
        assert everywhere == set(CORES)
        os.sched_setaffinity(0, CORES[:1])
        try:
            os.sched_setaffinity(worker, CORES[:1])
            executor.submit(pow, 2, 8).result()  # woken there
            os.sched_setaffinity(worker, everywhere)
            assert core_of(worker) == CORES[0]
            for _ in range(CALLS):
                executor.submit(pow, 2, 8).result()
                if core_of(worker) != CORES[0]:
                    break
            assert core_of(worker) != CORES[0]
            until(lambda: os.sched_getaffinity(worker) == everywhere)
        finally:
            os.sched_setaffinity(0, CORES)


@pytest.mark.promise(119)
def test_a_worker_s_own_affinity_is_kept() -> None:
    """A task may say where it runs; what a worker does about its caller changes nothing of that."""
    with Executor(1) as executor:
        executor.submit(os.sched_setaffinity, 0, CORES[-1:]).result()
        for _ in range(1000):
            executor.submit(pow, 2, 8).result()
        assert executor.submit(os.sched_getaffinity, 0).result() == set(CORES[-1:])
