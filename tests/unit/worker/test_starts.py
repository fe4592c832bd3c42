"""Workers that cannot be started, and functions that are configured anew."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import FUNCTIONS, LIBRARY, until

from engine import Engine, InitError, InvalidConfiguration
from engine.config import configure

Function = Callable[..., Any]
Write = Callable[..., Path]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
class TestFailuresToStart:
    """What is no fault of the function's own."""

    @pytest.fixture
    def held(self, write: Write, tmp_path: Path) -> tuple[Path, Path, Path]:
        """Code whose init notes its process and waits while a file exists: the code, the notes, that file."""
        notes, gate = tmp_path / "notes", tmp_path / "held"
        source = (
            f"import os, time\nopen({str(notes)!r}, 'a').write(f'{{os.getpid()}} ')\n"
            f"while os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
            "def handler(e, c): return 'up'\n"
        )
        gate.touch()
        notes.touch()
        return write(held=source), notes, gate

    @staticmethod
    def noted(notes: Path, n: int) -> int:
        """The n-th process that began its init."""
        return int(until(lambda: (pids := notes.read_text().split(" ")[:-1])[n - 1 :] and pids)[n - 1])

    @pytest.mark.parametrize(
        ("init", "above"),
        [("snapshot", 0), ("snapshot", 1), ("fresh", 0)],
        ids=["template", "zygote", "worker"],
    )
    def test_what_is_killed_during_init_is_started_again(
        self, held: tuple[Path, Path, Path], init: Any, above: int
    ) -> None:
        code, notes, gate = held
        with Engine(logs=False) as engine, ThreadPoolExecutor(1) as pool:
            starting = pool.submit(engine.function, "held:handler", code=code, init=init)
            victim = self.noted(notes, 1)
            os.kill(parent(victim) if above else victim, signal.SIGKILL)
            self.noted(notes, 2)
            gate.unlink()
            assert starting.result(20).invoke() == "up"
            assert len(notes.read_text().split()) == 2

    @pytest.mark.parametrize("init", ["snapshot", "fresh"])
    def test_the_third_time_it_is_the_inits_error(self, held: tuple[Path, Path, Path], init: Any) -> None:
        code, notes, _ = held
        with Engine(logs=False) as engine, ThreadPoolExecutor(1) as pool:
            starting = pool.submit(engine.function, "held:handler", code=code, init=init)
            for n in (1, 2, 3):
                assert not starting.done()
                os.kill(self.noted(notes, n), signal.SIGKILL)
            error = starting.exception(20)
            assert isinstance(error, InitError)
            assert error.error_type == "Runtime.ExitError"
            assert error.error_message == "Error: Runtime exited with error: signal: killed (SIGKILL)"

    def test_workers_killed_together_are_one_failure(
        self, held: tuple[Path, Path, Path], write: Write
    ) -> None:
        """Three of one try are not three tries."""
        code, notes, gate = held
        source = (code / "held.py").read_text().replace("open(", "def restored():\n    open(")
        source = source.replace("\nwhile", "\n    while")
        source = f"import snapshot_restore_py\n{source}snapshot_restore_py.register_after_restore(restored)\n"
        write(held=source, snapshot_restore_py=LIBRARY)
        with Engine(logs=False) as engine, ThreadPoolExecutor(1) as pool:
            starting = pool.submit(engine.function, "held:handler", code=code, concurrency=3, warm=3)
            self.noted(notes, 3)
            for pid in notes.read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            self.noted(notes, 4)
            gate.unlink()
            assert starting.result(20).invoke() == "up"

    @pytest.mark.parametrize("what", ["no message", "no descriptor"])
    def test_what_the_control_loop_cannot_start_is_told(
        self, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        with Engine(logs=False) as engine:
            runtime = engine._runtime
            supervisor = runtime.supervisor
            open_before = len(os.listdir("/proc/self/fd"))
            config = configure("app:echo", code=FUNCTIONS)
            if what == "no descriptor":
                monkeypatch.setattr(os, "pipe2", failing_pipe)
            else:
                config.environment["LONE"] = "\udcff"
            _, up = runtime.start(config)
            assert isinstance(up.exception(20), OSError if what == "no descriptor" else UnicodeEncodeError)
            monkeypatch.undo()
            left = supervisor._population.functions, supervisor._environments._templates
            assert supervisor.call(lambda: left) == ({}, {})
            del up
            assert len(os.listdir("/proc/self/fd")) == open_before
            assert engine.function("app:echo", code=FUNCTIONS).invoke(1) == 1

    def test_a_template_without_descriptors_is_made_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Engine(logs=False) as engine:
            echo = engine.function("app:echo", code=FUNCTIONS)
            worker = echo.workers()[0]
            monkeypatch.setattr(os, "pipe2", failing_pipe)
            refused.clear()
            os.kill(parent(worker), signal.SIGKILL)
            until(lambda: len(refused) >= 2)
            monkeypatch.undo()
            until(lambda: echo.workers() not in ([], [worker]))
            assert echo.invoke(1) == 1


refused: list[int] = []


def failing_pipe(flags: int) -> Any:
    refused.append(flags)
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class TestConfiguringAnew:
    def test_the_next_call_runs_the_new_code(self, engine: Any, write: Write) -> None:
        code = write(deploy="def handler(e, c): return 'one'\n")
        one = engine.function("deploy:handler", code=code)
        assert one.invoke() == "one"
        write(deploy="def handler(e, c): return 'two'\n")
        two = engine.function("deploy:handler", code=code)
        assert (two.invoke(), one.invoke()) == ("two", "two")  # a handle means the name
        assert engine.stats()["deploy"].invocations == 2

    def test_a_change_within_the_same_second(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bytecode of the old code must not pass for that of the new, which has its size."""
        monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        with Engine(logs=False) as engine:
            now = time.time()
            for text in ("one", "two", "six"):
                code = write(deploy=f"def handler(e, c): return {text!r}\n")
                os.utime(code / "deploy.py", (now, now))
                assert engine.function("deploy:handler", code=code).invoke() == text

    def test_bytecode_of_what_no_longer_changes_is_kept(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        with Engine(logs=False) as engine:
            code = write(settled="def handler(e, c): return 'old'\n")
            os.utime(code / "settled.py", (1e9, 1e9))
            assert engine.function("settled:handler", code=code).invoke() == "old"
            assert list(code.glob("__pycache__/settled.*.pyc"))

    def test_workers_of_the_old_one_end(self, engine: Any, function: Function) -> None:
        old = function("pid", name="pids")
        pid = old.invoke()
        new = function("pid", name="pids")
        assert new.invoke() != pid
        until(lambda: not os.path.exists(f"/proc/{pid}"))

    def test_what_fails_to_start_changes_nothing(self, engine: Any, write: Write) -> None:
        code = write(stays="def handler(e, c): return 'good'\n")
        stays = engine.function("stays:handler", code=code)
        write(stays="raise ValueError('bad')\n")
        with pytest.raises(InitError, match="bad"):
            engine.function("stays:handler", code=code)
        assert stays.invoke() == "good"
        with pytest.raises(InvalidConfiguration):
            engine.function("stays:handler", code=code, memory=1)
        assert stays.invoke() == "good"

    def test_callers_do_not_notice(self, engine: Any, function: Function) -> None:
        echo = function("echo", name="busy", concurrency=2)
        stop = threading.Event()
        wrong: list[Any] = []
        counts = [0, 0, 0]

        def caller(who: int) -> None:
            while not stop.is_set():
                try:
                    value = echo.invoke([who, counts[who]])
                    if value != [who, counts[who]]:
                        wrong.append(value)
                except Exception as error:
                    wrong.append(error)
                counts[who] += 1

        threads = [threading.Thread(target=caller, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(8):
            before = sum(counts)
            function("echo", name="busy", concurrency=2)
            until(lambda before=before: sum(counts) > before + 50)
        stop.set()
        for thread in threads:
            thread.join(20)
        assert wrong == []

    def test_another_configuration(self, engine: Any, function: Function) -> None:
        small = function("evaluate", name="grows", memory=128)
        assert small.invoke("context.memory_limit_in_mb") == "128"
        function("raw_echo", name="grows", codec="raw")
        assert small.invoke(b"raw now") == b"raw now"


def test_functions_can_be_started_from_many_threads() -> None:
    with Engine() as engine:
        results: dict[int, Any] = {}

        def start(n: int) -> None:
            results[n] = engine.function("app:echo", code=FUNCTIONS, name=f"n{n}").invoke(n)

        threads = [threading.Thread(target=start, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert results == {n: n for n in range(8)}
        assert set(engine.stats()) == {f"n{n}" for n in range(8)}
