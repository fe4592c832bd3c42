"""The control loop's event loop."""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing

import pytest
import uvloop

from engine.control.loop import SmallLoop, new_loop
from tests.support import until


@pytest.fixture
def loop() -> Iterator[SmallLoop]:
    with closing(SmallLoop()) as loop:
        yield loop


def test_timers_come_in_their_order_and_never_when_cancelled(loop: SmallLoop) -> None:
    seen: list[str] = []
    loop.call_later(0.002, seen.append, "last")
    loop.call_later(0, seen.append, "first")
    loop.call_later(0, seen.append, "second")
    cancelled = loop.call_later(0.001, seen.append, "cancelled")
    loop.call_later(0.003, loop.stop)
    cancelled.cancel()
    cancelled.cancel()
    loop.run_forever()
    assert seen == ["first", "second", "last"]


def test_cancelled_timers_do_not_pile_up(loop: SmallLoop) -> None:
    kept = loop.call_later(3600, os.abort)
    for _ in range(10_000):
        loop.call_later(3600, os.abort).cancel()
    assert len(loop._timers) < 200
    assert any(timer is kept for _, _, timer in loop._timers)


def test_what_an_earlier_reader_removed_is_not_called(loop: SmallLoop) -> None:
    """Nor who has got its number since: an epoll's list of events knows numbers only."""
    called: list[int] = []
    pipes = [os.pipe() for _ in range(2)]

    def take_over(mine: int, other: int) -> None:
        called.append(mine)
        loop.remove_reader(other)
        os.close(other)
        fresh, write = os.pipe()
        if fresh != other:  # certainly that number
            os.dup2(fresh, other)
            os.close(fresh)
        loop.add_reader(other, called.append, -1)
        os.write(write, b"x")
        os.close(write)
        loop.remove_reader(mine)
        loop.call_soon(loop.stop)

    (a, _), (b, _) = pipes
    loop.add_reader(a, take_over, a, b)
    loop.add_reader(b, take_over, b, a)
    for _, write in pipes:
        os.write(write, b"x")
    loop.run_forever()
    assert len(called) == 1
    for read, write in pipes:
        os.close(read)
        os.close(write)


def test_every_thread_is_heard(loop: SmallLoop) -> None:
    count = 0

    def add() -> None:
        nonlocal count
        count += 1
        if count == 8 * 500:
            loop.stop()

    def call() -> None:
        for _ in range(500):
            loop.call_soon_threadsafe(add)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    loop.run_forever()
    for thread in threads:
        thread.join()
    assert count == 8 * 500


def test_a_closed_loop_refuses() -> None:
    loop = SmallLoop()
    loop.close()
    with pytest.raises(RuntimeError):
        loop.call_soon_threadsafe(print)


def test_what_one_call_raises_costs_the_others_nothing(
    loop: SmallLoop, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    loop.call_soon(int, "no number")
    loop.call_soon(seen.append, 1)
    loop.call_later(0, loop.stop)
    with caplog.at_level(logging.ERROR, "stoker"):
        loop.run_forever()
    assert seen == [1]
    assert "no number" in caplog.text


def test_it_refers_to_nothing_that_it_has_called_while_it_waits(loop: SmallLoop) -> None:
    class Thing:
        def hold(self) -> None:
            return None

    thing = Thing()
    gone = weakref.ref(thing)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    loop.call_soon_threadsafe(thing.hold)
    loop.call_soon_threadsafe(loop.call_later, 0, thing.hold)
    del thing
    until(lambda: gone() is None)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_program_that_has_uvloop_gets_that(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(new_loop()) as loop:
        assert isinstance(loop, uvloop.Loop)
    monkeypatch.delitem(sys.modules, "uvloop")
    with closing(new_loop()) as loop:
        assert isinstance(loop, SmallLoop)
