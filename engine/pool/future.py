"""A task's future: a thread that waits for it looks for its result itself."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import _RemoteTraceback
from typing import Any

from ..errors import FunctionError
from ..worker.pickled import RAISED, UNREADY, read_result
from .pool import Pool, Result


class _Waiters(list[Any]):
    """Those of wait() and as_completed(), which know nothing of the pool."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def append(self, waiter: Any) -> None:
        super().append(waiter)
        self._pool.call_shepherd()


class TaskFuture(Future[Any]):
    """cancel() withdraws a task that has not begun; running() is what its worker says."""

    _done_callbacks: list[Callable[[Future[Any]], object]]
    _waiters: list[Any]
    _state: str

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._waiters = _Waiters(pool)
        self.ticket = -1

    def result(self, timeout: float | None = None) -> Any:
        return super().result(self._lead(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return super().exception(self._lead(timeout))

    def _lead(self, timeout: float | None) -> float | None:
        """Look for the result; what is left of the time."""
        if self._state != "PENDING":
            return timeout
        if timeout is None:
            self._pool.lead(self, None)
            return None
        until = time.monotonic() + timeout
        self._pool.lead(self, until)
        return max(0.0, until - time.monotonic())

    def running(self) -> bool:
        return self._state == "PENDING" and self._pool.begun(self.ticket)

    def cancel(self) -> bool:
        if self._state == "PENDING" and not self._pool.cancel(self.ticket):
            return False
        return super().cancel()

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        super().add_done_callback(fn)
        if self._state == "PENDING":
            self._pool.call_shepherd()

    # For the pool.

    def done(self) -> bool:
        return self._state != "PENDING"

    def withdraw(self) -> None:
        self.cancel()

    def deliver(self, result: Result, shepherd: bool) -> bool:
        if self._done_callbacks and not shepherd:
            return False
        if result.data is None and result.error is None:
            super().cancel()
            self.set_running_or_notify_cancel()
            return True
        try:
            value = value_of(self._pool, result)
        except BaseException as error:
            if self._state == "PENDING":
                self.set_exception(error)
        else:
            if self._state == "PENDING":
                self.set_result(value)
        return True


def value_of(pool: Pool, result: Result) -> Any:
    """What a task returned. Raises what it raised, with its traceback as the cause."""
    if result.data is None:
        assert result.error is not None
        raise result.error
    try:
        kind, value = read_result(result.data)
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
