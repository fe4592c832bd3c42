"""How many invocations of a function are begun at once, by how large its responses are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hosted import until

from engine.http.budget import MIB
from engine.http.pace import ALL, SLOW, UNKNOWN, Pace


class Runs:
    """Invocations by their numbers in a pace."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.begun: list[int] = []

    def ask(self, count: int) -> None:
        for _ in range(count):
            self.pace.begin(self.begun.append)


def paced(body: Callable[[Runs], Awaitable[None]]) -> None:
    async def inside() -> None:
        await body(Runs())

    asyncio.run(inside())


@pytest.mark.parametrize("size", [MIB, 5 * MIB, ALL, 2 * ALL])
def test_as_many_as_fill_what_there_is(size: int) -> None:
    async def body(runs: Runs) -> None:
        width = max(1, ALL // size)
        runs.ask(UNKNOWN + 3)
        assert len(runs.begun) == UNKNOWN and runs.pace.at_once() == 0
        for number in runs.begun[:UNKNOWN]:
            runs.pace.ended(number, size, 0.0)
        await until(lambda: len(runs.begun) >= UNKNOWN + min(width, 3))
        assert len(runs.begun) == UNKNOWN + min(width, 3)
        while len(runs.begun) < UNKNOWN + 3:
            before = len(runs.begun)
            runs.pace.ended(runs.begun[-1], size, 0.0)
            await until(lambda before=before: len(runs.begun) > before)
            assert len(runs.begun) == before + 1
        for number in runs.begun:
            runs.pace.ended(number, size, 0.0)
        assert runs.pace.at_rest
        numbers = [runs.pace.at_once() for _ in range(width + 1)]
        assert all(numbers[:width]) and numbers[width] == 0

    paced(body)


def test_small_ones_have_none() -> None:
    async def body(runs: Runs) -> None:
        runs.ask(UNKNOWN + 50)
        runs.pace.ended(runs.begun[0], 0, 0.0)
        assert len(runs.begun) == UNKNOWN + 50 and runs.pace.at_once()

    paced(body)


def test_what_is_slow_is_no_part_of_a_flood() -> None:
    async def body(runs: Runs) -> None:
        began = asyncio.get_running_loop().time()
        runs.ask(UNKNOWN + 1)
        assert len(runs.begun) == UNKNOWN
        await until(lambda: len(runs.begun) == UNKNOWN + 1)
        assert asyncio.get_running_loop().time() - began >= SLOW
        assert runs.pace.at_once(), "the others are slow, too"
        for number in runs.begun:
            runs.pace.ended(number, MIB, 0.0)

    paced(body)


def test_it_rests_after_a_response_that_kept_the_loop() -> None:
    async def body(runs: Runs) -> None:
        runs.ask(UNKNOWN + 1)
        began = asyncio.get_running_loop().time()
        runs.pace.ended(runs.begun[0], MIB, 0.05)
        assert len(runs.begun) == UNKNOWN and runs.pace.at_once() == 0
        await until(lambda: len(runs.begun) == UNKNOWN + 1)
        assert asyncio.get_running_loop().time() - began >= 0.15

    paced(body)
