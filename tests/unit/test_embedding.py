"""An engine in a program of the user's: which handlers a worker finds, what ends when the program does."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from support import until

from engine import Engine, InvalidConfiguration
from engine.config import parse_reference


def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(event: Any, context: Any) -> Any:
        return {"wrapped": function(event, context)}

    return wrapper


def plain(event: Any, _context: Any) -> Any:
    return event


@decorator
def wrapped(event: Any, _context: Any) -> Any:
    return event


other_name = decorator(plain)


class Base:
    def method(self, event: Any) -> Any:
        return [type(self).__name__, event]

    @classmethod
    def of_class(cls, event: Any, _context: Any) -> Any:
        return [cls.__name__, event]

    @staticmethod
    def static(event: Any, _context: Any) -> Any:
        return event


class Derived(Base):
    pass


@pytest.mark.promise(115)
class TestNames:
    """A callable becomes a name: a worker that follows it finds that callable."""

    @pytest.mark.parametrize("handler", [plain, wrapped, Base.of_class, Base.static, Derived.static])
    def test_those_that_lead_back(self, handler: Callable[..., Any]) -> None:
        assert parse_reference(handler).module == __name__

    @pytest.mark.parametrize(
        ("handler", "hint"),
        [
            (other_name, "that name is another object's"),
            (Derived.of_class, "a worker has no such object"),
            (Base().method, "a worker has no such object"),
            ([].append, "a worker has no such object|top level"),
        ],
    )
    def test_those_that_do_not(self, handler: Callable[..., Any], hint: str) -> None:
        with pytest.raises(InvalidConfiguration, match=hint):
            parse_reference(handler)

    def test_a_decorated_handler_runs_decorated(self) -> None:
        with Engine() as engine:
            assert engine.function(wrapped, code=Path(__file__).parent).invoke(1) == {"wrapped": 1}


@pytest.mark.promise(116)
def test_a_futures_callback_may_do_anything(write: Callable[..., Path]) -> None:
    code = write(app="def handler(event, context): return event\n")
    seen: list[Any] = []
    closed = threading.Event()
    engine = Engine()
    function = engine.function("app:handler", code=code)

    def then(future: Future[Any]) -> None:
        seen.append(function.submit(future.result() + 1).result())
        seen.append(engine.function("app:handler", code=code, name="other").invoke(7))
        engine.close()
        closed.set()

    function.submit(1).add_done_callback(then)
    assert closed.wait(60)
    assert seen == [2, 7]


def test_a_future_runs(write: Callable[..., Path], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    source = (
        "import pathlib, time\ndef handler(event, context):\n"
        "    while not pathlib.Path(event).exists(): time.sleep(0.005)\n"
    )
    with Engine() as engine:
        function = engine.function("app:handler", code=write(app=source))
        future, waiting = function.submit(str(gate)), function.submit(str(gate))
        until(future.running)
        assert not waiting.running() and not future.done()
        gate.touch()
        assert future.result() is None
        assert not future.running()


SCRIPT = """
import os, sys
from engine import Engine

def handler(event, context):
    print("ran", event, flush=True)
    return [__name__, event]

class Point:
    pass

def start(method, event):
    import multiprocessing
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.map(doubled, event)

def doubled(n):
    return 2 * n

def spawn(event, context):
    return start("spawn", event)

def forkserver(event, context):
    return start("forkserver", event)

def pickles(event, context):
    import pickle
    return type(pickle.loads(pickle.dumps(Point()))) is Point

def nested(event, context):
    with Engine(logs=False) as engine:
        return engine.function(handler).invoke(event)

if __name__ == "__main__":
"""


def run(directory: Path, body: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    (directory / "script.py").write_text(SCRIPT + "".join(f"    {line}\n" for line in body.splitlines()))
    command = f"{sys.executable} script.py {shell}"
    return subprocess.run(
        command, shell=True, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.promise(117)
class TestScripts:
    def test_its_own_functions(self, tmp_path: Path) -> None:
        body = (
            "with Engine(logs=False) as e:\n"
            "    print(e.function(handler).invoke(5), e.function('__main__:handler').invoke(6))"
        )
        done = run(tmp_path, body)
        assert done.stdout == "['__mp_main__', 5] ['__mp_main__', 6]\n", done.stderr

    @pytest.mark.parametrize("method", ["spawn", "forkserver"])
    def test_a_pool_in_a_handler(self, tmp_path: Path, method: str) -> None:
        """Its processes find the script's functions by the same name."""
        done = run(tmp_path, f"with Engine() as e: print(e.function({method}).invoke([1, 2]))")
        assert done.stdout == "[2, 4]\n", done.stderr

    def test_its_classes_are_pickled(self, tmp_path: Path) -> None:
        done = run(tmp_path, "with Engine() as e: print(e.function(pickles).invoke())")
        assert done.stdout == "True\n", done.stderr

    def test_an_engine_in_a_handler(self, tmp_path: Path) -> None:
        done = run(tmp_path, "with Engine(logs=False) as e: print(e.function(nested).invoke(7))")
        assert done.stdout == "['__mp_main__', 7]\n", done.stderr

    def test_relative_imports_of_a_module_that_is_run(self, tmp_path: Path) -> None:
        (tmp_path / "pkg").mkdir()
        (tmp_path / "pkg" / "__init__.py").touch()
        (tmp_path / "pkg" / "beside.py").write_text("VALUE = 3\n")
        (tmp_path / "pkg" / "main.py").write_text(
            "from engine import Engine\nfrom .beside import VALUE\n"
            "def handler(event, context):\n"
            "    from .beside import VALUE as again\n"
            "    return [__name__, VALUE + again]\n"
            "if __name__ == '__main__':\n    with Engine() as e: print(e.function(handler).invoke())\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "pkg.main"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stdout == "['__mp_main__', 6]\n", done.stderr

    def test_it_ends_without_close(self, tmp_path: Path) -> None:
        """What was submitted is done."""
        done = run(tmp_path, "f = Engine().function(handler)\nfor n in range(5): f.submit(n)")
        assert done.returncode == 0
        assert sorted(line for line in done.stderr.splitlines() if line) == [f"ran {n}" for n in range(5)]

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_closed_standard_streams(self, tmp_path: Path, closed: str) -> None:
        body = "with Engine() as e: open('result', 'w').write(str(e.function(handler).invoke(5)))"
        done = run(tmp_path, body, closed)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "result").read_text() == "['__mp_main__', 5]"
