"""A call as the bytes that a worker takes."""

from __future__ import annotations

import fcntl
import os
import pickle
import stat
import sys
from collections.abc import Callable, Iterable
from multiprocessing import context, reduction, resource_sharer
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from ..worker import tasks_setup
from ..worker.pickled import CHUNK, KNOWN, Buffers, Data, dumps, task

_KINDS = (FunctionType, BuiltinFunctionType, type)


class Calls:
    """Encodes calls; the pickle of the function that was called last is kept, and how a task of it begins."""

    def __init__(self) -> None:
        self._last: tuple[Any, bytes, bytes] = (None, b"", b"")

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Data:
        """Raises what pickling raises."""
        last, name, head = self._last
        if last is not function:
            return self._task(function, (args, kwargs), 0)
        buffers: Buffers = []
        arguments = dumps((args, kwargs), buffers)
        return task(name, arguments, KNOWN, buffers) if buffers else head + arguments

    def positional(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Data:
        return self.call(function, args, {})

    def chunk(self, function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> Data:
        return self._task(function, calls, CHUNK)

    def _task(self, function: Callable[..., Any], arguments: Any, flags: int) -> Data:
        """flags: 0 or CHUNK."""
        buffers: Buffers = []
        last, name, _ = self._last
        if last is function:
            flags |= KNOWN
        else:
            name = _function(function, buffers)
            if not buffers and _is_known(function, name):
                flags |= KNOWN
                self._last = function, name, bytes(task(name, b"", KNOWN, []))
            elif buffers:  # they come in the pickles' order, and there is one list: all in one pickle
                buffers.clear()
                name = pickle.dumps(_apply)
                return task(name, dumps(((function, arguments, flags), {}), buffers), KNOWN, buffers)
        return task(name, dumps(arguments, buffers), flags, buffers)


def _apply(function: Callable[..., Any], arguments: Any, flags: int) -> Any:
    """In a worker: a function whose pickle has buffers of its own."""
    if flags & CHUNK:
        return [function(*each) for each in arguments]
    args, kwargs = arguments
    return function(*args, **kwargs)


def _function(function: Callable[..., Any], buffers: Buffers) -> bytes:
    if getattr(function, "__module__", None) == "__main__" and not hasattr(
        sys.modules["__main__"], "__file__"
    ):
        return _by_value(function)
    return dumps(function, buffers)


def _by_value(function: Callable[..., Any]) -> bytes:
    try:
        import cloudpickle  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise pickle.PicklingError(
            f"{function!r} is defined in an interactive session, which a worker cannot import: install cloudpickle, "
            "or put it into a file"
        ) from None
    data: bytes = cloudpickle.dumps(function)
    return data


def _is_known(function: Any, data: bytes) -> bool:
    """Is it a module's, so that its pickle is only its name?"""
    if type(function) not in _KINDS or not isinstance(getattr(function, "__self__", None), ModuleType | None):
        return False
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    found: Any = module
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


class _Spawning:
    """What multiprocessing wants to see when its queues and locks are pickled for a child. fds: copies of their
    descriptors, which workers open by the name that they have here."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        self.fds.append(os.dup(fd))
        return self.fds[-1]

    def DupFd(self, fd: int) -> object:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):  # those have no name
            return resource_sharer.DupFd(fd)
        return tasks_setup.NamedFd(f"/proc/{os.getpid()}/fd/{fd}", fcntl.fcntl(fd, fcntl.F_GETFL))


def initializer(function: Callable[..., Any] | None, args: Iterable[Any]) -> tuple[bytes | None, list[int]]:
    """An initializer with its arguments, pickled, and descriptors that are to be open as long as workers start. Raises
    what pickling raises."""
    if function is None:
        return None, []
    before, spawning = context.get_spawning_popen(), _Spawning()
    context.set_spawning_popen(spawning)  # type: ignore[arg-type]
    try:
        return bytes(reduction.ForkingPickler.dumps((function, tuple(args)), 5)), spawning.fds
    finally:
        context.set_spawning_popen(before)
