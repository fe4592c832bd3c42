"""The cells that threads call with: each comes back, however its invocation ended."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support import FUNCTIONS

from engine import Engine, EngineClosed, FunctionError, InvalidEvent, PayloadTooLarge

Function = Callable[..., Any]


def refused(call: Callable[[], Any], error: type[BaseException]) -> None:
    with pytest.raises(error):
        call()


ENDINGS: dict[str, Callable[[Any, Any], Any]] = {
    "a plain result": lambda echo, _: echo.invoke({"a": [1]}),
    "a large event": lambda echo, _: echo.invoke("x" * 100_000),
    "a whole record": lambda echo, _: echo.invoke_raw(b"1").timings,
    "an event that only json takes": lambda echo, _: echo.invoke("\ud800"),
    "an event that is no JSON": lambda echo, _: refused(lambda: echo.invoke(object()), InvalidEvent),
    "an event that is too large": lambda echo, _: refused(lambda: echo.invoke("x" * 7_000_000), PayloadTooLarge),
    "a handler that fails": lambda _, fail: refused(fail.invoke, FunctionError),
    "a record of a failure": lambda _, fail: fail.invoke_raw().function_error,
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_cell_comes_back(function: Function, ending: Callable[[Any, Any], Any]) -> None:
    echo, fail = function("echo"), function("fail")
    echo.invoke()
    cells = echo._dispatch.cells
    before = list(cells)
    for _ in range(3):
        ending(echo, fail)
        assert cells == before
    held = sys.getrefcount(before[-1])
    assert held == 3  # by two lists, and as an argument


def test_what_it_was_called_with_is_let_go(function: Function) -> None:
    echo = function("echo", codec="raw")
    event = bytes(100_000)
    before = sys.getrefcount(event)
    assert echo.invoke(event) == event
    assert sys.getrefcount(event) == before
    value = {"key": "v" * 1000}
    before = sys.getrefcount(value)
    assert function("echo").invoke(value) == value
    assert sys.getrefcount(value) == before


def test_a_cell_outlives_its_engine() -> None:
    with Engine(logs=False) as engine:
        echo = engine.function("app:echo", code=FUNCTIONS)
        echo.invoke()
    with pytest.raises(EngineClosed):
        echo.invoke()
    cells = echo._dispatch.cells
    del engine, echo
    gc.collect()
    cells.pop()
