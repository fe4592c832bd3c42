"""AsyncEngine: awaited in the caller's loop, asyncio's or uvloop's."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop
from engine._native import lib
from support import FUNCTIONS, Gate

from engine import (
    AsyncEngine,
    EngineClosed,
    EngineError,
    FunctionCrashed,
    FunctionError,
    FunctionNotFound,
    FunctionTimeout,
    InitError,
    InvalidConfiguration,
    InvalidEvent,
    PayloadTooLarge,
    TooManyRequests,
)

Run = Callable[[Callable[[AsyncEngine], Awaitable[Any]]], Any]


@pytest.fixture(params=["asyncio", pytest.param("uvloop", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine function with an engine, in a loop of its own; a result takes at most 30 s."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def running(main: Callable[[AsyncEngine], Awaitable[Any]], **options: Any) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(30), AsyncEngine(logs=False, **options) as engine:
                return await main(engine)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(bounded())

    return running


async def until(condition: Callable[[], Any]) -> Any:
    while not (value := condition()):
        await asyncio.sleep(0.001)
    return value


def test_invoke(run: Run) -> None:
    async def main(engine: AsyncEngine) -> None:
        echo = await engine.function("app:echo", code=FUNCTIONS)
        assert await echo.invoke({"n": 1}) == {"n": 1}
        assert await echo.invoke() is None
        for size in (0, 5000, lib.STK_INLINE + 1, 1_000_000):
            assert await echo.invoke("x" * size) == "x" * size
        assert repr(echo) == "<AsyncFunction app-echo>"
        assert len(echo.workers()) == 1
        assert engine.stats()["app-echo"].invocations == 6

    run(main)


def test_many_in_flight(run: Run) -> None:
    async def main(engine: AsyncEngine) -> None:
        echo = await engine.function("app:echo", code=FUNCTIONS, concurrency=2, warm=2)
        for _ in range(3):
            assert await asyncio.gather(*(echo.invoke(n) for n in range(300))) == list(range(300))
        assert engine.stats()["app-echo"].invocations == 900

    run(main)


@pytest.mark.slow
def test_a_cold_loop_is_woken(run: Run) -> None:
    """With nothing in between, each result must wake the loop."""

    async def main(engine: AsyncEngine) -> None:
        echo = await engine.function("app:echo", code=FUNCTIONS)
        for n in range(50):
            await asyncio.sleep(0.002)
            assert await echo.invoke(n) == n

    run(main)
    run(main, spin=0.0)


def test_invoke_raw(run: Run) -> None:
    async def main(engine: AsyncEngine) -> None:
        echo = await engine.function("app:echo", code=FUNCTIONS)
        reply = await echo.invoke_raw(b"[1, 2]")
        assert reply.payload == b"[1,2]"
        assert reply.function_error is None
        assert reply.log_tail.startswith(f"START RequestId: {reply.request_id} ")
        fail = await engine.function("app:fail", code=FUNCTIONS)
        assert (await fail.invoke_raw(b'"x"')).function_error == "Unhandled"
        with pytest.raises(InvalidEvent):
            await echo.invoke_raw(b"{")

    run(main)


def test_raw_codec(run: Run) -> None:
    async def main(engine: AsyncEngine) -> None:
        echo = await engine.function("app:raw_echo", code=FUNCTIONS, codec="raw")
        for event in (b"", b"{", bytes(4096), bytes(100_000)):
            assert await echo.invoke(memoryview(event)) == event
        assert [x async for x in echo.map([b"a", b"b"])] == [b"a", b"b"]
        with pytest.raises(InvalidEvent):
            await echo.invoke("text")

    run(main)


def test_results_that_the_fast_codec_refuses(run: Run) -> None:
    async def main(engine: AsyncEngine) -> None:
        evaluate = await engine.function("app:evaluate", code=FUNCTIONS)
        several = [evaluate.invoke(e) for e in ("1", "'\\ud800'", "2", "10**40", "3")]
        assert await asyncio.gather(*several) == [1, "\ud800", 2, 10**40, 3]
        assert [x async for x in evaluate.map(["'\\ud800'", "4"])] == ["\ud800", 4]

    run(main)


def test_errors(run: Run) -> None:
    async def main(engine: AsyncEngine) -> None:
        fail = await engine.function("app:fail", code=FUNCTIONS)
        with pytest.raises(FunctionError, match="^Trouble: why$") as caught:
            await fail.invoke("why")
        assert len(caught.value.stack_trace) == 2
        slow = await engine.function("app:forever", code=FUNCTIONS, timeout=0.2)
        with pytest.raises(FunctionTimeout, match=r"Task timed out after 0\.20 seconds"):
            await slow.invoke()
        ends = await engine.function("app:exit_hard", code=FUNCTIONS)
        with pytest.raises(FunctionCrashed, match="exit status 3"):
            await ends.invoke(3)
        with pytest.raises(InvalidEvent):
            await ends.invoke(object())
        with pytest.raises(PayloadTooLarge):
            await ends.invoke_raw(bytes(7_000_000))
        with pytest.raises(InitError, match="missing on module"):
            await engine.function("app:nothing", code=FUNCTIONS)
        with pytest.raises(InvalidConfiguration):
            await engine.function("app:echo", code=FUNCTIONS, memory=1)
        fail.remove()
        with pytest.raises(FunctionNotFound):
            await fail.invoke("x")

    run(main)


def test_a_callback_that_raises_costs_nobody_elses_result(run: Run) -> None:
    async def main(engine: AsyncEngine) -> None:
        await engine.function("app:echo", code=FUNCTIONS)
        await engine.function("app:fail", code=FUNCTIONS)
        loop, reaper, targets = asyncio.get_running_loop(), engine._reaper, engine._runtime.entries
        assert reaper is not None
        reported: list[Any] = []
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

        def done(outcome: Any, value: Any) -> None:
            raise LookupError("mine")

        results = [loop.create_future() for _ in range(4)]
        for future in results[:3]:
            reaper.submit(targets["app-echo"], b"1", done)
            reaper.submit(targets["app-fail"], b"1", done)
            reaper.start(targets["app-echo"], b"2", future)
        reaper.start(targets["app-fail"], b"2", results[3])
        time.sleep(0.1)  # so that all are done when the loop looks
        *values, failed = await asyncio.wait_for(asyncio.gather(*results), 10)
        assert values == [2, 2, 2]
        assert failed.status == lib.STK_FAULT
        await until(lambda: len(reported) == 6)
        assert {str(error) for error in reported} == {"mine"}
        assert not reaper._mailbox.waiting

    run(main)


def test_a_full_line(run: Run, gate: Gate) -> None:
    async def main(engine: AsyncEngine) -> None:
        held = await engine.function("app:gated", code=FUNCTIONS, waiting=1)
        tasks = [asyncio.ensure_future(held.invoke(gate.event(0)))]
        await until(gate.arrived)
        tasks.append(asyncio.ensure_future(held.invoke(gate.event(1))))
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            await held.invoke(gate.event(2))
        gate.open()
        assert await asyncio.gather(*tasks) == [0, 1]

    run(main)


@pytest.mark.promise(8)
def test_cancelling_what_waits_withdraws_it(run: Run, gate: Gate) -> None:
    async def main(engine: AsyncEngine) -> None:
        held = await engine.function("app:gated", code=FUNCTIONS)
        running = asyncio.ensure_future(held.invoke(gate.event("running")))
        await until(gate.arrived)
        waiting = [asyncio.ensure_future(held.invoke(gate.event(n))) for n in range(4)]
        raw = asyncio.ensure_future(held.invoke_raw(b"1"))
        await asyncio.sleep(0)
        for task in (waiting[0], waiting[2], raw):
            task.cancel()
        for task in (waiting[0], waiting[2], raw):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert engine.stats()["app-gated"].cancelled == 3
        gate.open()
        assert await asyncio.gather(running, waiting[1], waiting[3]) == ["running", 1, 3]
        assert gate.arrived() == ["running", 1, 3]

    run(main)


@pytest.mark.promise(8)
def test_cancelling_what_runs_lets_it_run(run: Run, gate: Gate) -> None:
    async def main(engine: AsyncEngine) -> None:
        held = await engine.function("app:gated", code=FUNCTIONS)
        running = asyncio.ensure_future(held.invoke(gate.event("first")))
        await until(gate.arrived)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        gate.open()
        assert await held.invoke(gate.event("second")) == "second"
        assert gate.arrived() == ["first", "second"]
        stats = engine.stats()["app-gated"]
        assert (stats.invocations, stats.cancelled, stats.in_flight) == (2, 0, 0)
        assert not engine._reaper._mailbox.waiting  # nothing is kept for a caller that left

    run(main)


def test_a_timeout_of_the_callers(run: Run, gate: Gate) -> None:
    async def main(engine: AsyncEngine) -> None:
        held = await engine.function("app:gated", code=FUNCTIONS)
        with pytest.raises(TimeoutError) as caught:
            await asyncio.wait_for(held.invoke(gate.event(1)), 0.2)
        assert not isinstance(caught.value, FunctionTimeout)
        gate.open()
        assert await held.invoke(gate.event(2)) == 2

    run(main)


def test_the_loop_goes_on_while_a_call_waits(run: Run, gate: Gate) -> None:
    async def main(engine: AsyncEngine) -> None:
        held = await engine.function("app:gated", code=FUNCTIONS)
        running = asyncio.ensure_future(held.invoke(gate.event(1)))
        turns = 0
        while turns < 200:
            await asyncio.sleep(0.001)
            turns += 1
        assert not running.done()
        gate.open()
        assert await running == 1

    run(main)


@pytest.mark.slow
def test_a_waiting_loop_uses_no_cpu(run: Run, gate: Gate) -> None:
    async def main(engine: AsyncEngine) -> float:
        held = await engine.function("app:gated", code=FUNCTIONS)
        running = asyncio.ensure_future(held.invoke(gate.event(1)))
        await until(gate.arrived)
        begin = time.process_time()
        await asyncio.sleep(0.5)
        used = time.process_time() - begin
        gate.open()
        await running
        return used

    assert run(main) < 0.1


class TestMap:
    @pytest.mark.promise(33)
    def test_in_order(self, run: Run) -> None:
        async def main(engine: AsyncEngine) -> None:
            echo = await engine.function("app:echo", code=FUNCTIONS, concurrency=2, warm=2)
            assert [x async for x in echo.map(range(1000))] == list(range(1000))
            assert [x async for x in echo.map([])] == []
            assert [x async for x in echo.map(range(20), ahead=1)] == list(range(20))

        run(main)

    def test_an_asynchronous_source(self, run: Run) -> None:
        async def main(engine: AsyncEngine) -> None:
            async def source() -> AsyncIterator[int]:
                for n in range(100):
                    if n % 10 == 0:
                        await asyncio.sleep(0)
                    yield n

            echo = await engine.function("app:echo", code=FUNCTIONS)
            assert [x async for x in echo.map(source())] == list(range(100))

        run(main)

    def test_the_look_ahead_is_bounded(self, run: Run) -> None:
        async def main(engine: AsyncEngine) -> None:
            read = 0

            def source() -> Iterator[int]:
                nonlocal read
                for n in itertools.count():
                    read = n + 1
                    yield n

            echo = await engine.function("app:echo", code=FUNCTIONS)
            results = echo.map(source(), ahead=8)
            async for value in results:
                assert read <= value + 1 + 8
                if value == 200:
                    break
            await results.aclose()
            assert await echo.invoke("on") == "on"

        run(main)

    def test_an_early_end_withdraws_what_waits(self, run: Run, gate: Gate) -> None:
        async def main(engine: AsyncEngine) -> None:
            held = await engine.function("app:gated", code=FUNCTIONS)
            free = {**gate.event("free"), "gate": str(gate.arrivals)}
            results = held.map([free, *(gate.event(n) for n in range(10))])
            assert await anext(results) == "free"
            await until(lambda: len(gate.arrived()) == 2)
            await results.aclose()
            gate.open()
            assert await held.invoke(gate.event("after")) == "after"
            assert gate.arrived() == ["free", 0, "after"]

        run(main)

    def test_a_failure_in_its_place(self, run: Run) -> None:
        async def main(engine: AsyncEngine) -> None:
            odd = await engine.function("app:fail_if_odd", code=FUNCTIONS)
            got = []
            with pytest.raises(FunctionError, match="odd: 5"):
                async for value in odd.map([0, 2, 4, 5, 6]):
                    got.append(value)
            assert got == [0, 2, 4]
            assert await odd.invoke(8) == 8

        run(main)

    def test_a_line_shorter_than_the_window(self, run: Run) -> None:
        async def main(engine: AsyncEngine) -> None:
            echo = await engine.function("app:echo", code=FUNCTIONS, waiting=2)
            assert [x async for x in echo.map(range(200))] == list(range(200))

        run(main)

    def test_the_window_must_hold_something(self, run: Run) -> None:
        async def main(engine: AsyncEngine) -> None:
            echo = await engine.function("app:echo", code=FUNCTIONS)
            with pytest.raises(InvalidConfiguration):
                await anext(echo.map([1], ahead=0))

        run(main)


@pytest.mark.promise(42)
def test_closing_drains(run: Run, gate: Gate) -> None:
    async def main(engine: AsyncEngine) -> None:
        held = await engine.function("app:gated", code=FUNCTIONS)
        running = asyncio.ensure_future(held.invoke(gate.event(1)))
        await until(gate.arrived)
        closing = asyncio.ensure_future(engine.close())
        with pytest.raises(EngineClosed):
            while True:
                await asyncio.sleep(0.001)
                await asyncio.wait_for(held.invoke(gate.event(2)), 0.001)
        gate.open()
        await closing
        assert await running == 1
        await engine.close()
        with pytest.raises(EngineClosed):
            await held.invoke(1)

    async def tolerant(engine: AsyncEngine) -> None:
        try:
            await main(engine)
        except TimeoutError:
            pytest.fail("the engine accepted an invocation while it closed")

    run(tolerant)


def test_closing_without_patience_answers_everybody(run: Run, gate: Gate) -> None:
    async def main(engine: AsyncEngine) -> None:
        held = await engine.function("app:gated", code=FUNCTIONS)
        tasks = [asyncio.ensure_future(held.invoke(gate.event(n))) for n in range(3)]
        await until(gate.arrived)
        await engine.close(drain=0)
        assert [type(e) for e in await asyncio.gather(*tasks, return_exceptions=True)] == [EngineClosed] * 3

    run(main)


def test_an_engine_belongs_to_one_loop() -> None:
    engine = AsyncEngine(logs=False)

    async def enter() -> None:
        await engine.function("app:echo", code=FUNCTIONS)

    async def enter_and_close() -> None:
        try:
            await enter()
        finally:
            await engine.close()

    with asyncio.Runner() as runner:
        runner.run(enter())
        with asyncio.Runner() as other, pytest.raises(EngineError, match="belongs to one event loop"):
            other.run(enter())
        runner.run(engine.close())


def test_two_engines_in_one_loop(run: Run) -> None:
    async def main(engine: AsyncEngine) -> None:
        async with AsyncEngine(logs=False) as other:
            a = await engine.function("app:count", code=FUNCTIONS)
            b = await other.function("app:count", code=FUNCTIONS)
            assert await asyncio.gather(a.invoke(), b.invoke(), a.invoke()) == [1, 1, 2]

    run(main)
