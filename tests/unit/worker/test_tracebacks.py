"""What an error looks like is what Python shows, however often its places were shown before."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from engine.worker import tracebacks


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Own(Exception):
    pass


def _recursive(depth: int) -> None:
    if depth:
        _recursive(depth - 1)
    raise ValueError("deep")


def _two_on_a_line(depth: int) -> bool:
    return (
        (depth > 4 and _two_on_a_line(depth - 1)) or (depth > 0 and _two_on_a_line(depth - 1)) or bool(1 / 0)
    )


def _caused() -> None:
    try:
        _recursive(1)
    except ValueError as error:
        raise Own("caused") from error


def _in_another() -> None:
    try:
        _recursive(0)
    except ValueError:
        raise KeyError("missing")  # noqa: B904


def _suppressed() -> None:
    try:
        _recursive(0)
    except ValueError:
        raise Own from None


def _noted() -> None:
    error = Own("noted")
    error.add_note("a note\nof two lines")
    raise error


def _grouped() -> None:
    raise ExceptionGroup("several", [ValueError(1), Own("two")])


def _raise(error: BaseException) -> None:
    raise error


FAILURES: dict[str, Callable[[], Any]] = {
    "a value": lambda: _recursive(0),
    "a recursion of three": lambda: _recursive(2),
    "a recursion of four": lambda: _recursive(3),
    "a deep recursion": lambda: _recursive(40),
    "frames of one line": lambda: _two_on_a_line(7),
    "a part of a line": lambda: {"a": [1, {}]}["a"][1]["b"]["c"],  # type: ignore[index]
    "an operator": lambda: 1 + 2 / (3 - 3),
    "a cause": _caused,
    "a context": _in_another,
    "a suppressed context": _suppressed,
    "notes": _noted,
    "a group": _grouped,
    "a name that is nearly right": lambda: trackback,  # type: ignore[name-defined]  # noqa: F821
    "an attribute that is nearly right": lambda: traceback.format_exceptin,  # type: ignore[attr-defined]
    "a syntax error": lambda: compile("a b", "code.py", "exec"),
    "no text": lambda: _raise(ValueError()),
    "text of several lines": lambda: _raise(Own("one\n\n  two\n")),
    "a text that cannot be had": lambda: _raise(Unprintable()),
    "a module that is not there": lambda: __import__("not_there"),
    "an interrupt": lambda: _raise(KeyboardInterrupt()),
}


def _raised(fail: Callable[[], Any]) -> BaseException:
    try:
        fail()
    except BaseException as error:
        return error
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("name", FAILURES)
def test_it_is_what_python_shows(name: str) -> None:
    for _ in range(2):  # the second time from what was kept
        error = _raised(FAILURES[name])
        lines = tracebacks.stack_trace(error.__traceback__)
        assert lines == traceback.format_tb(error.__traceback__)
        assert tracebacks.formatted(error, lines) == "".join(traceback.format_exception(error))


def test_code_that_was_loaded_anew_is_shown_as_it_is() -> None:
    """Its instruction may be where another code's was, and the memory the same."""
    for number in range(50):
        spaces = "\n" * number
        names: dict[str, Any] = {}
        exec(compile(f"{spaces}def fail(): raise ValueError({number})", f"code{number}.py", "exec"), names)
        error = _raised(names["fail"])
        assert (
            f'"code{number}.py", line {number + 1}, in fail'
            in tracebacks.stack_trace(error.__traceback__)[-1]
        )
        del names, error


def test_no_more_is_kept_than_bounded() -> None:
    for number in range(tracebacks._PLACES + 10):
        names: dict[str, Any] = {}
        exec(compile("def fail(): raise ValueError", f"many{number}.py", "exec"), names)
        tracebacks.stack_trace(_raised(names["fail"]).__traceback__)
    assert len(tracebacks._lines) <= tracebacks._PLACES
