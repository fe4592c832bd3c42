"""An engine's end, and what its surroundings may do to it: fork, interrupt, forget, collect."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from support import FUNCTIONS, Gate, script, until

from engine import Engine, EngineClosed, FunctionNotFound

Function = Callable[..., Any]

HEAD = "import os, signal, sys, threading, time\nfrom engine import *\nFUNCTIONS = os.environ['FUNCTIONS']\n"


def children(pid: int | None = None) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
        found |= {int(child) for child in (task / "children").read_text().split()}
    return found


class TestClose:
    def test_everything_raises_then(self) -> None:
        engine = Engine()
        echo = engine.function("app:echo", code=FUNCTIONS)
        engine.close()
        for call in (
            echo.invoke,
            echo.submit,
            lambda e: next(echo.map([e])),
            lambda _: echo.invoke_raw(b"1"),
        ):
            with pytest.raises(EngineClosed, match="^the engine is closed$"):
                call(1)
        for call in (engine.stats, lambda: engine.function("app:echo", code=FUNCTIONS)):
            with pytest.raises(EngineClosed):
                call()

    def test_again_does_nothing(self) -> None:
        engine = Engine()
        engine.close()
        engine.close(0)
        with engine:
            pass

    @pytest.mark.promise(46)
    def test_no_process_and_no_descriptor_stays(self) -> None:
        uvloop.new_event_loop().close()  # libuv's first loop opens a pipe that stays for the life of the process
        gc.collect()  # what an earlier test left is not counted
        before, open_before = children(), len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with Engine(logs=False) as engine:
                echo = engine.function("app:echo", code=FUNCTIONS, concurrency=2, warm=2)
                assert list(echo.map(range(50))) == list(range(50))
                assert echo.submit(1).result(20) == 1
                pids = echo.workers()
                assert len(pids) == 2
        assert children() == before
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == open_before

    @pytest.mark.promise(46)
    def test_the_threads_go_too(self) -> None:
        before = threading.active_count()
        with Engine(logs=False) as engine:
            assert threading.active_count() == before + 1
            engine.function("app:echo", code=FUNCTIONS)
        assert threading.active_count() == before

    def test_an_error_in_the_block_passes(self) -> None:
        with pytest.raises(LookupError, match="mine"), Engine(logs=False) as engine:
            engine.function("app:echo", code=FUNCTIONS)
            raise LookupError("mine")

    def test_a_blocked_caller_is_told(self, gate: Gate) -> None:
        engine = Engine(logs=False)
        held = engine.function("app:gated", code=FUNCTIONS)
        got: list[Any] = []

        def caller(n: int) -> None:
            try:
                got.append(held.invoke(gate.event(n)))
            except EngineClosed as error:
                got.append(str(error))

        threads = [threading.Thread(target=caller, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        gate.wait()
        until(lambda: engine.stats()["app-gated"].queue_depth == 2)
        engine.close(drain=0)
        for thread in threads:
            thread.join(20)
        assert got == ["the engine was closed before the invocation ended"] * 3

    def test_a_function_that_starts_meanwhile(self, write: Callable[..., Path]) -> None:
        engine = Engine(logs=False)
        code = write(hangs="import signal\nopen('begun', 'w').close()\nwhile True: signal.pause()\n")
        failed: list[BaseException] = []

        def start() -> None:
            try:
                engine.function("hangs:handler", code=code)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=start)
        thread.start()
        until((code / "begun").exists)
        engine.close(0)
        thread.join(20)
        assert [type(error) for error in failed] == [EngineClosed]


@pytest.mark.slow
class TestWithoutClose:
    def test_leaving_the_program_ends_everything(self, tmp_path: Path) -> None:
        source = HEAD + (
            "engine = Engine()\nf = engine.function('app:echo', code=FUNCTIONS)\nassert f.invoke(5) == 5\n"
            "assert f.submit(6).result(20) == 6\nf.submit(7)\nit = f.map(range(100)); next(it)\n"
            "print(*f.workers())\n"
        )
        pid = int(script(source, directory=tmp_path))
        until(lambda: not os.path.exists(f"/proc/{pid}"))

    @pytest.mark.promise(45)
    @pytest.mark.parametrize("end", ["sys.exit(3)", "1 / 0", "os._exit(4)", "os.kill(os.getpid(), 9)"])
    def test_however_it_ends(self, tmp_path: Path, end: str) -> None:
        source = HEAD + (
            "engine = Engine()\nf = engine.function('app:forever', code=FUNCTIONS, timeout=1, concurrency=2, warm=2)\n"
            f"f.submit()\nprint(*f.workers(), flush=True)\n{end}\n"
        )
        for pid in map(int, script(source, directory=tmp_path, check=False).split()):
            until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"))

    def test_the_collector_may_come_in_any_order(self, tmp_path: Path) -> None:
        source = HEAD + (
            "import gc\n"
            "for n in range(6):\n"
            "    engine = Engine()\n"
            "    f = engine.function('app:echo', code=FUNCTIONS)\n"
            "    f.invoke(1); f.submit(1).result(20); list(f.map([1, 2])); f.invoke_raw(b'1')\n"
            "    kept = f.map(range(9)); next(kept)\n"
            "    if n % 2: engine.close()\n"
            "    engine.me = engine, f, kept\n"
            "    del engine, f, kept\n"
            "    gc.collect()\n"
            "print('fine')\n"
        )
        assert script(source, directory=tmp_path) == "fine\n"


@pytest.mark.slow
class TestInterrupt:
    @pytest.mark.promise(47)
    @pytest.mark.parametrize("spin", ["None", "1.0"])
    @pytest.mark.parametrize("way", ["f.invoke(event)", "f.invoke_raw(__import__('json').dumps(event).encode())",
                                     "f.submit(event).result()", "next(f.map([event]))"])  # fmt: skip
    def test_a_blocked_call_can_be_interrupted(self, tmp_path: Path, gate: Gate, way: str, spin: str) -> None:
        """SIGINT raises KeyboardInterrupt in the call at once, asleep or spinning; the engine goes on."""
        source = HEAD + (
            f"event = {gate.event('x')!r}\n"
            f"engine = Engine(spin={spin})\n"
            "f = engine.function('app:gated', code=FUNCTIONS, timeout=60)\n"
            "print('ready', flush=True)\n"
            f"try: {way}\n"
            "except KeyboardInterrupt: print('interrupted', flush=True)\n"
            "sys.stdin.readline()\n"  # the gate is open now
            "event['value'] = 'again'\n"
            "assert f.invoke(event) == 'again'\n"
            "echo = engine.function('app:echo', code=FUNCTIONS)\n"
            "assert list(echo.map(range(100))) == list(range(100))\n"
            "s = engine.stats()['app-gated']\n"
            "assert (s.in_flight, s.queue_depth) == (0, 0), s\n"
            "engine.close(); print('fine')\n"
        )
        path = tmp_path / "main.py"
        path.write_text(source)
        import engine

        root = str(Path(engine.__file__).resolve().parent.parent)
        environment = {**os.environ, "PYTHONPATH": root, "FUNCTIONS": str(FUNCTIONS)}
        with subprocess.Popen(
            [sys.executable, str(path)],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == "ready\n"
                gate.wait()
                process.send_signal(signal.SIGINT)
                assert process.stdout.readline() == "interrupted\n"
                gate.open()
                process.stdin.write("\n")
                process.stdin.flush()
                assert process.stdout.read() == "fine\n"
            finally:
                process.kill()

    def test_a_signal_handler_runs_during_a_call(self, function: Function, gate: Gate) -> None:
        held = function("gated")
        seen: list[int] = []
        before = signal.signal(signal.SIGUSR1, lambda number, _: (seen.append(number), gate.open()))

        def sender() -> None:
            gate.wait()
            os.kill(os.getpid(), signal.SIGUSR1)

        thread = threading.Thread(target=sender)
        thread.start()
        try:
            assert held.invoke(gate.event("value")) == "value"  # resumed, not repeated
        finally:
            signal.signal(signal.SIGUSR1, before)
        thread.join()
        assert seen == [signal.SIGUSR1]
        assert gate.arrived() == ["value"]

    def test_workers_do_not_see_a_terminals_interrupt(self, function: Function) -> None:
        echo = function("pid")
        worker = echo.invoke()
        assert os.getsid(worker) != os.getsid(0)
        assert os.getpgid(worker) != os.getpgid(0)


@pytest.mark.slow
class TestFork:
    @pytest.mark.promise(21)
    def test_the_child_has_no_engine(self, tmp_path: Path) -> None:
        source = HEAD + (
            "engine = Engine()\nf = engine.function('app:echo', code=FUNCTIONS)\nassert f.invoke(1) == 1\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    for call in (lambda: f.invoke(1), lambda: f.submit(1), lambda: list(f.map([1])), engine.stats,\n"
            "                 lambda: f.invoke_raw(b'1'), lambda: engine.function('app:echo', code=FUNCTIONS)):\n"
            "        try: call()\n"
            "        except EngineClosed: continue\n"
            "        os._exit(1)\n"
            "    engine.close()\n"
            "    with Engine() as own:\n"  # a new one of its own is fine
            "        assert own.function('app:echo', code=FUNCTIONS).invoke(2) == 2\n"
            "    sys.exit(0)\n"
            "assert os.waitpid(pid, 0)[1] == 0\n"
            "assert f.invoke(3) == 3\n"  # the child's end touched nothing
            "assert list(f.map(range(100))) == list(range(100))\nengine.close()\nprint('fine')\n"
        )
        assert script(source, directory=tmp_path) == "fine\n"

    def test_while_other_threads_call(self, tmp_path: Path) -> None:
        """The engine's lock may be held by a thread that the child does not have."""
        source = HEAD + (
            "import gc\nengine = Engine()\nf = engine.function('app:echo', code=FUNCTIONS)\nstop = False\n"
            "def caller():\n"
            "    while not stop: f.invoke(1)\n"
            "threads = [threading.Thread(target=caller) for _ in range(3)]\n"
            "for t in threads: t.start()\n"
            "for n in range(30):\n"
            "    pid = os.fork()\n"
            "    if pid == 0:\n"
            "        signal.alarm(10)\n"
            "        try: f.invoke(1)\n"
            "        except EngineClosed: pass\n"
            "        engine.close()\n"
            "        del f, engine; gc.collect(); os._exit(0)\n"
            "    status = os.waitpid(pid, 0)[1]\n"
            "    assert status == 0, status\n"
            "stop = True\n"
            "for t in threads: t.join()\n"
            "engine.close(); print('fine')\n"
        )
        assert script(source, directory=tmp_path) == "fine\n"

    def test_multiprocessing_leaves_it_alone(self, tmp_path: Path) -> None:
        source = HEAD + (
            "import multiprocessing\n"
            "def work(n): return n * 2\n"
            "if __name__ == '__main__':\n"
            "    with Engine() as engine:\n"
            "        f = engine.function('app:echo', code=FUNCTIONS)\n"
            "        assert f.invoke(1) == 1\n"
            "        with multiprocessing.get_context('fork').Pool(2) as pool:\n"
            "            assert pool.map(work, range(10)) == [n * 2 for n in range(10)]\n"
            "        assert f.invoke(2) == 2\n"
            "    print('fine')\n"
        )
        assert script(source, directory=tmp_path) == "fine\n"


def test_removing_is_final(function: Function) -> None:
    echo = function("echo", name="final")
    echo.remove()
    with pytest.raises(FunctionNotFound):
        echo.invoke()
    function("echo", name="final")
    assert echo.invoke("the name is back") == "the name is back"
