"""Row 33: more work than fits."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from engine import Engine, TooManyRequests

from .conftest import ECHO, MISBEHAVE, Held, Ledger, settled, wait_until

REASON = "ReservedFunctionConcurrentInvocationLimitExceeded"


@contextlib.contextmanager
def own_engine(ledger: Ledger, **options: Any) -> Iterator[Engine]:
    """As the fixture `stoker`, with options."""
    with Engine(logs=False, **options) as it:
        yield it
        settled(it._runtime, ledger)


def resident() -> int:
    """Bytes of this process that are in memory and its own."""
    with open("/proc/self/statm") as file:
        fields = file.read().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.promise(34)
def test_row_33_a_line_bounded_by_count_throttles_and_keeps_its_order(stoker: Engine, held: Held) -> None:
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, waiting=20)
    ended: list[int] = []
    accepted = [fn.submit(held.event(0))]
    held.running()
    refused = 0
    for n in range(1, 201):
        try:
            accepted.append(fn.submit(held.event(n)))
        except TooManyRequests as error:
            assert str(error).startswith("Rate Exceeded")
            assert error.reason == REASON
            refused += 1
    assert (len(accepted), refused) == (21, 180)
    for call in (fn.invoke, fn.invoke_raw):
        with pytest.raises(TooManyRequests):
            call(held.event(0) if call == fn.invoke else b"{}")
    stats = stoker.stats()["outlasts"]
    assert (stats.throttles, stats.queue_depth + stats.in_flight) == (182, 21)
    for n, each in enumerate(accepted):
        each.add_done_callback(lambda _, n=n: ended.append(n))
    held.let_go()
    assert [each.result(10) for each in accepted] == list(range(21))
    wait_until(lambda: len(ended) == 21)
    assert ended == list(range(21)), "first come, first served"
    accepted = [fn.submit(held.event(n)) for n in range(20)]
    assert [each.result(10) for each in accepted] == list(range(20)), "back to normal"
    stats = stoker.stats()["outlasts"]
    assert (stats.throttles, stats.invocations, stats.queue_depth) == (182, 41, 0)


@pytest.mark.promise(32)
def test_row_33_callers_in_threads_are_served_in_the_order_of_their_coming(
    stoker: Engine, held: Held
) -> None:
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, waiting=6)
    first = fn.submit(held.event("first"))
    held.running()
    order: list[int] = []
    threads = []

    def caller(n: int) -> None:
        fn.invoke({**held.event(n), "began": str(held.gate.with_name("order"))})

    def inside() -> int:
        stats = stoker.stats()["outlasts"]
        return stats.queue_depth + stats.in_flight

    note = held.gate.with_name("order")
    for n in range(6):
        if n % 2:
            fn.submit({**held.event(n), "began": str(note)}).add_done_callback(lambda _, n=n: order.append(n))
        else:
            threads.append(threading.Thread(target=caller, args=(n,)))
            threads[-1].start()
        wait_until(lambda n=n: inside() == n + 2)
    refusals: list[type[BaseException]] = []

    def refused() -> None:
        try:
            fn.invoke(held.event("too much"))
        except TooManyRequests as error:
            refusals.append(type(error))

    others = [threading.Thread(target=refused) for _ in range(4)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(10)
    assert refusals == [TooManyRequests] * 4, "at once, while the line is full"
    held.let_go()
    assert first.result(10) == "first"
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    wait_until(lambda: len(order) == 3)
    assert order == [1, 3, 5]


@pytest.mark.promise(34)
def test_row_33_a_line_bounded_by_bytes(ledger: Ledger, held: Held) -> None:
    """All payloads in line, of all functions together; the process does not grow by what it refuses."""
    size = 1 << 20
    with own_engine(ledger, waiting_bytes=8 * size) as engine:
        one = engine.function("outlasts:handler", code=MISBEHAVE, name="one")
        two = engine.function("outlasts:handler", code=MISBEHAVE, name="two")
        running = [fn.submit(held.event("running")) for fn in (one, two)]
        held.running(2)
        load = {**held.event("loaded"), "load": "x" * size}
        before = resident()
        accepted, refused = [], 0
        for n in range(400):
            try:
                accepted.append((one, two)[n % 2].submit(load))
            except TooManyRequests:
                refused += 1
        grown = resident() - before
        assert 6 <= len(accepted) <= 10, "so many payloads fit"
        assert refused == 400 - len(accepted)
        assert grown < 64 * size, f"grew by {grown}"
        small = one.submit(held.event("small"))
        assert engine.stats()["one"].throttles + engine.stats()["two"].throttles == refused
        held.let_go()
        assert {each.result(10) for each in running} == {"running"}
        assert {each.result(10) for each in accepted} == {"loaded"}
        assert small.result(10) == "small"
        for _ in range(20):
            assert one.invoke(load) == two.submit(load).result(10) == "loaded"


def test_row_33_a_map_waits_for_its_place_but_not_for_others(ledger: Ledger, held: Held) -> None:
    with Engine(logs=False) as engine:
        fn = engine.function("outlasts:handler", code=MISBEHAVE, waiting=4)
        held.let_go()
        assert list(fn.map([held.event(n) for n in range(300)])) == list(range(300)), (
            "it fills the line itself"
        )
        held.gate.unlink()
        running = fn.submit(held.event("running"))
        held.running(301)
        others = [fn.submit(held.event(n)) for n in range(4)]
        with pytest.raises(TooManyRequests):
            next(fn.map([held.event("too much")]))
        held.let_go()
        assert running.result(10) == "running"
        assert [each.result(10) for each in others] == list(range(4))
        assert list(fn.map([held.event(n) for n in range(100)])) == list(range(100))


@pytest.mark.promise(1)
def test_row_33_every_call_of_a_crowd_is_answered(stoker: Engine) -> None:
    """More callers than places: each call has its own result or an explicit refusal, and both are counted."""
    fn = stoker.function("app:handler", code=ECHO, waiting=2)
    finished, refused, wrong = [0] * 8, [0] * 8, []

    def caller(number: int) -> None:
        for n in range(400):
            try:
                if fn.invoke([number, n]) != [number, n]:
                    wrong.append((number, n))
                finished[number] += 1
            except TooManyRequests:
                refused[number] += 1
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not wrong
    assert [a + r for a, r in zip(finished, refused, strict=True)] == [400] * 8
    stats = stoker.stats()[fn.name]
    assert (stats.invocations, stats.throttles) == (sum(finished), sum(refused))
    assert [fn.invoke(n) for n in range(100)] == list(range(100))
