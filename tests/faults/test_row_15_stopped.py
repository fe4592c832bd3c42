"""Row 15: a process that is stopped (SIGSTOP) is replaced like one that was killed; what did not begin goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionCrashed, FunctionTimeout
from engine.control import watchdog

from .conftest import ECHO, MISBEHAVE, Held, alive, text_of, wait_until

NOT_SO_LONG = 1.5  # seconds, in place of watchdog.REPLY_S, where that is not what is tested


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "REPLY_S", NOT_SO_LONG)


@pytest.fixture
def stop() -> Iterator[Callable[[int], int]]:
    """Stops a process."""
    stopped: list[int] = []

    def stopping(pid: int) -> int:
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)
        wait_until(lambda: _state(pid) == "T")
        return pid

    yield stopping
    for pid in stopped:
        wait_until(lambda pid=pid: not alive(pid))  # it was to be replaced


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def zygote(stoker: Engine) -> int:
    return int(stoker._runtime.supervisor._environments._zygotes[""].pid)  # type: ignore[attr-defined]


@pytest.mark.alone
@pytest.mark.promise(94)
def test_row_15_a_stopped_zygote_does_not_hold_up_a_new_function(
    stoker: Engine, stop: Callable[[int], int]
) -> None:
    """With the time that it really has."""
    old = stoker.function("app:handler", code=ECHO, name="old")
    stop(zygote(stoker))
    assert old.invoke("without it") == "without it"
    began = time.monotonic()
    new = stoker.function("app:handler", code=ECHO, name="new", init_timeout=1.0)
    assert new.invoke("new") == "new"
    assert watchdog.REPLY_S <= time.monotonic() - began < 3 * watchdog.REPLY_S
    assert old.invoke("too") == "too"


@pytest.mark.promise(94)
def test_row_15_requests_that_a_stopped_zygote_has_no_room_for(
    stoker: Engine, stop: Callable[[int], int], quick: None
) -> None:
    """More than its socket holds: all of them are made, one after the other."""
    stop(zygote(stoker))
    environment = {"FILLER": "x" * 3900}
    made = [stoker._runtime.start(_config(f"f{i}", environment)) for i in range(80)]
    starts = [up for _, up in made]
    assert all(start.result(60) is not None for start in starts)
    for entry, _ in made:
        stoker._runtime.stop(entry)


def _config(name: str, environment: dict[str, str]) -> Any:
    from engine.config import configure

    return configure(
        "app:handler", code=ECHO, name=name, memory=128, timeout=3.0, concurrency=1, warm=0, init="snapshot",
        environment=environment, codec="json", waiting=10, keep_alive=60.0, init_timeout=10.0,
    )  # fmt: skip


@pytest.mark.promise(94)
@pytest.mark.parametrize("both", [False, True], ids=["template", "template-and-zygote"])
def test_row_15_a_worker_dies_below_a_stopped_template(
    stoker: Engine, stop: Callable[[int], int], quick: None, logs: list[tuple[str, str, str]], both: bool
) -> None:
    """Nobody reports its death: the call in its lane never began, and goes on."""
    fn = stoker.function("app:handler", code=ECHO, timeout=1.0)
    [worker] = fn.workers()
    stop(_parent(worker))
    if both:
        stop(zygote(stoker))
    os.kill(worker, signal.SIGKILL)
    assert [fn.invoke(i) for i in range(3)] == [0, 1, 2]
    assert "has not replied for" in text_of(logs)
    if both:  # it is found out when it is needed
        assert stoker.function("app:handler", code=ECHO, name="new").invoke(1) == 1


@pytest.mark.promise(94)
def test_row_15_a_stopped_template_is_to_fork(
    stoker: Engine, stop: Callable[[int], int], quick: None, held: Held
) -> None:
    """What runs ends with its environment, as when that is killed; what waits for a worker goes on."""
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, concurrency=2, timeout=60.0)
    running = fn.submit(held.event("runs"))
    held.running()
    stop(_parent(fn.workers()[0]))
    waiting: list[Future[Any]] = [fn.submit(held.event(i)) for i in range(3)]
    with pytest.raises(FunctionCrashed):
        running.result(30)
    held.let_go()
    assert [future.result(30) for future in waiting] == [0, 1, 2]


@pytest.mark.promise(94)
@pytest.mark.parametrize("workers", [1, 2])
def test_row_15_a_stopped_worker_is_handed_an_invocation(
    stoker: Engine, stop: Callable[[int], int], workers: int
) -> None:
    """It was idle, and never begins it: another one does, and no call times out."""
    fn = stoker.function("app:handler", code=ECHO, timeout=1.0, concurrency=workers, warm=workers)
    for worker in fn.workers():
        stop(worker)
    futures = [fn.submit(i) for i in range(6)]
    assert fn.invoke("waits") == "waits"
    assert [future.result(30) for future in futures] == [*range(6)]


@pytest.mark.promise(94)
def test_row_15_a_worker_that_is_stopped_while_it_runs_times_out(
    stoker: Engine, stop: Callable[[int], int], held: Held
) -> None:
    """What began is not begun again."""
    fn = stoker.function("outlasts:handler", code=MISBEHAVE, timeout=1.0)
    future = fn.submit(held.event("never"))
    held.running()
    stop(fn.workers()[0])
    with pytest.raises(FunctionTimeout):
        future.result(30)
    assert len(held.began.read_text().split()) == 1
