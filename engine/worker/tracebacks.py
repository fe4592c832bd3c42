"""How Python shows an error, without the runtime's own frames; of each place in the code, its lines are made once.

Making them reads the source and parses the line to find what to underline, which takes far longer than a small handler.
A function that fails does so at few places, again and again."""

from __future__ import annotations

import os
import traceback
from types import CodeType, TracebackType
from typing import Any

_IMPORTS = os.path.join(os.sep, "importlib", "__init__.py")
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_HEAD = "Traceback (most recent call last):\n"
_PLACES = 1_000  # whose lines are kept
_REPEATED = 3  # frames of one place in a row, of which Python shows no more
# What Python shows more of than its name and its text.
_SPECIAL = (SyntaxError, NameError, AttributeError, ImportError, BaseExceptionGroup)

_Place = tuple[int, int]  # a code's id, and an instruction or a line in it
_Lines = tuple[
    CodeType, str | None
]  # the code, so that its id means no other; None: a frame that is not shown
_lines: dict[_Place, _Lines] = {}


def message(error: BaseException) -> str:
    """Its text."""
    try:
        return str(error)
    except Exception:  # a __str__ that raises must not hide the error
        return "<exception str() failed>"


def stack_trace(trace: TracebackType | None) -> list[str]:
    """A traceback's frames as lines, the runtime's own and the import machinery's left out."""
    before: list[_Place] = []  # the places of what is shown, by code and line
    shown: list[str] = []
    at = trace
    while at is not None:
        code = at.tb_frame.f_code
        place = id(code), at.tb_lasti
        found = _lines.get(place)
        if found is None:
            if len(_lines) >= _PLACES:
                _lines.clear()
            found = _lines[place] = (code, _shown(at))
        if found[1] is not None:
            line = id(code), at.tb_lineno
            if before[-_REPEATED:] == [line] * _REPEATED:
                return _whole(trace)  # a recursion: Python counts the rest
            before.append(line)
            shown.append(found[1])
        at = at.tb_next
    return shown


def _shown(at: TracebackType) -> str | None:
    """One frame's lines."""
    if _hidden(at.tb_frame.f_code.co_filename):
        return None
    return traceback.format_list(traceback.extract_tb(at, 1))[0]


def _whole(trace: TracebackType | None) -> list[str]:
    return traceback.format_list([f for f in traceback.extract_tb(trace) if not _hidden(f.filename)])


def _hidden(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen importlib")) or _IMPORTS in filename


def formatted(error: BaseException, trace: list[str]) -> str:
    """As Python would print it: with its causes, notes and sub-exceptions. trace: its own frames, as `stack_trace` has
    them. Raises whatever its methods raise."""
    context = None if error.__suppress_context__ else error.__context__
    plain = error.__cause__ is None and context is None and not hasattr(error, "__notes__")
    if plain and not isinstance(error, _SPECIAL):
        kind = type(error)
        name = kind.__qualname__
        if kind.__module__ not in ("__main__", "builtins"):
            name = f"{kind.__module__}.{name}"
        text = message(error)
        return "".join((_HEAD, *trace, f"{name}: {text}\n" if text else f"{name}\n"))
    whole = traceback.TracebackException.from_exception(error)
    _leave_out(whole, set())
    return "".join(whole.format())


def _leave_out(shown: Any, done: set[int]) -> None:
    """Take the frames that are not shown out of it and of what it comes with."""
    if shown is None or id(shown) in done:
        return
    done.add(id(shown))
    shown.stack[:] = [frame for frame in shown.stack if not _hidden(frame.filename)]
    for other in (shown.__cause__, shown.__context__, *(getattr(shown, "exceptions", None) or ())):
        _leave_out(other, done)
