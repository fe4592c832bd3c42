"""A task's future."""

from __future__ import annotations

import pickle
from concurrent.futures.process import _RemoteTraceback
from typing import Any

from ..calls.future import EngineFuture, Withdrawn
from ..errors import FunctionError
from ..worker.pickled import RAISED, UNREADY, read_result
from .pool import Pool, Result


class TaskFuture(EngineFuture):
    """cancel() withdraws a task that has not begun; running() is what its worker says."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.collector)
        self._pool = pool

    def value(self, result: Result) -> Any:
        return value_of(self._pool, result)


def value_of(pool: Pool, result: Result) -> Any:
    """What a task returned. Raises what it raised, with its traceback as the cause."""
    if result is None:
        raise Withdrawn
    if isinstance(result, BaseException):
        raise result
    try:
        kind, value = read_result(result)
    except Exception:
        raise
    except BaseException as error:  # the caller must not exit for it
        raise pickle.UnpicklingError(f"the result could not be unpickled: {error!r}") from error
    if kind == UNREADY[0]:
        pool.break_("A process in the process pool was terminated abruptly: its initializer failed\n" + value)
        pool.check_open()
    if kind == RAISED[0]:
        raised, text = value
        if isinstance(raised, tuple):  # it could not be pickled
            raised = FunctionError(raised[0], raised[1], text.splitlines(keepends=True))
        raised.__cause__ = _RemoteTraceback(text)
        raise raised
    return value
