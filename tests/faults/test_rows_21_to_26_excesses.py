"""Rows 21 to 26: handlers that close, spawn, take, write and leave more than they should."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionCrashed, FunctionError, FunctionTimeout, limits
from engine.control import ticks

from .conftest import ECHO, MISBEHAVE, alive, text_of, wait_until

MIB = 1024 * 1024
GIB = 1024 * MIB
CALLS = pytest.mark.parametrize("how", ["invoke", "submit"])


def call(fn: Any, how: str, event: Any) -> Any:
    return fn.invoke(event) if how == "invoke" else fn.submit(event).result()


def replaced(fn: Any, old: list[int]) -> list[int]:
    return wait_until(lambda: (now := fn.workers()) and not set(now) & set(old) and now)


@pytest.fixture
def neighbour(stoker: Engine) -> Any:
    """Another function of the same engine, whose worker must not notice anything."""
    fn = stoker.function("app:handler", code=ECHO, name="neighbour")
    worker = fn.workers()
    yield fn
    assert fn.invoke("undisturbed") == "undisturbed"
    assert fn.workers() == worker
    assert stoker.stats()["neighbour"].errors == 0


@pytest.mark.promise(17)
@CALLS
def test_row_21_a_handler_closes_every_descriptor(stoker: Engine, neighbour: Any, how: str) -> None:
    """The call returns all the same; that worker is recycled; the engine goes on."""
    fn = stoker.function("closes_fds:handler", code=MISBEHAVE)
    for _ in range(3):
        old = fn.workers()
        assert call(fn, how, None) == "closed"
        replaced(fn, old)
    assert neighbour.invoke(1) == 1


def test_row_21_calls_behind_it_in_line_are_not_lost(stoker: Engine) -> None:
    fn = stoker.function("closes_fds:handler", code=MISBEHAVE, concurrency=2)
    assert [future.result() for future in [fn.submit(i) for i in range(8)]] == ["closed"] * 8
    for _ in range(40):  # each worker ends after one call, so many a call finds one that is about to
        assert list(fn.map(range(8))) == ["closed"] * 8


def descendants(note: Path, count: int) -> list[int]:
    return wait_until(
        lambda: note.exists() and len(found := [int(p) for p in note.read_text().split()]) >= count and found
    )


HOW = pytest.mark.parametrize(("how", "count"), [("double fork", 1), ("daemons", 5)])


@pytest.mark.promise(16)
@pytest.mark.parametrize(
    ("how", "count", "end"),
    [
        ("subprocess", 1, "killed"),
        ("double fork", 1, "killed"),
        ("setsid", 1, "killed"),
        ("daemons", 5, "killed"),
        ("daemons", 5, "hangs"),
        ("daemons", 5, "removed"),
    ],
)
def test_row_22_a_workers_tree_ends_with_it(
    stoker: Engine, neighbour: Any, tmp_path: Path, how: str, count: int, end: str
) -> None:
    fn = stoker.function("spawns:handler", code=MISBEHAVE, timeout=0.6 if end == "hangs" else 30)
    note = tmp_path / "note"
    if end == "removed":
        worker = fn.invoke([how, str(note), end])
        pids = descendants(note, count)
        assert all(alive(pid) for pid in pids), "as on Lambda, they live between invocations"
        assert fn.workers() == [worker]
        fn.remove()
    else:
        with pytest.raises(FunctionCrashed if end == "killed" else FunctionTimeout):
            fn.invoke([how, str(note), end])
        pids = [int(pid) for pid in note.read_text().split()]
    wait_until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.promise(16)
@HOW
@pytest.mark.parametrize("victim", ["template", "zygote"])
def test_row_22_even_when_the_parents_are_killed(
    stoker: Engine, tmp_path: Path, how: str, count: int, victim: str
) -> None:
    fn = stoker.function("spawns:handler", code=MISBEHAVE)
    note = tmp_path / "note"
    worker = fn.invoke([how, str(note), "returns"])
    pids = descendants(note, count)
    pid = worker
    for _ in range(1 if victim == "template" else 2):
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in [worker, *pids]))
    replaced(fn, [worker])


@pytest.mark.promise(45)
@HOW
def test_row_22_even_when_the_engine_is_killed(
    nothing_is_left: str, script: Callable[[str], list[str]], tmp_path: Path, how: str, count: int
) -> None:
    import subprocess

    note = tmp_path / "note"
    process = subprocess.Popen(
        script(
            "from engine import Engine\nimport signal\nengine = Engine(logs=False)\n"
            f"fn = engine.function('spawns:handler', code={str(MISBEHAVE)!r})\n"
            f"fn.invoke([{how!r}, {str(note)!r}, 'returns'])\nsignal.pause()\n"
        )
    )
    pids = descendants(note, count)
    process.kill()
    process.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.promise(26)
@pytest.mark.parametrize("sessions", [False, True], ids=["plain", "setsid"])
def test_row_23_a_fork_bomb_is_limited_to_its_worker(
    stoker: Engine, neighbour: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sessions: bool
) -> None:
    assert limits.PROCESSES == 1024, "AWS's limit"
    monkeypatch.setattr(limits, "PROCESSES", 100)  # the same, sooner
    count, most = tmp_path / "count", 2000
    fn = stoker.function("fork_bomb:handler", code=MISBEHAVE, memory=10240, timeout=20)
    old = fn.workers()
    stop, slowest = threading.Event(), 0.0

    def watch() -> None:
        nonlocal slowest
        while not stop.is_set():
            started = time.monotonic()
            assert neighbour.invoke(1) == 1
            slowest = max(slowest, time.monotonic() - started)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(FunctionCrashed) as caught:
            fn.invoke([sessions, str(count), most])
    finally:
        stop.set()
        watcher.join()
    assert caught.value.signal == "SIGKILL"
    assert slowest < 1.0, "others go on"
    replaced(fn, old)
    assert 100 < int.from_bytes(count.read_bytes(), "little") < most, "it was the engine that ended it"


@pytest.mark.promise(25)
@pytest.mark.parametrize("how", ["at once", "bit by bit"])
def test_row_23_a_memory_hog_gets_a_memory_error_or_is_ended(
    stoker: Engine, neighbour: Any, how: str
) -> None:
    fn = stoker.function("hogs_memory:handler", code=MISBEHAVE, memory=128)
    with pytest.raises(FunctionError) as caught:
        fn.invoke([how, 4096])
    assert caught.value.error_type in ("MemoryError", "Runtime.OutOfMemory")
    assert neighbour.invoke(1) == 1


@pytest.mark.promise(25)
@pytest.mark.parametrize("how", ["in a child", "shared"])
def test_row_23_memory_that_no_limit_of_the_process_counts(stoker: Engine, neighbour: Any, how: str) -> None:
    fn = stoker.function("hogs_memory:handler", code=MISBEHAVE, memory=128, timeout=10)
    with pytest.raises(FunctionCrashed) as caught:
        fn.invoke([how, 400])
    error = caught.value
    assert error.error_type == "Runtime.OutOfMemory"
    assert (
        error.error_message
        == f"RequestId: {error.request_id} Error: Runtime exited with error: signal: killed"
    )


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an engine at rest looks after once, it looks after sooner."""
    monkeypatch.setattr(ticks, "IDLE_TICK_S", 0.3)


def test_row_23_what_a_handler_left_running_is_limited_too(
    soon: None, stoker: Engine, tmp_path: Path
) -> None:
    (tmp_path / "leaves.py").write_text(
        f"import os, sys\nsys.path.append({str(MISBEHAVE)!r})\nimport hogs_memory\n"
        "def handler(event, context):\n"
        "    if not os.fork():\n"
        "        hogs_memory.handler(['shared', 300], None)\n"
        "    return os.getpid()\n"
    )
    fn = stoker.function("leaves:handler", code=tmp_path, memory=128)
    worker = fn.invoke()
    replaced(fn, [worker])


def test_row_23_within_its_memory_it_may_use_all_of_it(stoker: Engine) -> None:
    fn = stoker.function("hogs_memory:handler", code=MISBEHAVE, memory=256)
    for _ in range(3):
        assert fn.invoke(["bit by bit", 180]) == 180


@pytest.mark.promise(40)
@pytest.mark.parametrize(
    ("through", "size"),
    [
        ("print", GIB),
        ("descriptor", GIB),
        ("child", GIB),
        ("stderr", 64 * MIB),
        ("logging", 64 * MIB),
        ("native", 64 * MIB),
    ],
)
def test_row_24_output_without_a_newline_and_without_an_end(
    stoker: Engine, neighbour: Any, logs: list[Any], through: str, size: int
) -> None:
    """Bounded, never in the engine's way, and what is dropped is counted."""
    fn = stoker.function("floods:handler", code=MISBEHAVE, timeout=60)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    running = fn.submit([through, size])
    slowest = 0.0
    while not running.done():
        started = time.monotonic()
        assert neighbour.invoke(1) == 1
        slowest = max(slowest, time.monotonic() - started)
    assert running.result() == "said it all"
    assert slowest < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024, "KiB"

    def accounted() -> bool:
        own = [text for name, _, text in list(logs) if name == "floods"]
        kept = sum(text.count("x") + text.count("\0") for text in own)
        lost = stoker.stats()["floods"].log_bytes_dropped
        return 0 < kept < MIB and size <= kept + lost <= size * 1.01

    wait_until(accounted, 2)
    assert "bytes of log dropped" in text_of(logs)


def test_row_24_the_next_invocations_log_is_whole_again(stoker: Engine) -> None:
    fn = stoker.function("floods:handler", code=MISBEHAVE, timeout=60)
    fn.invoke(["print", 8 * MIB])
    fn.invoke(["descriptor", 8 * MIB])
    reply = fn.invoke_raw(b'["print", 0]')
    assert "x" * 100 not in reply.log_tail


@pytest.mark.promise(22)
@CALLS
def test_row_25_a_handler_stops_itself(stoker: Engine, neighbour: Any, how: str) -> None:
    """The deadline holds."""
    fn = stoker.function("stops:handler", code=MISBEHAVE, timeout=0.3)
    old = fn.workers()
    started = time.monotonic()
    with pytest.raises(FunctionTimeout):
        call(fn, how, None)
    assert 0.3 <= time.monotonic() - started < 1.0
    wait_until(lambda: not alive(old[0]))


@pytest.mark.promise(43)
def test_row_25_a_stopped_worker_does_not_hold_up_close(nothing_is_left: str, ledger: Any) -> None:
    with Engine(logs=False) as engine:
        fn = engine.function("stops:handler", code=MISBEHAVE, timeout=60)
        worker = fn.workers()[0]
        running = fn.submit()

        def stopped() -> bool:
            with open(f"/proc/{worker}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "T"

        wait_until(stopped)
        started = time.monotonic()
        engine.close(drain=0.1)
        assert time.monotonic() - started < 1.0
        assert running.exception() is not None


def test_row_26_what_persists_between_invocations(stoker: Engine) -> None:
    """As on Lambda: the process stays, and with it whatever a handler changed in it."""
    fn = stoker.function("leaves_things:handler", code=MISBEHAVE)
    first = fn.invoke(["nothing"])
    assert first == {
        "calls": 1,
        "threads": [],
        "alarms": 0,
        "directory": str(MISBEHAVE),
        "variable": None,
        "pid": fn.workers()[0],
    }
    for change in (["thread"], ["directory"], ["variable"]):
        fn.invoke(change)
    later = fn.invoke(["nothing"])
    assert later["pid"] == first["pid"]
    assert (later["calls"], later["threads"], later["variable"]) == (5, ["left"], "behind")
    assert later["directory"] == "/tmp"


@pytest.mark.promise(15)
def test_row_26_nothing_of_it_reaches_another_worker(stoker: Engine) -> None:
    fn = stoker.function("leaves_things:handler", code=MISBEHAVE)
    for change in (["thread"], ["directory"], ["variable"]):
        fn.invoke(change)
    old = fn.workers()
    os.kill(old[0], signal.SIGKILL)
    replaced(fn, old)
    fresh = fn.invoke(["nothing"])
    assert (fresh["calls"], fresh["threads"], fresh["variable"]) == (1, [], None)
    assert fresh["directory"] == str(MISBEHAVE)


def test_row_26_an_alarm_that_rings_between_invocations_is_handled_there(stoker: Engine) -> None:
    fn = stoker.function("leaves_things:handler", code=MISBEHAVE)
    worker = fn.invoke(["alarm", 0.05])["pid"]
    wait_until(lambda: fn.invoke(["nothing"])["alarms"] == 1)
    assert fn.workers() == [worker]


def test_row_26_an_alarm_that_kills_ends_that_worker_alone(stoker: Engine) -> None:
    fn = stoker.function("leaves_things:handler", code=MISBEHAVE)
    worker = fn.invoke(["deadly alarm", 0.05])["pid"]
    wait_until(lambda: not alive(worker))
    assert fn.invoke(["nothing"])["calls"] == 1


def test_row_26_a_thread_that_prints_after_the_reply_is_logged_with_no_request(
    soon: None, stoker: Engine, logs: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "later.py").write_text(
        "import threading\n"
        "def handler(event, context):\n"
        "    threading.Timer(0.05, print, ['printed later']).start()\n"
        "    return 1\n"
    )
    fn = stoker.function("later:handler", code=tmp_path)
    assert fn.invoke() == 1
    wait_until(lambda: [r for _, r, text in logs if "printed later" in text] == [""])
