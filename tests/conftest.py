"""Fixtures for every test: a shared engine, functions in it, and a directory to write more into."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support import FUNCTIONS, Gate, Logs

pytest.register_assert_rewrite("queue_machine")
# A shared machine may stall an example for longer than any deadline.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=10)  # make quick
hypothesis.settings.load_profile("shared")

TESTS = Path(__file__).resolve().parent
SLOW_ROOMS = [TESTS / name for name in ("browser", "compat", "faults", "native", "unit/load/test_charts.py")]
sys.path.append(str(TESTS.parent))  # for bench, which is not installed, and for engine where it is not either


# Each test there is `alone`.
LONELY_ROOMS = [
    TESTS / name
    for name in (
        "faults/test_row_32_clock.py", "faults/test_row_33_saturation.py", "faults/test_rows_21_to_26_excesses.py",
        "unit/bench/test_bench_load.py", "unit/calls", "unit/control/test_cores.py", "unit/control/test_scale.py",
        "unit/observe/test_logs.py", "unit/worker/test_context.py", "unit/worker/test_init.py",
        "unit/worker/test_spare.py", "unit/worker/test_starts.py",
    )
]  # fmt: skip


def inside(path: Path, rooms: list[Path]) -> bool:
    return any(path.is_relative_to(room) for room in rooms)


def read_in_vain(path: Path, wanted: str) -> bool:
    """Has a file no test of those wanted? To read all of them takes seconds."""
    if "not slow" in wanted:
        return inside(path, SLOW_ROOMS)
    if wanted.startswith("alone") and path.match("test_*.py"):
        return not inside(path, LONELY_ROOMS) and "mark.alone" not in path.read_text()
    return False


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return read_in_vain(collection_path, config.option.markexpr) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if inside(item.path, SLOW_ROOMS):
            item.add_marker(pytest.mark.slow)
        if inside(item.path, LONELY_ROOMS):
            item.add_marker(pytest.mark.alone)


def pytest_sessionfinish() -> None:
    if clients := sys.modules.get("clients"):
        clients.end_all()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.open()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes modules into the test's own code directory: write(app="def handler(event, context): …")."""
    directory = tmp_path / "code"
    directory.mkdir()

    def written(**modules: str) -> Path:
        for name, source in modules.items():
            (directory / f"{name}.py").write_text(source)
        return directory

    return written


@pytest.fixture(scope="module")
def logs() -> Logs:
    return Logs()


@pytest.fixture(scope="module")
def engine(logs: Logs) -> Iterator[Any]:
    """An engine that a module's tests share: each takes functions of its own from `function`."""
    from engine import Engine

    with Engine(logs=logs) as made:
        yield made


_number = iter(range(1_000_000))


@pytest.fixture
def function(engine: Any) -> Iterator[Callable[..., Any]]:
    """Starts functions in the shared engine, under names of their own; removes them afterwards.

    function("echo") is app:echo of tests/functions; any other reference is taken as it is.
    """
    from engine import FunctionNotFound

    started: list[Any] = []

    def start(handler: Any = "echo", **options: Any) -> Any:
        if isinstance(handler, str) and handler.isidentifier():
            handler = f"app:{handler}"
        options.setdefault("code", FUNCTIONS)
        options.setdefault("name", f"f{next(_number)}-{os.getpid()}")
        started.append(engine.function(handler, **options))
        return started[-1]

    yield start
    for each in started:
        with contextlib.suppress(FunctionNotFound):
            each.remove()
