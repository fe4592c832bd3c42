"""A loop's mailbox: who waits gets one result and is let go, whatever else happens."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from engine._native import lib
from support import FUNCTIONS, Gate

from engine import AsyncEngine, EngineError, PayloadTooLarge
from engine._call import Mailbox
from engine.calls.reaper import Reaper

Main = Callable[[AsyncEngine, Reaper], Awaitable[None]]


def run(main: Main) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), AsyncEngine(logs=False) as engine:
            await engine.function("app:echo", code=FUNCTIONS)
            await engine.function("app:fail", code=FUNCTIONS)
            await engine.function("app:evaluate", code=FUNCTIONS)
            await main(engine, engine._reaping())

    asyncio.run(bounded())


async def ended(reaper: Reaper) -> None:
    while reaper._mailbox.waiting:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("name", "event", "flags"),
    [
        ("app-echo", b"1", 0),
        ("app-echo", b'"%s"' % (b"x" * 100_000), 0),
        ("app-echo", b"1", lib.STK_WANT_TAIL),
        ("app-echo", b"no JSON", 0),
        ("app-fail", b"1", 0),
        ("app-evaluate", b"\"float('nan')\"", 0),  # which json takes alone
    ],
    ids=["plain", "large", "a record", "a bad event", "a failure", "not for the fast decoder"],
)
@pytest.mark.parametrize("raises", [False, True], ids=["", "it raises"])
def test_a_callback_is_called_once_and_let_go(name: str, event: bytes, flags: int, raises: bool) -> None:
    async def main(engine: AsyncEngine, reaper: Reaper) -> None:
        reported: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["exception"])
        )
        called: list[Any] = []

        def done(outcome: Any, value: Any) -> None:
            called.append(outcome)
            if raises:
                raise LookupError("mine")

        before = sys.getrefcount(done)
        for _ in range(3):
            reaper.submit(engine._runtime.entries[name], event, done, flags)
        assert sys.getrefcount(done) == before + 3
        reaper.heat()
        await ended(reaper)
        assert (len(called), len(reported)) == (3, 3 * raises)
        reported.clear()
        await asyncio.sleep(0)
        assert sys.getrefcount(done) == before

    run(main)


def test_what_is_refused_is_let_go() -> None:
    async def main(engine: AsyncEngine, reaper: Reaper) -> None:
        def done(outcome: Any, value: Any) -> None:
            raise AssertionError

        before = sys.getrefcount(done)
        with pytest.raises(PayloadTooLarge):
            reaper.submit(engine._runtime.entries["app-echo"], bytes(7_000_000), done)
        for wrong in (("a", b"", done, False, 0, None, 0), (0, "no bytes", done, False, 0, None, 0),
                      (0, b"", done, False, 0, b"short", 0), (0, b"", done, False, 0, None, -1), ()):  # fmt: skip
            with pytest.raises((TypeError, ValueError, OverflowError)):
                reaper._mailbox.submit(*wrong)
        assert (sys.getrefcount(done), reaper._mailbox.waiting) == (before, 0)

    run(main)


def test_an_interrupt_costs_nobody_elses_result() -> None:
    """It goes on to whoever looks, once all that was there is delivered."""

    async def main(engine: AsyncEngine, reaper: Reaper) -> None:
        entry, called = engine._runtime.entries["app-echo"], []

        def interrupted(outcome: Any, value: Any) -> None:
            called.append(value)
            raise KeyboardInterrupt

        tickets = [reaper.submit(entry, b"1", interrupted) for _ in range(4)]
        future = asyncio.get_running_loop().create_future()
        tickets.append(reaper.start(entry, b"2", future))
        while lib.stk_begun(reaper.engine, tickets[-1]) or lib.stk_busy_lanes(reaper.engine):
            lib.stk_drain_all(reaper.engine)
        with pytest.raises(KeyboardInterrupt):
            reaper._mailbox.look(0)
        assert called == [1] * 4
        assert future.result() == 2

    run(main)


def test_a_callback_that_looks_finds_nothing() -> None:
    async def main(engine: AsyncEngine, reaper: Reaper) -> None:
        entry, found = engine._runtime.entries["app-echo"], []
        for _ in range(200):
            reaper.submit(entry, b"1", lambda outcome, value: found.append((value, reaper._mailbox.look(0))))
        reaper.heat()
        await ended(reaper)
        assert found == [(1, 0)] * 200

    run(main)


def test_a_token_names_one_use_of_its_slot() -> None:
    async def main(engine: AsyncEngine, reaper: Reaper) -> None:
        mailbox, got = reaper._mailbox, []
        entry = engine._runtime.entries["app-echo"]
        for n in range(3):
            reaper.submit(entry, b"%d" % n, lambda outcome, value: got.append(value))
            for token in (0, 1 << 32 | 5000, (n + 2) << 32, *(use << 32 for use in range(1, n + 1))):
                mailbox.drop(token)
            reaper.heat()
            await ended(reaper)
        assert got == [0, 1, 2]

    run(main)


def test_many_come_and_leave() -> None:
    async def main(engine: AsyncEngine, reaper: Reaper) -> None:
        draw = random.Random(1)
        functions = [
            await engine.function(f"app:{name}", code=FUNCTIONS, concurrency=2) for name in ("echo", "fail")
        ]

        async def caller(number: int) -> None:
            for n in range(40):
                call = asyncio.ensure_future(draw.choice(functions).invoke([number, n]))
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
                if draw.random() < 0.3:
                    call.cancel()
                try:
                    assert await call == [number, n]
                except (EngineError, asyncio.CancelledError):
                    continue

        await asyncio.gather(*(caller(number) for number in range(100)))
        assert reaper._mailbox.waiting == 0
        assert engine.stats()["app-echo"].in_flight == 0

    run(main)


def test_a_closed_one_lets_everybody_go_and_takes_nobody(gate: Gate) -> None:
    async def main(engine: AsyncEngine, reaper: Reaper) -> None:
        held = await engine.function("app:gated", code=FUNCTIONS)
        other = Mailbox(engine._runtime.dispatch._address, [])

        def done(outcome: Any, value: Any) -> None:
            raise AssertionError

        before = sys.getrefcount(done)
        index = engine._runtime.entries[held.name].index
        event = json.dumps(gate.event()).encode()
        for _ in range(200):  # of which one runs
            assert other.submit(index, event, done, False, 0, None, 0) > 0
        while not gate.arrived():
            assert other.look(1000) == 0
        assert other.waiting == 200
        other.close()
        other.close()
        assert (other.waiting, other.address, sys.getrefcount(done)) == (0, 0, before)
        assert other.submit(index, b"1", done, False, 0, None, 0) == lib.STK_SHUT
        assert (other.look(1000), sys.getrefcount(done)) == (0, before)
        gate.open()

    run(main)


def test_a_loop_goes_on_after_an_interrupt() -> None:
    async def begun() -> AsyncEngine:
        engine = await AsyncEngine(logs=False).__aenter__()
        await engine.function("app:echo", code=FUNCTIONS)
        return engine

    def interrupted(outcome: Any, value: Any) -> None:
        raise KeyboardInterrupt

    async def interrupt(engine: AsyncEngine) -> None:
        reaper = engine._reaping()
        reaper.submit(engine._runtime.entries["app-echo"], b"1", interrupted)
        reaper.heat()
        await ended(reaper)

    async def going_on(engine: AsyncEngine) -> None:
        future = asyncio.get_running_loop().create_future()
        engine._reaping().start(engine._runtime.entries["app-echo"], b"2", future)
        assert await asyncio.wait_for(future, 30) == 2
        await engine.close()

    loop = asyncio.new_event_loop()
    engine = loop.run_until_complete(begun())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(interrupt(engine))
    loop.run_until_complete(going_on(engine))
    loop.close()


@pytest.mark.parametrize("hot_ns", [0, 1_000_000])
def test_a_callback_may_close(hot_ns: int) -> None:
    async def main(engine: AsyncEngine, reaper: Reaper) -> None:
        runtime, loop = engine._runtime, asyncio.get_running_loop()
        other, called = Reaper(runtime.dispatch, loop, runtime.data_epoll, hot_ns), []

        def done(outcome: Any, value: Any) -> None:
            called.append(value)
            other.close()

        for name in ("app-fail", "app-echo", "app-echo"):
            other.submit(runtime.entries[name], b"1", done)
        while lib.stk_busy_lanes(other.engine):
            lib.stk_drain_all(other.engine)
        other.heat()
        other._rung()
        while not called:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert other._mailbox.address == 0

    run(main)
