"""Executor: what a program that has a ProcessPoolExecutor may expect, and what it gets besides."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import jobs
import numpy
import pytest
from support import until

from engine import Executor, FunctionCrashed, FunctionError, FunctionTimeout, InvalidConfiguration


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(2) as made:
        yield made


@pytest.mark.promise(112)
class TestDropIn:
    def test_it_is_one(self, executor: Executor) -> None:
        assert isinstance(executor, concurrent.futures.Executor)
        assert isinstance(executor.submit(pow, 2, 3), concurrent.futures.Future)

    def test_calls(self, executor: Executor) -> None:
        assert executor.submit(pow, 2, 8).result() == 256
        assert executor.submit(jobs.capture, 1, self=2, fn=3).result() == ((1,), {"self": 2, "fn": 3})
        assert executor.submit(functools.partial(jobs.capture, 1), a=2).result() == ((1,), {"a": 2})
        assert executor.submit(jobs.Point(3).plus, 4).result() == 7
        made = executor.submit(jobs.Point.made, 5).result()
        assert type(made) is jobs.Point and made.x == 5

    def test_another_process_runs_them(self, executor: Executor) -> None:
        pids = {executor.submit(os.getpid).result() for _ in range(10)}
        assert os.getpid() not in pids
        assert pids <= set(executor.workers())

    def test_map(self, executor: Executor) -> None:
        assert list(executor.map(pow, range(100), [2] * 100)) == [n * n for n in range(100)]
        assert list(executor.map(jobs.double, range(100), chunksize=7)) == [n * 2 for n in range(100)]
        with pytest.raises(ValueError, match="chunksize must be >= 1"):
            executor.map(jobs.double, [], chunksize=0)

    def test_map_reads_ahead_no_more_than_its_buffer(self, executor: Executor) -> None:
        read = 0

        def numbers() -> Iterator[int]:
            nonlocal read
            while True:
                read += 1
                yield read

        results = executor.map(jobs.double, numbers(), buffersize=4)
        assert [next(results) for _ in range(10)] == [2 * n for n in range(1, 11)]
        assert read <= 14

    def test_map_goes_on_where_nobody_reads(self, executor: Executor, tmp_path: Path) -> None:
        path = tmp_path / "marks"
        executor.map(jobs.mark, [str(path)] * 300, ["x"] * 300)
        until(lambda: path.exists() and len(path.read_text()) == 300)

    def test_maps_of_maps(self, executor: Executor) -> None:
        """Its arguments are results that are waited for while it submits."""
        doubled = executor.map(jobs.double, executor.map(jobs.double, range(300)))
        assert list(doubled) == [4 * n for n in range(300)]
        sums = executor.map(pow, (executor.submit(jobs.double, n).result() for n in range(100)), [1] * 100)
        assert list(sums) == [2 * n for n in range(100)]

    def test_map_raises_in_its_place(self, executor: Executor) -> None:
        results = executor.map(divmod, [1, 1, 1, 1], [2, 3, 0, 5])
        assert [next(results), next(results)] == [(0, 1), (0, 1)]
        with pytest.raises(ZeroDivisionError):
            next(results)

    def test_what_a_call_raises(self, executor: Executor) -> None:
        future = executor.submit(jobs.fail, "no such thing")
        with pytest.raises(ValueError, match="^no such thing$") as caught:
            future.result()
        trace = str(caught.value.__cause__)
        assert "raise ValueError(message)" in trace
        assert "tasks.py" not in trace, "the engine's own frames are left out"

    def test_an_exception_that_cannot_be_rebuilt_is_described(self, executor: Executor) -> None:
        with pytest.raises(FunctionError, match="^Unpicklable: 7: seven$") as caught:
            executor.submit(jobs.fail_unpicklably).result()
        assert "raise Unpicklable" in str(caught.value.__cause__)

    def test_what_cannot_be_pickled_is_the_futures(self, executor: Executor) -> None:
        with pytest.raises(TypeError, match="cannot pickle"):
            executor.submit(jobs.double, threading.Lock()).result()
        results = executor.map(jobs.double, [1, threading.Lock()])
        assert next(results) == 2
        with pytest.raises(TypeError, match="cannot pickle"):
            next(results)

    def test_sys_exit_is_the_callers_to_see(self, executor: Executor) -> None:
        with pytest.raises(SystemExit) as caught:
            executor.submit(jobs.leave).result()
        assert caught.value.code == 3

    def test_cancel_and_running(self, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with Executor(1) as executor:
            first = executor.submit(jobs.hold, str(gate))
            until(first.running)
            assert not first.cancel()
            others = [executor.submit(pow, 2, 3) for _ in range(40)]
            assert others[20].cancel() and others[20].cancelled() and not others[20].running()
            gate.touch()
            assert [f.result() for f in others if not f.cancelled()] == [8] * 39
            assert concurrent.futures.wait(others).not_done == set()

    def test_wait_and_as_completed(self, executor: Executor) -> None:
        futures = [executor.submit(pow, n, 2) for n in range(20)]
        assert sorted(f.result() for f in concurrent.futures.as_completed(futures)) == [
            n * n for n in range(20)
        ]

    def test_in_a_loop(self, executor: Executor) -> None:
        async def main() -> list[int]:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(executor, pow, n, 2) for n in range(20)))

        assert asyncio.run(main()) == [n * n for n in range(20)]

    def test_callbacks_may_wait(self, executor: Executor) -> None:
        """Whatever they wait for: no result depends on the thread that runs them."""
        seen: list[int] = []
        done = threading.Event()

        def then(future: concurrent.futures.Future[int]) -> None:
            seen.append(executor.submit(jobs.double, future.result()).result())
            seen.extend(executor.map(jobs.double, seen))
            done.set()

        executor.submit(pow, 3, 2).add_done_callback(then)
        assert done.wait(30)
        assert seen == [18, 36]

    def test_many_threads(self, executor: Executor) -> None:
        results: list[list[int]] = [[] for _ in range(8)]

        def work(mine: list[int]) -> None:
            mine.extend(executor.submit(pow, n, 2).result() for n in range(200))

        threads = [threading.Thread(target=work, args=(mine,)) for mine in results]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [[n * n for n in range(200)]] * 8

    def test_initializer(self) -> None:
        with Executor(2, initializer=jobs.initialize, initargs=("ready",)) as executor:
            assert set(map(tuple, executor.map(jobs_initialized, range(20)))) == {("ready",)}

    def test_a_failing_initializer_breaks_it(self) -> None:
        executor = Executor(2, initializer=jobs.fail_to_initialize)
        with pytest.raises(BrokenProcessPool, match="no licence"):
            executor.submit(pow, 2, 3).result()
        with pytest.raises(BrokenProcessPool):
            executor.submit(pow, 2, 3)
        executor.shutdown()

    def test_multiprocessings_queues_reach_the_workers(self) -> None:
        queue = multiprocessing.get_context("spawn").Queue()
        with Executor(2, initializer=queue_initialize, initargs=(queue,)) as executor:
            assert executor.submit(queue_put, "from a worker").result() is None
            assert queue.get(timeout=30) == "from a worker"

    def test_workers_are_replaced(self) -> None:
        with Executor(1, max_tasks_per_child=3) as executor:
            pids = [executor.submit(os.getpid).result() for _ in range(9)]
        assert pids[0] == pids[1] == pids[2] and pids[3] == pids[4] == pids[5]
        assert len(set(pids)) == 3

    def test_workers_are_replaced_while_many_tasks_wait(self) -> None:
        with Executor(2, max_tasks_per_child=1) as executor:
            assert list(executor.map(pow, range(30), [2] * 30)) == [n * n for n in range(30)]

    def test_after_shutdown(self) -> None:
        executor = Executor(1)
        assert executor.submit(pow, 2, 3).result() == 8
        executor.shutdown()
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            executor.submit(pow, 2, 3)
        executor.shutdown()

    @pytest.mark.parametrize("cancel", [False, True])
    def test_every_call_that_was_taken_ends(self, cancel: bool) -> None:
        """Those, too, that are submitted at the moment of the shutdown."""
        executor = Executor(1)
        futures = [executor.submit(pow, 2, 3)]

        def submit() -> None:
            with contextlib.suppress(RuntimeError):
                while True:
                    futures.append(executor.submit(pow, 2, 3))

        threads = [threading.Thread(target=submit) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(futures) > 50)
        executor.shutdown(cancel_futures=cancel)
        for thread in threads:
            thread.join()
        assert concurrent.futures.wait(futures, timeout=60).not_done == set()

    def test_shutdown_cancels_what_has_not_begun(self, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        executor = Executor(1)
        first = executor.submit(jobs.hold, str(gate))
        until(first.running)
        others = [executor.submit(pow, 2, 3) for _ in range(100)]
        executor.shutdown(wait=False, cancel_futures=True)
        assert all(f.cancelled() for f in others)
        gate.touch()
        assert first.result() is None

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"max_workers": 0}, ValueError),
            ({"max_workers": -1}, ValueError),
            ({"initializer": 5}, TypeError),
            ({"max_tasks_per_child": 0}, ValueError),
            ({"max_tasks_per_child": "1"}, TypeError),
            ({"timeout": 0}, InvalidConfiguration),
            ({"memory": 0}, InvalidConfiguration),
        ],
    )
    def test_arguments(self, arguments: dict[str, object], error: type[Exception]) -> None:
        with pytest.raises(error):
            Executor(**arguments)  # type: ignore[arg-type]


def jobs_initialized(_: int) -> list[object]:
    return jobs.initialized()


QUEUES: list[multiprocessing.Queue[str]] = []


def queue_initialize(queue: multiprocessing.Queue[str]) -> None:
    QUEUES.append(queue)


def queue_put(text: str) -> None:
    QUEUES[0].put(text)


@pytest.mark.promise(113)
class TestFaults:
    def test_a_dead_worker_fails_its_own_call_only(self, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with Executor(2) as executor:
            held = executor.submit(jobs.hold, str(gate))
            until(held.running)
            dead = executor.submit(jobs.die)
            with pytest.raises(BrokenProcessPool) as caught:
                dead.result()
            assert isinstance(caught.value, FunctionCrashed) and caught.value.signal == "SIGKILL"
            gate.touch()
            assert held.result() is None
            assert executor.submit(pow, 2, 3).result() == 8

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
    def test_the_next_call_has_a_worker(self, number: signal.Signals) -> None:
        with Executor(1) as executor:
            for n in range(3):
                with pytest.raises(BrokenProcessPool):
                    executor.submit(jobs.die, number).result()
                assert executor.submit(pow, n, 2).result() == n * n

    def test_a_timeout_of_the_calls_own(self, tmp_path: Path) -> None:
        with Executor(2) as executor:
            pid = executor.submit(os.getpid).result()
            with pytest.raises(TimeoutError) as caught:
                executor.schedule(jobs.spin, timeout=0.2).result()
            assert isinstance(caught.value, FunctionTimeout)
            assert executor.schedule(jobs.capture, (1,), {"a": 2}, timeout=30).result() == ((1,), {"a": 2})
            assert executor.submit(pow, 2, 3).result() == 8
            assert pid in range(1, 1 << 22)

    def test_a_timeout_for_every_call(self) -> None:
        with Executor(1, timeout=0.2) as executor:
            with pytest.raises(TimeoutError):
                executor.submit(jobs.spin).result()
            results = executor.map(jobs.double, [1, 2])
            assert list(results) == [2, 4]

    def test_a_wait_that_ends_is_not_the_calls_end(self, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        with Executor(1) as executor:
            future = executor.submit(jobs.hold, str(gate))
            with pytest.raises(concurrent.futures.TimeoutError):
                future.result(timeout=0.05)
            assert not future.done()
            gate.touch()
            assert future.result() is None

    def test_a_result_that_cannot_be_read_fails_alone(self, executor: Executor) -> None:
        with pytest.raises(pickle.UnpicklingError, match="could not be unpickled"):
            executor.submit(unreadable).result()
        assert executor.submit(pow, 2, 3).result() == 8


class Exits:
    def __reduce__(self) -> tuple[object, tuple[int]]:
        return sys.exit, (1,)


def unreadable() -> Exits:
    return Exits()


@pytest.mark.promise(114)
class TestData:
    @pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 70_000, 3_000_000])
    def test_bytes(self, executor: Executor, size: int) -> None:
        data = os.urandom(size)
        assert executor.submit(bytes, data).result() == data
        assert executor.submit(bytearray, data).result() == bytearray(data)

    def test_arrays_are_whole_and_writable(self, executor: Executor) -> None:
        array = numpy.arange(1_000_000, dtype="f8")
        there = executor.submit(jobs.buffers_are_writable, array).result()
        assert there[0] == 1 and (there[1:] == array[1:]).all()
        there[0] = 5
        assert array[0] == 0
        pair = executor.submit(jobs.capture, array[::2], small=array[:3]).result()
        assert (pair[0][0] == array[::2]).all() and (pair[1]["small"] == array[:3]).all()

    def test_a_large_result_of_a_worker_that_ends_with_it(self) -> None:
        array = numpy.arange(1_000_000, dtype="f8")
        with Executor(1, max_tasks_per_child=1) as executor:
            for _ in range(3):
                assert (executor.submit(jobs.buffers_are_writable, array).result()[1:] == array[1:]).all()

    def test_arrays_in_chunks(self, executor: Executor) -> None:
        arrays = [numpy.full(50_000, n) for n in range(8)]
        sums = executor.map(numpy.sum, arrays, chunksize=3)
        assert list(sums) == [n * 50_000 for n in range(8)]

    def test_lambdas_by_cloudpickle(self, executor: Executor) -> None:
        pytest.importorskip("cloudpickle")
        offset = 5
        assert executor.submit(lambda x: x + offset, 2).result() == 7
        assert list(executor.map(lambda x: x + offset, range(3))) == [5, 6, 7]


def program(
    tmp_path: Path, source: str, *arguments: str, module: str = ""
) -> subprocess.CompletedProcess[str]:
    """A program of the user's, run as they would."""
    (tmp_path / "program.py").write_text(source)
    command = [sys.executable, *(["-m", module] if module else ["program.py"]), *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)


MAIN = """
import os, sys
from concurrent.futures import wait
from engine import Executor

class Result:
    def __init__(self, value): self.value = value

def work(x):
    return Result(x * 2)

def late(x):
    import time
    time.sleep(0.2)
    print("done", x, flush=True)

if __name__ == "__main__":
    executor = Executor(2)
    print(executor.submit(work, 21).result().value)
    print(type(executor.submit(work, 1).result()) is Result)
"""


@pytest.mark.promise(112)
class TestPrograms:
    def test_functions_and_classes_of_the_script(self, tmp_path: Path) -> None:
        done = program(tmp_path, MAIN)
        assert (done.stdout, done.stderr) == ("42\nTrue\n", "")

    def test_the_program_ends_once_its_tasks_have(self, tmp_path: Path) -> None:
        source = MAIN + "    for n in range(3): executor.submit(late, n)\n"
        done = program(tmp_path, source)
        assert sorted(done.stdout.splitlines()) == ["42", "True", "done 0", "done 1", "done 2"]
        assert (done.returncode, done.stderr) == (0, "")

    def test_an_executor_that_nobody_refers_to_finishes(self, tmp_path: Path) -> None:
        source = (
            MAIN
            + "    future = executor.submit(work, 4)\n    del executor\n    print(future.result().value)\n"
        )
        assert program(tmp_path, source).stdout == "42\nTrue\n8\n"

    def test_relative_imports_of_a_module_that_is_run(self, tmp_path: Path) -> None:
        package = tmp_path / "package"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "helper.py").write_text("FACTOR = 7\n")
        source = MAIN.replace("import os", "from .helper import FACTOR\nimport os").replace(
            "x * 2", "x * FACTOR"
        )
        (package / "main.py").write_text(source)
        done = program(tmp_path, "", module="package.main")
        assert (done.stdout, done.stderr) == ("147\nTrue\n", "")

    def test_pools_of_multiprocessing_inside_a_task(self, tmp_path: Path) -> None:
        source = MAIN + (
            "    for method in 'spawn', 'forkserver', 'fork':\n"
            "        print(method, executor.submit(nested, method).result())\n"
        )
        nested = (
            "def nested(method):\n    import multiprocessing\n"
            "    with multiprocessing.get_context(method).Pool(1) as pool:\n        return pool.map(abs, [-1, -2])\n\n"
        )
        done = program(tmp_path, source.replace("def late", nested + "def late"))
        assert done.stdout.splitlines()[2:] == ["spawn [1, 2]", "forkserver [1, 2]", "fork [1, 2]"], (
            done.stderr
        )

    def test_an_executor_inside_a_task(self, tmp_path: Path) -> None:
        nested = (
            "def nested():\n    with Executor(1) as inner:\n"
            "        return inner.submit(work, 4).result().value\n\n"
        )
        source = MAIN + "    print(executor.submit(nested).result())\n"
        assert program(tmp_path, source.replace("def late", nested + "def late")).stdout == "42\nTrue\n8\n"
