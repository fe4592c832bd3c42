"""What tests are made of: functions to invoke, gates to hold handlers at, and waiting for conditions."""

from __future__ import annotations

import ast
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FUNCTIONS = Path(__file__).resolve().parent / "functions"
PATIENCE = 30.0  # seconds until a test gives up; no test that passes waits so long


def until(condition: Callable[[], Any], seconds: float = PATIENCE, what: str = "") -> Any:
    """What `condition` returns once that is true. Fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s in vain for {what or condition}")
        time.sleep(0.001)
    return value


class ManualClock:
    """Nanoseconds that go on when a test says so."""

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += int(seconds * 1e9)


class Gate:
    """Holds handlers (app:gated) until it is opened: they wait for a file lock that the test has."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "gate"
        self.arrivals = directory / "arrivals"
        self.arrivals.touch()
        self._file = open(self.path, "w")  # noqa: SIM115
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def event(self, value: Any = None) -> dict[str, Any]:
        """What to send to app:gated; it returns `value`."""
        return {"gate": str(self.path), "arrivals": str(self.arrivals), "value": value}

    def arrived(self) -> list[Any]:
        """The values of those that have begun, in the order of their beginning."""
        return [ast.literal_eval(line) for line in self.arrivals.read_text().splitlines()]

    def wait(self, n: int = 1) -> None:
        """Until n have begun."""
        until(lambda: len(self.arrived()) >= n, what=f"{n} handlers at the gate")

    def open(self) -> None:
        self._file.close()


@dataclass
class Logs:
    """A log sink that keeps everything: (function, request id, text)."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, function: str, request_id: str, text: str) -> None:
        self.lines.append((function, request_id, text))

    def of(self, function: str) -> str:
        return "".join(text for name, _, text in self.lines if name == function)

    def by_request(self, function: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, request_id, text in self.lines:
            if name == function:
                found[request_id] = found.get(request_id, "") + text
        return found


def script(source: str, *arguments: str, directory: Path, seconds: float = 60, check: bool = True) -> str:
    """What a Python program of its own prints. Its file is directory/main.py; `engine` can be imported."""
    import engine

    path = directory / "main.py"
    path.write_text(source)
    root = str(Path(engine.__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "FUNCTIONS": str(FUNCTIONS)}
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    if check and done.returncode:
        pytest.fail(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


# As much of AWS's snapshot_restore_py as a function's init could use.
LIBRARY = """
_before, _after = [], []
def register_before_snapshot(func, *args, **kwargs):
    _before.append((func, args, kwargs))
    return func
def register_after_restore(func, *args, **kwargs):
    _after.append((func, args, kwargs))
    return func
def get_before_snapshot(): return _before
def get_after_restore(): return _after
"""
