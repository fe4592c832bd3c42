"""Async handlers of embedded functions: each worker has one event loop, made with its first event, which runs them.

The only part of a worker that imports asyncio, for a function that has such a handler.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import FunctionType, ModuleType
from typing import Any

_PATH = list(sys.path)  # before a function's own folders are on it
# Of a code object's co_flags: the language reference, "The data model".
_COROUTINE_OR_GENERATOR = 0x20 | 0x80 | 0x200
_VARARGS = 0x04


def is_plain(handler: Any) -> bool:
    """Is it a function of an event and a context as nearly all are? So it is neither a misfit nor async, and no module
    has to be imported to know that."""
    if type(handler) is not FunctionType or handler.__dict__:
        return False
    code = handler.__code__
    least = code.co_argcount - len(handler.__defaults__ or ())
    takes_two = least <= 2 and (code.co_argcount >= 2 or code.co_flags & _VARARGS)
    needs_more = code.co_kwonlyargcount > len(handler.__kwdefaults__ or ())
    return bool(takes_two and not needs_more and not code.co_flags & _COROUTINE_OR_GENERATOR)


def _inspect() -> ModuleType:
    """The standard library's, whatever the function's folders have of that name."""
    path = sys.path[:]
    sys.path[:] = _PATH
    try:
        import inspect
    finally:
        sys.path[:] = path
    return inspect


def is_async(handler: Callable[..., Any]) -> bool:
    inspect = _inspect()
    call = getattr(handler, "__call__", None)  # noqa: B004 (an object's, whose type may have an async one)
    return bool(inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call))


class Loop:
    """A worker's. Tasks that a handler leaves behind go on during its next event."""

    def __init__(self) -> None:
        import asyncio

        self._asyncio = asyncio  # in the template: no fork need import it
        self._loop: Any = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is None:
            self._loop = self._asyncio.new_event_loop()
            self._asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(coroutine)

    def running(self, handler: Callable[..., Any]) -> Callable[[Any, Any], Any]:
        """An async handler as an ordinary one."""
        return lambda event, context: self.run(handler(event, context))


def misfit(handler: Any, name: str) -> str:
    """Why this is no handler, and what would be one; "" where it is."""
    inspect = _inspect()
    function = inspect.unwrap(handler) if callable(handler) else handler
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return (
            f"{name} is a generator function: a handler returns its result, so return a list; or give map() an event "
            "for each piece of work"
        )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # of some built-in functions there is none
        return ""
    try:
        signature.bind(None, None)
    except TypeError:
        return (
            f"{name}{signature} cannot be called with an event and a context: write def {name.rpartition('.')[2]}"
            "(event, context); engine.Executor runs functions of any arguments"
        )
    return ""
