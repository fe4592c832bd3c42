"""submit(): futures, cancelling, and what waits with them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import FUNCTIONS, Gate, until

from engine import Engine, EngineClosed, FunctionError, InvalidEvent

Function = Callable[..., Any]


def test_results_in_any_order(function: Function) -> None:
    echo = function("echo", concurrency=2, warm=2)
    futures = {echo.submit(n): n for n in range(200)}
    for future in concurrent.futures.as_completed(futures, timeout=30):
        assert future.result() == futures[future]


def test_a_failure_is_the_futures(function: Function) -> None:
    future = function("fail").submit("why")
    error = future.exception(20)
    assert isinstance(error, FunctionError)
    assert error.error_message == "why"


def test_callbacks_run(function: Function) -> None:
    seen: list[Any] = []
    future = function("echo").submit(7)
    future.add_done_callback(lambda f: seen.append(f.result()))
    until(lambda: seen == [7])


def test_a_future_for_which_nobody_asks_completes(function: Function) -> None:
    futures = [function("echo").submit(n) for n in range(300)]
    until(lambda: all(future.done() for future in futures))
    assert [future.result(0) for future in futures] == list(range(300))


def test_callbacks_may_wait_for_other_results(function: Function) -> None:
    echo, seen, done = function("echo"), list[Any](), threading.Event()

    def then(future: concurrent.futures.Future[Any]) -> None:
        seen.append(echo.submit(future.result() + 1).result(20))
        done.set()

    echo.submit(1).add_done_callback(then)
    assert done.wait(20)
    assert seen == [2]


def test_many_threads_ask_at_once(function: Function) -> None:
    """Each for its own results, and all for the same one: one of them looks for all."""
    echo = function("echo", concurrency=2, waiting=10_000)
    results: list[list[Any]] = [[] for _ in range(8)]
    shared = [echo.submit(n) for n in range(200)]

    def ask(mine: list[Any]) -> None:
        for n, future in enumerate(shared):
            mine.append((future.result(20), echo.submit(n).result(20)))

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [[(n, n) for n in range(200)]] * 8


def test_who_waits_no_longer_leaves_the_others_theirs(function: Function, gate: Gate) -> None:
    held = function("gated")
    first, second = held.submit(gate.event(1)), held.submit(gate.event(2))
    gate.wait()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            second.result(0.01)  # the thread that looked for all
        with pytest.raises(TimeoutError):
            second.exception(0)
    waiter = threading.Thread(target=lambda: second.result(20))
    waiter.start()
    gate.open()
    assert first.result(20) == 1
    waiter.join(20)
    assert second.result(0) == 2


def test_in_a_loop(function: Function) -> None:
    echo = function("echo")

    async def main() -> list[Any]:
        return await asyncio.gather(*(asyncio.wrap_future(echo.submit(n)) for n in range(20)))

    assert asyncio.run(main()) == list(range(20))


def test_a_log_sink_may_wait_for_a_result() -> None:
    """Though it runs in the thread that looks for results, with others that are there already behind it."""
    seen: list[Any] = []

    def sink(_name: str, _request_id: str, text: str) -> None:
        seen.append((text, echo.submit(text).result(20)))

    with Engine(logs=sink) as engine:
        echo = engine.function("app:echo", code=FUNCTIONS, name="echo")
        speak = engine.function("app:speak_once", code=FUNCTIONS)
        futures = [each for n in range(20) for each in (speak.submit(str(n)), echo.submit(n))]
        concurrent.futures.wait(futures, timeout=20)
        assert [each.result(0) for each in futures[1::2]] == list(range(20))
        until(lambda: len(seen) == 20)
    assert all(text == echoed for text, echoed in seen)


def test_a_callback_may_close_the_engine() -> None:
    engine = Engine()
    echo = engine.function("app:echo", code=FUNCTIONS)
    closed = threading.Event()

    def close(_: object) -> None:
        engine.close()
        closed.set()

    first = echo.submit(1)
    first.add_done_callback(close)
    assert closed.wait(20)
    engine.close()
    assert first.result(0) == 1
    with pytest.raises(EngineClosed):
        echo.submit(2)


def test_a_forked_child_leaves_the_parents_futures_alone(function: Function, gate: Gate) -> None:
    held = function("gated")
    running, waiting = held.submit(gate.event(1)), held.submit(gate.event(2))
    gate.wait()
    child = os.fork()
    if not child:  # neither takes the result from the parent nor withdraws what that waits for
        with contextlib.suppress(TimeoutError):
            running.result(0.05)
        os._exit(10 + waiting.cancel() + running.running())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10
    gate.open()
    assert (running.result(20), waiting.result(20)) == (1, 2)


def test_an_event_that_cannot_be_encoded_fails_at_once(function: Function) -> None:
    with pytest.raises(InvalidEvent):
        function("echo").submit(object())


@pytest.mark.promise(8)
def test_what_waits_can_be_withdrawn(engine: Any, function: Function, gate: Gate) -> None:
    held = function("gated")
    running = held.submit(gate.event("running"))
    gate.wait()
    waiting = [held.submit(gate.event(n)) for n in range(5)]
    for n in (0, 2, 4):
        assert waiting[n].cancel()
        assert waiting[n].cancelled()
        assert waiting[n].cancel()  # again
    done, _ = concurrent.futures.wait([waiting[n] for n in (0, 2, 4)], timeout=20)
    assert len(done) == 3  # waiters are woken
    with pytest.raises(concurrent.futures.CancelledError):
        waiting[0].result(0)
    gate.open()
    assert running.result(20) == "running"
    assert [waiting[n].result(20) for n in (1, 3)] == [1, 3]
    assert gate.arrived() == ["running", 1, 3]
    stats = engine.stats()[held.name]
    assert (stats.invocations, stats.cancelled, stats.queue_depth) == (3, 3, 0)


def test_what_runs_cannot(function: Function, gate: Gate) -> None:
    held = function("gated")
    running = held.submit(gate.event("x"))
    gate.wait()
    assert not running.cancel()
    assert not running.cancelled()
    gate.open()
    assert running.result(20) == "x"
    assert not running.cancel()


def test_cancelling_runs_callbacks_once(function: Function, gate: Gate) -> None:
    held = function("gated")
    running = held.submit(gate.event(0))
    gate.wait()
    calls: list[bool] = []
    waiting = held.submit(gate.event(1))
    waiting.add_done_callback(lambda f: calls.append(f.cancelled()))
    assert waiting.cancel()
    gate.open()
    assert running.result(20) == 0
    assert held.invoke(gate.event(2)) == 2
    assert calls == [True]


@pytest.mark.slow
def test_cancelling_while_the_loop_delivers(function: Function, gate: Gate) -> None:
    """cancel() and the loop that hears of it meet on one future, thousands of times."""
    held = function("gated", waiting=10_000)
    running = held.submit(gate.event(0))
    gate.wait()
    for n in range(15_000):
        future = held.submit(n)
        assert future.cancel()
        assert future.cancelled()
    gate.open()
    assert running.result(20) == 0


@pytest.mark.promise(8)
def test_cancelling_from_many_threads_is_either_or(function: Function) -> None:
    """Each future is either cancelled, and did not run, or has its result."""
    count = function("count", waiting=10_000)
    futures = [count.submit() for _ in range(2000)]
    cancelled = [0, 0]

    def canceller(which: int) -> None:
        for future in futures[which::2]:
            cancelled[which] += future.cancel()

    threads = [threading.Thread(target=canceller, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    results = [f.result(20) for f in futures if not f.cancelled()]
    assert sorted(results) == list(range(1, len(futures) - sum(cancelled) + 1))


def test_a_closing_engine_answers_what_it_accepted(gate: Gate) -> None:
    engine = Engine()
    held = engine.function("app:gated", code=FUNCTIONS)
    futures = [held.submit(gate.event(n)) for n in range(4)]
    gate.wait()
    engine.close(drain=0)
    for future in futures:
        with pytest.raises(EngineClosed):
            future.result(20)


@pytest.mark.promise(42)
def test_a_closing_engine_drains_first(gate: Gate) -> None:
    engine = Engine()
    held = engine.function("app:gated", code=FUNCTIONS)
    futures = [held.submit(gate.event(n)) for n in range(4)]
    gate.wait()
    closer = threading.Thread(target=engine.close)
    closer.start()

    def refused() -> bool:
        try:
            held.submit(gate.event(9)).cancel()
        except EngineClosed:
            return True
        return False

    until(refused)
    gate.open()
    closer.join(30)
    assert [future.result(0) for future in futures] == [0, 1, 2, 3]
