"""Rows 34 and 35: signals that say stop, and new code for a function that is at work."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, FunctionTimeout

from .conftest import ECHO, MISBEHAVE, Held, Ledger, marked, wait_until

# A program that drains when a signal comes. It prints what happens, a line at a time.
PROGRAM = """
import os, sys, threading
from engine import Engine, EngineClosed
code, gate, began, mode = sys.argv[1:]

def say(text): os.write(1, (text + "\\n").encode())

class Told(Engine):
    def close(self, drain={drain}):
        if not self._runtime._closed: say("drains")
        super().close(drain)

engine = Told(logs=False)
engine.drain_on_signal()
fn = engine.function("outlasts:handler", code=code, concurrency=2, warm=2, timeout=60)
event = lambda n: dict(until=gate, began=began, result=n)

def ended(future):
    try: say(f"answer {{future.result()}}")
    except EngineClosed: say("closed")

for n in range(4): fn.submit(event(n)).add_done_callback(ended)
say(" ".join(map(str, fn.workers())))
if mode == "calling": fn.invoke(event("own"))
else: threading.Event().wait()
say("went on")
"""


class Draining:
    """The program at work, and a signal or more on their way to it."""

    def __init__(self, command: list[str], held: Held, mode: str) -> None:
        self.held = held
        arguments = [str(MISBEHAVE), str(held.gate), str(held.began), mode]
        self.process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.workers = [int(pid) for pid in self.process.stdout.readline().split()]
        held.running(2)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, name: str) -> None:
        self.process.send_signal(getattr(signal, name))

    def taken(self, name: str) -> None:
        """Until the signal is no longer pending in the process."""
        bit = 1 << (getattr(signal, name) - 1)

        def pending() -> bool:
            with open(f"/proc/{self.process.pid}/status") as file:
                return any(
                    int(line.split()[1], 16) & bit for line in file if line.startswith(("ShdPnd", "SigPnd"))
                )

        wait_until(lambda: not pending())

    def rest(self) -> tuple[list[str], int]:
        out, _ = self.process.communicate(timeout=20)
        return out.splitlines(), self.process.returncode


@pytest.fixture
def draining(script: Any, held: Held) -> Iterator[Callable[..., Draining]]:
    started: list[Draining] = []

    def start(mode: str = "waiting", drain: float = 30.0) -> Draining:
        started.append(Draining(script(PROGRAM.format(drain=drain)), held, mode))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


@pytest.mark.promise(44)
@pytest.mark.parametrize("mode", ["waiting", "calling"])
@pytest.mark.parametrize(
    "signals", [["SIGTERM"], ["SIGTERM", "SIGTERM"], ["SIGTERM", "SIGHUP"], ["SIGHUP", "SIGTERM"]]
)
def test_row_34_it_drains_once_and_answers_what_it_accepted(
    draining: Callable[..., Draining], held: Held, nothing_is_left: str, signals: list[str], mode: str
) -> None:
    program = draining(mode)
    program.send(signals[0])
    assert program.line() == "drains"
    for name in signals[1:]:
        program.send(name)
        program.taken(name)
    assert program.process.poll() is None, "it waits for what is in flight"
    assert set(program.workers) <= set(marked(nothing_is_left))
    held.let_go()
    lines, status = program.rest()
    assert sorted(lines) == [f"answer {n}" for n in range(4)], "each once; no second drain"
    assert status == -getattr(signal, signals[0]), "its end is the first signal's"
    wait_until(lambda: not marked(nothing_is_left))


@pytest.mark.alone
@pytest.mark.promise(43)
def test_row_34_a_drain_that_does_not_end_is_cut_short(
    draining: Callable[..., Draining], nothing_is_left: str
) -> None:
    """Handlers that ignore SIGTERM and never return: their callers get errors, their processes end."""
    program = draining(drain=0.3)
    began = time.monotonic()
    program.send("SIGTERM")
    assert program.line() == "drains"
    program.send("SIGTERM")
    lines, status = program.rest()
    assert 0.3 <= time.monotonic() - began < 3
    assert lines == ["closed"] * 4
    assert status == -signal.SIGTERM
    wait_until(lambda: not marked(nothing_is_left))


@pytest.mark.promise(42)
def test_row_34_close_answers_everything(held: Held, ledger: Ledger) -> None:
    """Whatever the moment of the close: a future is done when it returns, or soon after."""
    for n in range(6):
        engine = Engine(logs=False)
        fn = engine.function("app:handler", code=ECHO, concurrency=2, warm=2)
        futures = [fn.submit(n) for n in range(300)]
        engine.close(0.0 if n % 2 else 10.0)
        wait_until(lambda futures=futures: all(each.done() for each in futures))
        if n % 2 == 0:
            assert [each.result() for each in futures] == list(range(300))


VERSIONED = """
import os, select
VERSION = {version}
def handler(event, context):
    if event:
        with open(event["began"], "a") as file: file.write("x ")
        while not os.path.exists(event["until"]): select.select([], [], [], 0.002)
    return VERSION
"""


@pytest.fixture
def deploy(tmp_path: Path) -> Callable[..., Any]:
    """deploy(engine, n): the function `app` with code that returns n."""

    def deployed(engine: Engine, version: int, **options: Any) -> Any:
        code = tmp_path / f"v{version}"
        code.mkdir(exist_ok=True)
        (code / "app.py").write_text(VERSIONED.format(version=version))
        return engine.function("app:handler", code=code, name="app", **options)

    return deployed


@pytest.mark.promise(9)
def test_row_35_in_flight_on_the_old_code_the_next_on_the_new(
    stoker: Engine, held: Held, deploy: Callable[..., Any], nothing_is_left: str
) -> None:
    fn = deploy(stoker, 1)
    old = fn.workers()
    running = fn.submit(held.event(0))
    held.running()
    waiting = [fn.submit() for _ in range(5)]
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(fn.invoke()))
    thread.start()
    wait_until(lambda: stoker.stats()["app"].queue_depth + stoker.stats()["app"].in_flight == 7)
    new = deploy(stoker, 2)
    assert new.invoke() == fn.invoke() == 2
    assert fn.submit().result(10) == 2
    assert list(fn.map([None] * 3)) == [2] * 3
    assert [each.result(10) for each in waiting] == [2] * 5, "what waited goes to the new code"
    thread.join(10)
    assert results == [2]
    assert not running.done()
    held.let_go()
    assert running.result(10) == 1
    wait_until(lambda: not set(old) & set(marked(nothing_is_left)))
    assert fn.invoke() == 2


@pytest.mark.alone
def test_row_35_the_old_codes_deadline_holds(stoker: Engine, held: Held, deploy: Callable[..., Any]) -> None:
    fn = deploy(stoker, 1, timeout=0.4)
    began = time.monotonic()
    running = fn.submit(held.event(0))
    held.running()
    deploy(stoker, 2)
    assert fn.invoke() == 2
    with pytest.raises(FunctionTimeout):
        running.result(10)
    assert 0.4 <= time.monotonic() - began < 1.2


@pytest.mark.promise(9)
def test_row_35_under_callers_that_do_not_pause(stoker: Engine, deploy: Callable[..., Any]) -> None:
    """No call fails because of a deploy, and none that comes after it meets the old code."""
    fn = deploy(stoker, 1, concurrency=2, warm=2)
    current, stop = 1, threading.Event()
    wrong: list[Any] = []
    counts = [0] * 4

    def caller(number: int, call: Callable[[], list[int]]) -> None:
        while not stop.is_set():
            at_least = current
            try:
                versions = call()
                counts[number] += 1
                if not all(at_least <= version <= current + 1 for version in versions):
                    wrong.append((number, at_least, versions))
            except BaseException as error:
                wrong.append(error)

    ways: list[Callable[[], list[int]]] = [
        lambda: [fn.invoke()],
        lambda: [fn.submit().result(10)],
        lambda: [each.result(10) for each in [fn.submit() for _ in range(16)]],
        lambda: list(fn.map([None] * 16)),
    ]
    threads = [threading.Thread(target=caller, args=(n, way)) for n, way in enumerate(ways)]
    for thread in threads:
        thread.start()
    try:
        for version in range(2, 8):
            before = list(counts)
            wait_until(lambda before=before: wrong or all(a > b for a, b in zip(counts, before, strict=True)))
            deploy(stoker, version, concurrency=2, warm=2)
            current = version
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not wrong
    assert fn.invoke() == 7
