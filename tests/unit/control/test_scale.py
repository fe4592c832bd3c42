"""How many workers a function has, and when; and what its counters say."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import FUNCTIONS, Gate, until

from engine import Engine, FunctionCrashed, FunctionError, FunctionStats, FunctionTimeout
from engine.control import ticks

Function = Callable[..., Any]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control loop looks at idle workers more often than it has to."""
    monkeypatch.setattr(ticks, "IDLE_TICK_S", 0.02)


@pytest.mark.promise(30)
def test_warm_workers_are_there_at_once(engine: Any, function: Function) -> None:
    echo = function("echo", concurrency=4, warm=3)
    stats = engine.stats()[echo.name]
    assert (stats.concurrency, stats.idle, stats.starting, stats.cold_starts) == (3, 3, 0, 0)
    assert len(set(echo.workers())) == 3


def test_without_warm_workers_the_first_call_starts_one(engine: Any, function: Function) -> None:
    cold = function("pid", warm=0)
    assert cold.workers() == []
    pid = cold.invoke()
    until(lambda: cold.workers() == [pid])  # its parent reports it: after its reply, perhaps
    assert cold.invoke() == pid
    assert engine.stats()[cold.name].cold_starts == 1


@pytest.mark.promise(12, 30)
def test_waiting_calls_get_workers_up_to_the_cap(engine: Any, function: Function, gate: Gate) -> None:
    held = function("gated", concurrency=3)
    futures = [held.submit(gate.event(n)) for n in range(6)]
    gate.wait(3)
    stats = engine.stats()[held.name]
    assert (stats.concurrency, stats.queue_depth + stats.in_flight) == (3, 6)
    assert len(gate.arrived()) == 3
    assert len(held.workers()) == 3
    gate.open()
    assert [f.result(20) for f in futures] == list(range(6))
    assert sorted(gate.arrived()) == list(range(6))


def test_a_slow_handler_gets_more_workers(engine: Any, function: Function) -> None:
    slow = function("evaluate", concurrency=2)
    list(slow.map(["__import__('time').sleep(0.02)"] * 12))
    assert engine.stats()[slow.name].concurrency == 2


@pytest.mark.promise(35)
def test_what_waits_behind_a_slow_one_is_given_to_another(function: Function, gate: Gate) -> None:
    """Short calls stack up in a lane; when its head turns out to be slow they move on."""
    either = function("gated", concurrency=2, warm=2)
    free = {**gate.event("free"), "gate": str(gate.arrivals)}
    list(either.map([free] * 300))  # measured as short now
    stuck = either.submit(gate.event("stuck"))
    gate.wait(301)
    assert list(either.map([free] * 100)) == ["free"] * 100
    assert not stuck.done()
    gate.open()
    assert stuck.result(20) == "stuck"


@pytest.mark.slow
def test_idle_workers_above_the_floor_go(engine: Any, function: Function, gate: Gate) -> None:
    held = function("gated", concurrency=3, warm=1, keep_alive=0.05)
    futures = [held.submit(gate.event(n)) for n in range(3)]
    gate.wait(3)
    pids = held.workers()
    gate.open()
    for future in futures:
        future.result(20)
    until(lambda: engine.stats()[held.name].concurrency == 1)
    until(lambda: sum(os.path.exists(f"/proc/{pid}") for pid in pids) == 1)
    assert held.invoke(gate.event(9)) == 9


def test_to_none_when_the_floor_is_none(engine: Any, function: Function) -> None:
    echo = function("echo", warm=0, keep_alive=0.0)
    assert echo.invoke(1) == 1
    until(lambda: engine.stats()[echo.name].concurrency == 0)
    assert echo.invoke(2) == 2
    assert engine.stats()[echo.name].cold_starts == 2


def test_within_keep_alive_they_stay(engine: Any, function: Function, gate: Gate) -> None:
    held = function("gated", concurrency=2, warm=0, keep_alive=60)
    futures = [held.submit(gate.event(n)) for n in range(2)]
    gate.wait(2)
    gate.open()
    for future in futures:
        future.result(20)
    other = function("echo", warm=0, keep_alive=0.0)
    other.invoke()
    until(lambda: engine.stats()[other.name].concurrency == 0)  # the control loop looked at idle workers
    assert engine.stats()[held.name].concurrency == 2


@pytest.mark.promise(30)
def test_a_killed_warm_worker_is_replaced(engine: Any, function: Function) -> None:
    echo = function("pid", concurrency=2, warm=2)
    before = set(echo.workers())
    os.kill(min(before), 9)
    after = until(lambda: (w := set(echo.workers())) != before and len(w) == 2 and w)
    assert min(before) not in after
    until(lambda: engine.stats()[echo.name].idle == 2)
    assert echo.invoke() in after


class TestFirstComeFirstServed:
    @pytest.mark.promise(32)
    def test_one_worker(self, function: Function, gate: Gate) -> None:
        held = function("gated")
        futures = [held.submit(gate.event(n)) for n in range(50)]
        gate.wait()
        gate.open()
        assert [f.result(20) for f in futures] == list(range(50))
        assert gate.arrived() == list(range(50))

    @pytest.mark.promise(32)
    def test_threads_and_futures_share_one_line(self, engine: Any, function: Function, gate: Gate) -> None:
        held = function("gated")
        held.submit(gate.event(0))
        gate.wait()
        threads, futures = [], []
        for n in range(1, 9):
            if n % 2:
                threads.append(threading.Thread(target=held.invoke, args=(gate.event(n),)))
                threads[-1].start()
            else:
                futures.append(held.submit(gate.event(n)))
            until(
                lambda n=n: (
                    engine.stats()[held.name].queue_depth + engine.stats()[held.name].in_flight == n + 1
                )
            )
        gate.open()
        for thread in threads:
            thread.join(20)
        for future in futures:
            future.result(20)
        assert gate.arrived() == list(range(9))


class TestStats:
    def test_of_a_new_function(self, engine: Any, function: Function) -> None:
        echo = function("echo")
        stats = engine.stats()[echo.name]
        assert isinstance(stats, FunctionStats)
        assert (stats.invocations, stats.errors, stats.throttles, stats.late_replies) == (0, 0, 0, 0)
        assert (stats.latency_p50, stats.latency_max, stats.latency_mean, stats.duration_p99) == (0, 0, 0, 0)

    def test_every_kind_of_end_is_counted_once(self, engine: Any, function: Function) -> None:
        mixed = function("evaluate", timeout=0.5)
        for _ in range(5):
            mixed.invoke("1")
        for _ in range(2):
            with pytest.raises(FunctionError):
                mixed.invoke("1/0")
        with pytest.raises(FunctionCrashed):
            mixed.invoke("os._exit(1)")
        with pytest.raises(FunctionTimeout):
            mixed.invoke("__import__('signal').pause()")
        stats = engine.stats()[mixed.name]
        assert (stats.invocations, stats.errors, stats.crashes, stats.timeouts) == (9, 4, 1, 1)
        assert (stats.throttles, stats.cancelled, stats.late_replies) == (0, 0, 0)

    def test_latencies(self, engine: Any, function: Function) -> None:
        sleeps = function("evaluate")
        for _ in range(20):
            sleeps.invoke("__import__('time').sleep(0.005)")
        sleeps.invoke("__import__('time').sleep(0.05)")
        s = engine.stats()[sleeps.name]
        assert 0.005 <= s.latency_p50 <= s.latency_p90 <= s.latency_p99 <= s.latency_p999 <= s.latency_max
        assert 0.05 <= s.latency_max < 5
        assert s.latency_p50 < s.latency_max
        assert 0.005 <= s.duration_p50 <= s.latency_p50 * 33 / 32
        assert s.duration_p99 >= 0.05
        assert s.latency_p50 < s.latency_mean < s.latency_max

    def test_of_several_functions(self) -> None:
        with Engine(logs=False) as engine:
            one = engine.function("app:echo", code=FUNCTIONS, name="one")
            engine.function("app:echo", code=FUNCTIONS, name="two")
            one.invoke(1)
            stats = engine.stats()
            assert {name: s.invocations for name, s in stats.items()} == {"one": 1, "two": 0}
            one.remove()
            assert set(engine.stats()) == {"two"}


def test_a_deadline_that_passes_while_a_function_is_replaced(write: Callable[..., Any], gate: Gate) -> None:
    """A call in a worker that is still starting keeps its deadline when its function is configured anew."""
    source = (
        "import fcntl, os, signal\n"
        f"if os.path.exists({str(gate.path)!r} + '-hold'):\n"
        f"    open({str(gate.arrivals)!r}, 'a').write('0\\n')\n"
        f"    with open({str(gate.path)!r}) as file: fcntl.flock(file, fcntl.LOCK_SH)\n"
        "def handler(e, c):\n    while True: signal.pause()\n"
    )
    options: dict[str, Any] = {"code": write(late=source), "init": "fresh", "warm": 0, "timeout": 0.4}
    engine = Engine(logs=False)
    try:
        late = engine.function("late:handler", **options)
        hold = gate.path.with_name("gate-hold")
        hold.touch()
        future = late.submit(1)
        gate.wait()
        hold.unlink()
        engine.function("late:handler", **options)
        gate.open()
        assert isinstance(future.exception(5), FunctionTimeout)
    finally:
        engine.close(0)
