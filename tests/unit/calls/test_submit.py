"""submit(): futures, cancelling, and what waits with them."""

from __future__ import annotations

import concurrent.futures
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


@pytest.mark.promise(41)
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
