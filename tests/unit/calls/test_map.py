"""map(): many events in, their results out, in order, with a bounded look-ahead."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import FUNCTIONS, Gate, until

from engine import Engine, EngineClosed, FunctionError, InvalidConfiguration, InvalidEvent, PayloadTooLarge

Function = Callable[..., Any]


class Source:
    """An iterator that counts how far it was read."""

    def __init__(self, events: Any) -> None:
        self.events = iter(events)
        self.read = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        event = next(self.events)
        self.read += 1
        return event


@pytest.mark.promise(33)
@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_events(function: Function, workers: int) -> None:
    echo = function("echo", concurrency=workers, warm=workers)
    assert list(echo.map(range(2000))) == list(range(2000))


@pytest.mark.parametrize("ahead", [1, 2, 3, 64, 1000])
def test_any_window(function: Function, ahead: int) -> None:
    assert list(function("echo").map(range(300), ahead=ahead)) == list(range(300))


def test_no_events(function: Function) -> None:
    assert list(function("echo").map([])) == []


def test_results_of_every_size(function: Function) -> None:
    events = ["x" * n for n in (0, 10, 4000, 5000, 20_000, 300_000)] * 5
    assert list(function("echo", concurrency=2).map(events)) == events


@pytest.mark.promise(33)
@pytest.mark.parametrize("ahead", [1, 8, 64])
def test_the_look_ahead_is_bounded(function: Function, ahead: int) -> None:
    source = Source(itertools.count())
    results = function("echo").map(source, ahead=ahead)
    assert source.read == 0  # nothing is read before the first result is taken
    for n in range(500):
        assert next(results) == n
        assert source.read <= n + 1 + ahead
    results.close()


def test_an_endless_iterator_with_an_early_end(engine: Any, function: Function) -> None:
    echo = function("echo")
    for n, value in enumerate(echo.map(itertools.count())):
        assert value == n
        if n == 1000:
            break
    del value
    assert echo.invoke("on") == "on"
    stats = until(lambda: (s := engine.stats()[echo.name]).in_flight + s.queue_depth == 0 and s)
    assert stats.idle == 1


def test_closing_early_withdraws_what_waits(engine: Any, function: Function, gate: Gate) -> None:
    held = function("gated")
    free = {**gate.event("free"), "gate": str(gate.arrivals)}  # a free lock
    results = held.map([free, *(gate.event(n) for n in range(20))])
    assert next(results) == "free"
    gate.wait(2)
    results.close()
    assert engine.stats()[held.name].cancelled == 19
    gate.open()
    assert held.invoke(gate.event("after")) == "after"
    assert gate.arrived() == ["free", 0, "after"]
    assert engine.stats()[held.name].invocations == 3


def test_a_failure_is_raised_in_its_place(engine: Any, function: Function) -> None:
    odd = function("fail_if_odd")
    results = odd.map([0, 2, 4, 5, 6, 8])
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(FunctionError, match=r"^Trouble: odd: 5$"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    assert odd.invoke(0) == 0
    until(lambda: engine.stats()[odd.name].in_flight == 0)


def test_an_event_that_cannot_be_encoded_ends_it(function: Function) -> None:
    echo = function("echo")
    with pytest.raises(InvalidEvent):
        list(echo.map([1, 2, object()]))
    assert list(echo.map([1])) == [1]


def test_an_event_too_large_ends_it() -> None:
    with Engine(payload_limit=1000) as engine:
        echo = engine.function("app:echo", code=FUNCTIONS)
        with pytest.raises(PayloadTooLarge):
            list(echo.map(["x" * 2000]))
        assert list(echo.map(["x" * 100])) == ["x" * 100]


def test_what_the_iterator_raises_passes(function: Function) -> None:
    def events() -> Iterator[int]:
        yield 1
        raise LookupError("mine")

    echo = function("echo")
    with pytest.raises(LookupError, match="mine"):
        list(echo.map(events()))
    assert echo.invoke(1) == 1


def test_a_line_shorter_than_the_window(function: Function) -> None:
    """map() keeps to what the line takes instead of failing."""
    echo = function("echo", waiting=2)
    assert list(echo.map(range(500), ahead=64)) == list(range(500))


def test_maps_side_by_side(function: Function) -> None:
    echo = function("echo", concurrency=2)
    one, two = echo.map(range(0, 600, 2)), echo.map(range(1, 600, 2))
    assert list(itertools.chain.from_iterable(zip(one, two, strict=True))) == list(range(600))


def test_the_window_must_hold_something(function: Function) -> None:
    with pytest.raises(InvalidConfiguration, match="ahead=0: use 1 or more"):
        function("echo").map([1], ahead=0)


def test_a_closed_engine_ends_it() -> None:
    with Engine() as engine:
        echo = engine.function("app:echo", code=FUNCTIONS)
        results = echo.map(itertools.count())
        assert next(results) == 0
    with pytest.raises(EngineClosed):
        list(results)


def test_a_dropped_map_gives_its_place_back(engine: Any, function: Function) -> None:
    echo = function("echo")
    for _ in range(1000):
        assert next(iter(echo.map(itertools.count()))) == 0
    until(lambda: engine.stats()[echo.name].in_flight == 0)
    assert echo.invoke(1) == 1
