"""A trace is replayed without being held, and the same each time.

20,000 invocations of 200 functions; 100,000 of 500: python -m pytest tests/unit/load/test_replay.py -m soak.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from traces import write
from virtual import run_open

from engine.load.generate.arrivals import synthesize
from engine.load.generate.record import Record, Response
from engine.load.scenario.scenario import Scenario, scenario

SECONDS, SPEED = 3600.0, 60.0
SIZES = [(200, 20_000), pytest.param((500, 100_000), marks=pytest.mark.soak)]  # functions, invocations
Size = tuple[int, int]
MIB = 1 << 20
pytestmark = pytest.mark.slow


def replay(trace: str, seed: int = 1, base: Path = Path()) -> Scenario:
    settings: dict[str, Any] = {
        "trace": trace,
        "speed": SPEED,
        "seed": seed,
        "template": '{"of": {{function}}, "seconds": {{duration}}, "id": "{{uuid}}", "n": {{integer:1:6}}}',
        "expect": "echo",
    }
    return scenario("app:handler", settings, base)


def made_up(size: Size, seed: int = 1) -> Scenario:
    return replay(f"synthetic:{size[0]}:{size[1]}:{SECONDS:g}", seed)


def planned(made: Scenario) -> Iterator[tuple[float, int, bytes]]:
    """When, to which function, what: of all requests in turn."""
    payloads = made.payloads()
    for number, (at, function) in enumerate(made.schedule):
        yield at, function, payloads.make(number, function)


def fingerprint(made: Scenario, times: bool = True) -> str:
    digest = hashlib.sha256()
    for at, function, payload in planned(made):
        digest.update(b"%a %d %b\n" % (at if times else 0.0, function, payload))
    return digest.hexdigest()


class Memory:
    """The most blocks of Python's allocator that were held more than before, in either half of all invocations: an
    object is one or two. To trace each with its size takes ten times as long."""

    def __init__(self, invocations: int) -> None:
        self._invocations = invocations
        gc.collect()
        self._before = sys.getallocatedblocks()
        self._steps = 0
        self._most = [0, 0]

    def step(self) -> None:
        half = self._steps * 2 // self._invocations
        self._most[half] = max(self._most[half], sys.getallocatedblocks() - self._before)
        self._steps += 1

    def check(self, bound: int) -> None:
        first, second = self._most
        assert self._steps == self._invocations
        assert 0 < max(first, second) < bound
        assert second < 1.1 * first


class Answering:
    """Answers after 20 ms, and remembers no more than a sum of what it was sent."""

    def __init__(self, memory: Memory) -> None:
        self.digest = hashlib.sha256()
        self.functions: set[int] = set()
        self._memory = memory

    def send(self, payload: bytes, function: int, done: Callable[[Response], None]) -> None:
        self.digest.update(b"%a %d %b\n" % (0.0, function, payload))
        self.functions.add(function)
        asyncio.get_running_loop().call_later(0.02, done, Response("ok", payload))
        self._memory.step()


@pytest.mark.promise(84)
@pytest.mark.parametrize("size", SIZES)
def test_an_hour_at_sixty_times_speed_in_bounded_memory(size: Size) -> None:
    """Held whole, its times and functions alone would be two blocks of each."""
    functions, invocations = size
    made, record, memory = made_up(size), Record(), Memory(invocations)
    target = Answering(memory)
    run_open(target, made.schedule, record, payloads=made.payloads(), check=made.checks())
    memory.check(15_000 + invocations // 4)
    assert made.schedule.duration == SECONDS / SPEED == 60
    assert len(record.intervals) in (60, 61)  # an answer may come after the last second
    assert record.sent == record.ended["ok"] == invocations
    assert len(target.functions) == functions
    assert target.digest.hexdigest() == fingerprint(made, times=False)


def test_the_blocks_are_small_ones() -> None:
    """What there is for each function is there from the start."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in itertools.islice(planned(made_up((500, 100_000))), 5000)) == 5000
        assert tracemalloc.get_traced_memory()[1] < 6 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.promise(84)
@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_it_too(tmp_path: Path, size: Size) -> None:
    """Held is what may have begun before another that ended earlier: 15 minutes of it, as an invocation may last; and
    that twice, for times and for payloads. Held whole, it would be ten blocks of each."""
    functions, invocations = size
    write(tmp_path / "hour.csv", synthesize(functions, invocations, SECONDS, 1))
    memory = Memory(invocations)
    for _ in planned(replay("hour.csv", base=tmp_path)):
        memory.step()
    memory.check(invocations * 3)


@pytest.mark.promise(83)
def test_the_same_seed_gives_the_same_schedule_and_payloads() -> None:
    size = 200, 20_000
    assert fingerprint(made_up(size, 1)) == fingerprint(made_up(size, 1))
    first, second = (list(itertools.islice(planned(made_up(size, seed)), 100)) for seed in (1, 2))
    assert all(a != b for a, b in zip(first, second, strict=True))
