"""What the tests of Executor run in its workers."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

INITIALIZED: list[Any] = []


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def plus(self, y: int) -> int:
        return self.x + y

    @classmethod
    def made(cls, x: int) -> Point:
        return cls(x)


class Unpicklable(Exception):
    """As many libraries have them: what its __init__ takes is not what it keeps."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


def double(x: int) -> int:
    return x * 2


def capture(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def fail(message: str) -> None:
    raise ValueError(message)


def fail_unpicklably() -> None:
    raise Unpicklable(7, "seven")


def die(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


def leave() -> None:
    sys.exit(3)


def hold(path: str) -> None:
    """Until the file is there."""
    while not Path(path).exists():
        time.sleep(0.005)


def mark(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)


def spin() -> None:
    while True:
        pass


def initialize(value: Any) -> None:
    INITIALIZED.append(value)


def initialized() -> list[Any]:
    return INITIALIZED


def fail_to_initialize() -> None:
    raise RuntimeError("no licence")


def buffers_are_writable(array: Any) -> Any:
    array[0] += 1
    return array
