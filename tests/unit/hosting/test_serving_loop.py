"""A server's loop: on which core it runs, and when it sleeps."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path

import pytest
from engine._native import lib
from hosted import HERE, Hosted, run, until

from engine.calls.reaper import Reaper

SPIN = 200e-6


def serving(hosted: Hosted, spin: float = SPIN) -> Reaper:
    """In the place of the one that is there."""
    hosted.reaper.close()
    loop = asyncio.get_running_loop()
    made = Reaper(hosted.runtime.dispatch, loop, hosted.runtime.data_epoll, int(spin * 1e9), serving=True)
    hosted.reaper = hosted.hosting.reaper = made
    return made


def sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def core() -> int:
    """That this thread runs on."""
    return int(Path("/proc/thread-self/stat").read_text().rpartition(")")[2].split()[36])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_it_leaves_the_core_of_the_workers_that_it_waits_for(tmp_path: Path) -> None:
    async def body(hosted: Hosted) -> None:
        reaper, all_cores = serving(hosted), os.sched_getaffinity(0)
        hosted.put(HERE)
        await hosted.invoke(HERE)
        entry = hosted.hosting.of(HERE).invoker.route("f", None).deployment.entry
        assert entry is not None
        await until(lambda: hosted.runtime.supervisor.workers(entry.index))
        home, there = min(all_cores), tmp_path / "there"
        for worker in hosted.runtime.supervisor.workers(entry.index):
            os.sched_setaffinity(worker, {home})
        # One that wakes says where it is; one that spins may take its event before it has noticed that it was moved.
        await until(lambda: all(map(sleeps, hosted.runtime.supervisor.workers(entry.index))))
        waits = asyncio.ensure_future(hosted.invoke(HERE, {"until": str(there)}))

        def moved() -> bool:
            os.sched_setaffinity(0, {home})
            os.sched_setaffinity(0, all_cores)
            return bool(lib.stk_loop_aside(reaper._box)) and core() != home

        await until(moved)
        assert os.sched_getaffinity(0) == all_cores
        there.touch()
        await waits
        assert not lib.stk_loop_aside(reaper._box), "nothing is awaited"

    run(tmp_path, body)


def test_it_sleeps_when_nobody_asks(tmp_path: Path) -> None:
    async def body(hosted: Hosted) -> None:
        serving(hosted)
        hosted.put(HERE)
        for _ in range(50):  # one after the other, as soon as can be
            await hosted.invoke(HERE)
        began = time.thread_time()
        await asyncio.sleep(0.3)
        assert time.thread_time() - began < 0.05

    run(tmp_path, body)


@pytest.mark.promise(350)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core, where nothing spins")
def test_what_it_waited_for_a_call_is_not_taken_from_the_call_s_own_time(tmp_path: Path) -> None:
    async def body(hosted: Hosted) -> None:
        reaper = serving(hosted, spin=600.0)
        hosted.put(HERE)
        for _ in range(3):  # so that the loop waits awake for the next one
            await hosted.invoke(HERE)
        await until(lambda: reaper._until)
        reaper.heat()
        assert reaper._until == 0

    run(tmp_path, body)


@pytest.mark.promise(351)
def test_its_workers_have_turns_as_long_as_a_client_s(tmp_path: Path) -> None:
    """Who may be placed on a worker's core."""

    def turns(pid: int) -> list[str]:
        return re.findall(r"^se\.slice.*$", Path(f"/proc/{pid}/sched").read_text(), re.MULTILINE)

    async def body(hosted: Hosted) -> None:
        hosted.put(HERE)
        await hosted.invoke(HERE)
        entry = hosted.hosting.of(HERE).invoker.route("f", None).deployment.entry
        assert entry is not None
        workers = hosted.runtime.supervisor.workers(entry.index)
        assert workers and all(turns(worker) == turns(os.getpid()) for worker in workers)

    run(tmp_path, body)
