"""The control loop's turns."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from engine.control.loop import ControlLoop


@pytest.fixture
def loop() -> Iterator[ControlLoop]:
    made = ControlLoop()
    yield made
    made.close()


def test_what_is_called_soon_runs_in_order_and_what_that_adds_in_the_next_turn(loop: ControlLoop) -> None:
    ran: list[str] = []
    loop.call_soon(
        lambda: (ran.append("first"), loop.call_soon(ran.append, "third"), loop.call_soon(loop.stop))
    )
    loop.call_soon(ran.append, "second")
    loop.run_forever()
    assert ran == ["first", "second", "third"]


def test_timers_run_when_they_are_due_the_earliest_first(loop: ControlLoop) -> None:
    ran: list[tuple[str, bool]] = []
    timers = {}

    def note(name: str) -> None:
        ran.append((name, loop.time() >= timers[name].when()))

    for name, delay in (("c", 0.03), ("a", 0.01), ("b", 0.02), ("never", 0.015)):
        timers[name] = loop.call_later(delay, note, name)
    timers["never"].cancel()
    loop.call_later(0.04, loop.stop)
    loop.run_forever()
    assert ran == [("a", True), ("b", True), ("c", True)]


def test_cancelled_timers_do_not_pile_up(loop: ControlLoop) -> None:
    for _ in range(10_000):
        loop.call_later(3600, print).cancel()
    assert len(loop._timers) < 200


def test_other_threads_wake_it(loop: ControlLoop) -> None:
    ran: list[int] = []
    runner = threading.Thread(target=loop.run_forever)
    runner.start()
    many = [threading.Thread(target=lambda n=n: loop.call_soon_threadsafe(ran.append, n)) for n in range(20)]
    for each in many:
        each.start()
    for each in many:
        each.join()
    loop.call_soon_threadsafe(loop.stop)
    runner.join(10)
    assert sorted(ran) == list(range(20))


def test_a_reader_that_was_removed_is_not_called_and_neither_is_one_that_got_its_number(
    loop: ControlLoop,
) -> None:
    """Both are readable in one turn; the callback of the first closes the second, whose number is another's then."""
    (first, first_w), (second, second_w), (third, third_w) = os.pipe(), os.pipe(), os.pipe()
    called: list[str] = []

    def on_either(name: str, other: int) -> None:
        called.append(name)
        loop.remove_reader(first)
        loop.remove_reader(second)
        os.dup2(third, other)
        loop.add_reader(other, called.append, "a stranger's")
        loop.call_soon(loop.stop)

    loop.add_reader(first, on_either, "first", second)
    loop.add_reader(second, on_either, "second", first)
    os.write(first_w, b"x")
    os.write(second_w, b"x")
    try:
        loop.run_forever()
        assert called in (["first"], ["second"])
    finally:
        for fd in (first, first_w, second, second_w, third, third_w):
            os.close(fd)


@pytest.mark.promise(341)
@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_callback_raises_is_shown_and_the_loop_goes_on(
    loop: ControlLoop, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    def fail() -> None:
        raise error

    read, write = os.pipe()
    os.write(write, b"x")
    loop.add_reader(read, lambda: (loop.remove_reader(read), fail()))
    loop.call_soon(fail)
    loop.call_later(0.0, fail)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    os.close(read)
    os.close(write)
    assert capsys.readouterr().err.count("exception in the control loop") == 3


def test_one_that_is_closed_takes_nothing_more() -> None:
    loop = ControlLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(print)
    assert not loop.remove_reader(0)
