"""An Executor's tasks in a worker: unpickled, called, their results pickled. `run` is its function's handler."""

from __future__ import annotations

import importlib
import logging
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any

from . import main_module, tasks_setup, worker
from .pickled import (
    CHUNK,
    HEAD,
    KNOWN,
    PLAIN,
    RAISED,
    RESULT,
    UNREADY,
    Buffers,
    Data,
    copied,
    dumps,
    parted,
    result,
)  # fmt: skip

KNOWN_KEPT = 256  # functions


def _import(setup: tasks_setup.Setup) -> None:
    """What fails here fails in the task that needs it."""
    if setup.main is not None:
        main_module.install(*setup.main)
    # Managers and queues of multiprocessing let in who has their process's key, as its children do.
    if setup.key:
        importlib.import_module("multiprocessing.process").current_process().authkey = setup.key
    for name in setup.imported:
        try:
            if name == "__main__":
                main_module.load(sys.modules["__main__"])
            else:
                importlib.import_module(name)
        except Exception:
            logging.getLogger(__name__).debug("%s could not be imported", name, exc_info=True)


def _prepared(pickled: bytes | None) -> Callable[[], object] | None:
    if pickled is None:
        return None
    try:
        function, args = pickle.loads(pickled)
    except Exception as error:
        failed = error

        def fail() -> None:
            raise failed

        return fail
    return lambda: function(*args)


_known: dict[bytes, Callable[..., Any]] = {}
_setup = tasks_setup.read()
_import(_setup)
# Unpickled once, before the workers are forked: what it has of descriptors they inherit.
_initializer: Callable[[], object] | None = _prepared(_setup.initializer)
_left = _setup.tasks


def _end() -> None:
    """What a process of multiprocessing's does at its end: its queues are flushed, its threads waited for."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._exit_function()
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()


worker.at_end.append(_end)


def run(event: memoryview, _context: Any) -> Data:
    """One task. Whatever it raises is its result."""
    global _left
    data = _initialise() or _run(event)
    if _left:
        _left -= 1
        if not _left:
            assert worker.current is not None
            worker.current.reply_and_end(data)
    return data


def _run(event: memoryview) -> Data:
    try:
        function, flags, arguments = _unpickled(event)
    except Exception as error:
        return _raised(error)
    except BaseException as error:  # not the task's own: its caller must not exit for it
        fault = pickle.UnpicklingError(f"the task could not be unpickled: {error!r}")
        return _raised(fault.with_traceback(error.__traceback__))
    buffers: Buffers = []
    try:
        if flags & CHUNK:
            value: Any = [function(*each) for each in arguments]
        else:
            args, kwargs = arguments
            value = function(*args, **kwargs)
        arguments = args = kwargs = None
        data = dumps(value, buffers)
        return PLAIN + data if not buffers else result(RESULT, data, buffers)
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too, as of the standard pool's workers
        return _raised(error)


def _unpickled(event: memoryview) -> tuple[Callable[..., Any], int, Any]:
    flags, count, length = HEAD.unpack_from(event)
    if count:
        # The lane's memory is the next task's soon, and arrays are to be writable: one copy of everything.
        begin, end, given = parted(memoryview(copied(event)), HEAD.size, count)
    else:
        begin, end, given = HEAD.size, len(event), []
    middle = begin + length
    name = bytes(event[begin:middle])
    function = _known.get(name)
    if function is None:
        function = pickle.loads(name)
        if flags & KNOWN:
            if len(_known) >= KNOWN_KEPT:
                _known.clear()
            _known[name] = function
    arguments = pickle.loads(event[middle:end], buffers=given) if given else pickle.loads(event[middle:end])
    return function, flags, arguments


def _initialise() -> Data | None:
    """Once in each worker. What it sends when that fails."""
    global _initializer
    if _initializer is None:
        return None
    try:
        _initializer()
    except BaseException as error:
        logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
        _end()  # before anybody hears of it: the log may go through a queue
        return result(UNREADY, pickle.dumps(_text(error)), [])
    _initializer = None
    return None


def _raised(error: BaseException) -> Data:
    """An exception and its traceback; of one that cannot be pickled, or not be unpickled, what can be told of it."""
    text = _text(error)
    buffers: Buffers = []
    try:
        data = dumps((error, text), buffers)
        if not buffers:
            pickle.loads(data)
    except Exception:
        buffers = []
        try:
            message = str(error)
        except Exception:
            message = "<exception str() failed>"
        data = pickle.dumps(((type(error).__qualname__, message), text))
    return result(RAISED, data, buffers)


def _text(error: BaseException) -> str:
    """The traceback as Python prints it, without the frames in here."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))
