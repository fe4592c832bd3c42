"""Rows 1 to 7: a worker that dies, or lies, around its lane."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionCrashed, FunctionError, FunctionTimeout, InitError

from .conftest import MISBEHAVE, text_of, wait_until


def killed(error: FunctionCrashed) -> bool:
    return error.error_type == "Runtime.ExitError" and error.signal == "SIGKILL"


def replaced(fn: Any, old: list[int]) -> list[int]:
    """Wait until other workers than the old ones are there."""
    return wait_until(lambda: (now := fn.workers()) and not set(now) & set(old) and now)


@pytest.mark.alone
@pytest.mark.promise(2)
@pytest.mark.parametrize("how", ["invoke", "invoke_raw", "submit", "map"])
def test_row_01_sigkill_in_the_handler(stoker: Engine, tmp_path: Path, how: str) -> None:
    fn = stoker.function("killed:handler", code=MISBEHAVE)
    note, old = tmp_path / "note", fn.workers()
    started = time.monotonic()
    if how == "invoke_raw":
        reply = fn.invoke_raw(f'"{note}"'.encode())
        assert reply.function_error == "Unhandled"
        assert b'"Runtime.ExitError"' in reply.payload
        assert reply.request_id.encode() in reply.payload
    else:
        with pytest.raises(FunctionCrashed) as caught:
            match how:
                case "invoke":
                    fn.invoke(str(note))
                case "submit":
                    fn.submit(str(note)).result()
                case _:
                    list(fn.map([str(note)]))
        assert killed(caught.value)
        assert caught.value.request_id in str(caught.value)
    assert time.monotonic() - started < 2, "ended promptly"
    replaced(fn, old)
    assert note.read_text() == f"{old[0]}\n", "ran once: a synchronous call is not retried"
    stats = stoker.stats()["killed"]
    assert (stats.invocations, stats.crashes) == (1, 1)


@pytest.mark.promise(2)
def test_row_01_sigkill_in_the_handler_awaited(awaited: Any, tmp_path: Path) -> None:
    note = tmp_path / "note"

    async def main(engine: Any) -> None:
        fn = await engine.function("killed:handler", code=MISBEHAVE)
        with pytest.raises(FunctionCrashed) as caught:
            await fn.invoke(str(note))
        assert killed(caught.value)

    awaited(main)
    assert len(note.read_text().splitlines()) == 1


@pytest.mark.promise(3)
def test_row_01_sigkill_from_outside_with_others_in_line(stoker: Engine, tmp_path: Path) -> None:
    """The running one fails; those behind it run on the replacement, in their order, once each."""
    fn = stoker.function("outlasts:handler", code=MISBEHAVE)
    began, gate = tmp_path / "began", tmp_path / "gate"
    running = fn.submit({"began": str(began), "until": str(gate)})
    pid = int(wait_until(lambda: began.exists() and began.read_text()))
    order: list[int] = []
    behind = [fn.submit({"until": str(gate), "result": i}) for i in range(4)]
    for i, future in enumerate(behind):
        future.add_done_callback(lambda _f, i=i: order.append(i))
    gate.touch()
    os.kill(pid, signal.SIGKILL)
    try:
        running.result()  # it may have seen the gate first
    except FunctionCrashed as error:
        assert killed(error)
    assert [future.result() for future in behind] == [0, 1, 2, 3]
    assert order == [0, 1, 2, 3]


def test_row_01_an_idle_worker_killed_from_outside(stoker: Engine) -> None:
    fn = stoker.function("exits:handler", code=MISBEHAVE, concurrency=2, warm=2)
    wait_until(lambda: len(fn.workers()) == 2)
    old = fn.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    assert len(wait_until(lambda: len(now := replaced(fn, old)) == 2 and now)) == 2
    assert stoker.stats()["exits"].crashes == 0


CALLS = pytest.mark.parametrize("call", [lambda fn, e: fn.invoke(e), lambda fn, e: fn.submit(e).result()])


@pytest.mark.promise(4)
@CALLS
def test_row_02_sigkill_between_reserve_and_commit(stoker: Engine, call: Any) -> None:
    """The record is invisible; the lane is thrown away whole."""
    fn = stoker.function("dies_replying:handler", code=MISBEHAVE)
    old = fn.workers()
    with pytest.raises(FunctionCrashed) as caught:
        call(fn, ["reserved", "must not be seen"])
    assert killed(caught.value)
    replaced(fn, old)
    assert call(fn, ["fine", 2]) == 2
    assert stoker.stats()["dies_replying"].late_replies == 0


@pytest.mark.promise(4)
@CALLS
def test_row_03_sigkill_after_commit_before_the_doorbell(stoker: Engine, call: Any) -> None:
    """The result or an error, never both, never neither. Committed is the result."""
    fn = stoker.function("dies_replying:handler", code=MISBEHAVE)
    old = fn.workers()
    assert call(fn, ["committed", "seen"]) == "seen"
    replaced(fn, old)
    stats = stoker.stats()["dies_replying"]
    assert (stats.invocations, stats.errors, stats.crashes) == (1, 0, 0)


def test_row_03_awaited(awaited: Any) -> None:
    async def main(engine: Any) -> None:
        fn = await engine.function("dies_replying:handler", code=MISBEHAVE, concurrency=2)
        assert [await fn.invoke(["committed", i]) for i in range(3)] == [0, 1, 2]

    awaited(main)


@pytest.mark.promise(5)
def test_row_04_no_wake_is_lost_around_a_death(stoker: Engine) -> None:
    """Deaths at random moments of waiting and being woken (the protocol itself is model-checked)."""
    fn = stoker.function("dies_replying:handler", code=MISBEHAVE, concurrency=2, warm=2)
    chance = random.Random(4)
    done, stop = 0, threading.Event()

    def kill() -> None:
        while not stop.wait(chance.uniform(0, 0.02)):
            for pid in fn.workers()[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while done < 300:
            try:
                assert fn.invoke(["fine", done]) == done
            except FunctionCrashed as error:
                assert killed(error)
            except InitError as error:  # it got three in a row before they were ready
                assert "SIGKILL" in str(error)
            done += 1
            stop.wait(chance.uniform(0, 0.001))  # sometimes long enough for the worker to sleep
    finally:
        stop.set()
        killer.join()


@pytest.mark.promise(13)
@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("tail", 1 << 63),
        ("tail", 2**64 - 64),
        ("tail", 128),
        ("tail", 7),
        ("everything", 0xFF),
        ("everything", 0x41),
        ("len", 1 << 40),
        ("len", 2**64 - 1),
        ("kind", 0),
    ],
)
@CALLS
def test_row_05_a_worker_scribbles_over_its_lane(
    stoker: Engine, logs: list[Any], where: str, value: int, call: Any
) -> None:
    """The engine never reads out of bounds; the worker is killed and that is logged."""
    fn = stoker.function("scribbles:handler", code=MISBEHAVE, timeout=5)
    old = fn.workers()
    with pytest.raises(FunctionCrashed) as caught:
        call(fn, [where, value, "waits"])
    assert killed(caught.value)
    replaced(fn, old)
    wait_until(lambda: "nonsense" in text_of(logs))


@pytest.mark.parametrize("value", [1 << 62, 2**64 - 1])
@CALLS
def test_row_05_a_cursor_that_is_read_only_when_room_is_short(
    stoker: Engine, logs: list[Any], value: int, call: Any
) -> None:
    fn = stoker.function("scribbles:handler", code=MISBEHAVE, timeout=5)
    old = fn.workers()
    while fn.workers() == old:
        assert call(fn, ["head", value, "answers", "x" * 15000]) == "answered"
    wait_until(lambda: "nonsense" in text_of(logs))


@pytest.mark.promise(13)
@pytest.mark.parametrize(
    ("where", "value", "answer"),
    [
        ("bell", 2**32 - 1, "answered"),
        ("asleep", 2**32 - 1, "answered"),
        ("dropped", 2**64 - 1, "answered"),
        ("started", 0, "answered"),
        ("flood", 100, "answered"),
        ("ticket", 12345, "answered"),
        ("seq", 12345, "answered"),
        ("t0", 2**64 - 1, "forged"),
        ("t1", 2**64 - 1, "forged"),
        ("aux", 2**32 - 1, "forged"),
    ],
)
def test_row_05_what_harms_nobody_but_itself(stoker: Engine, where: str, value: Any, answer: str) -> None:
    fn = stoker.function("scribbles:handler", code=MISBEHAVE, timeout=5)
    for call in (fn.invoke, lambda e: fn.submit(e).result()):
        assert call([where, value, "answers"]) == answer
        reply = fn.invoke_raw(f'["{where}", {value}, "answers"]'.encode())
        assert reply.function_error is None
        assert 0 <= reply.timings.execute <= reply.timings.total


def test_row_05_a_reply_that_is_not_json(stoker: Engine) -> None:
    """A result that lies where no result was written: an error for its caller, nothing for others."""
    fn = stoker.function("scribbles:handler", code=MISBEHAVE, timeout=5)
    for call in (fn.invoke, lambda e: fn.submit(e).result(), lambda e: list(fn.map([e]))):
        with pytest.raises(FunctionError) as caught:
            call(["flags", 1, "answers"])
        assert caught.value.error_type in ("Runtime.InvalidResponse", "Runtime.ExitError")


@pytest.mark.promise(14)
def test_row_05_the_engines_side_is_read_only(stoker: Engine) -> None:
    fn = stoker.function("scribbles:handler", code=MISBEHAVE)
    with pytest.raises(FunctionCrashed) as caught:
        fn.invoke(["read-only", 0xFF, "answers"])
    assert caught.value.signal == "SIGSEGV"


def test_row_05_a_liar_that_says_it_never_began_is_not_retried_for_ever(
    stoker: Engine, tmp_path: Path
) -> None:
    fn = stoker.function("denies_starting:handler", code=MISBEHAVE)
    note = tmp_path / "note"
    with pytest.raises(FunctionCrashed) as caught:
        fn.invoke(str(note))
    assert caught.value.exit_status == 9
    assert 1 <= len(note.read_text()) <= 3


@pytest.mark.promise(13)
def test_row_06_a_header_that_changes_while_it_is_read(stoker: Engine) -> None:
    """One private copy decides: each call gets its result or an error, and the engine lives."""
    fn = stoker.function("changes_header:handler", code=MISBEHAVE, timeout=2)
    answers: Counter[str] = Counter()
    deadline = time.monotonic() + 0.8
    while time.monotonic() < deadline:
        for call in (fn.invoke, lambda e: fn.submit(e).result()):
            try:
                answers[call("forge")] += 1
            except FunctionError as error:
                answers[error.error_type] += 1
    assert set(answers) <= {"answered", "Runtime.ExitError", "Sandbox.Timedout"}, answers


@pytest.mark.promise(6)
@CALLS
def test_row_07_a_late_reply_of_an_earlier_attempt_is_dropped_and_counted(stoker: Engine, call: Any) -> None:
    fn = stoker.function("replies_twice:handler", code=MISBEHAVE)
    assert [call(fn, i) for i in range(5)] == [0, 1, 2, 3, 4]
    assert stoker.stats()["replies_twice"].late_replies == 0 + 1 + 2 + 3 + 4


@pytest.mark.promise(6)
def test_row_07_the_reply_of_an_attempt_that_timed_out(stoker: Engine, tmp_path: Path) -> None:
    """Its worker is gone, and so is its lane: what it would still write reaches no caller."""
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, timeout=0.2)
    gate = tmp_path / "gate"
    with pytest.raises(FunctionTimeout):
        fn.invoke({"until": str(gate), "result": "late"})
    gate.touch()
    assert fn.invoke({"until": str(gate), "result": "mine"}) == "mine"
