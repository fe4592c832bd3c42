"""A future of an engine's: a thread that waits for it looks for its result itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition
from typing import Any

from .collector import Collector


class Withdrawn(Exception):
    """What an invocation came to that was cancelled before it began."""


class _Waiters(list[Any]):
    """Those of wait() and as_completed(), which know nothing of the collector."""

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self._collector = collector

    def append(self, waiter: Any) -> None:
        super().append(waiter)
        self._collector.call_shepherd()


class EngineFuture(Future[Any]):
    """cancel() withdraws an invocation that has not begun; running() is what its worker says."""

    _condition: Condition
    _done_callbacks: list[Callable[[Future[Any]], object]]
    _waiters: list[Any]
    _state: str

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self._collector = collector
        self._waiters = _Waiters(collector)
        self.ticket = -1

    def value(self, result: Any) -> Any:
        """What a result is to who asks for it. Raises what is raised there; Withdrawn."""
        raise NotImplementedError

    def result(self, timeout: float | None = None) -> Any:
        return super().result(self._lead(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return super().exception(self._lead(timeout))

    def _lead(self, timeout: float | None) -> float | None:
        """Look for the result; what is left of the time."""
        if self._state != "PENDING":
            return timeout
        if timeout is None:
            self._collector.lead(self, None)
            return None
        until = time.monotonic() + timeout
        self._collector.lead(self, until)
        return max(0.0, until - time.monotonic())

    def running(self) -> bool:
        return self._state == "PENDING" and self._collector.begun(self.ticket)

    def cancel(self) -> bool:
        if self._state == "PENDING" and not self._collector.cancel(self.ticket):
            return False
        return super().cancel()

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        super().add_done_callback(fn)
        if self._state == "PENDING":
            self._collector.call_shepherd()

    # For the collector.

    def done(self) -> bool:
        return self._state != "PENDING"

    def withdraw(self) -> None:
        self.cancel()

    def deliver(self, result: Any, shepherd: bool) -> bool:
        if shepherd:
            self._settle(result)
            return True
        with self._condition:  # so that no callback comes in between
            if self._done_callbacks:
                return False
            self._settle(result)
        return True

    def _settle(self, result: Any) -> None:
        try:
            value = self.value(result)
        except Withdrawn:
            super().cancel()
            self.set_running_or_notify_cancel()
        except BaseException as error:
            if self._state == "PENDING":
                self.set_exception(error)
        else:
            if self._state == "PENDING":
                self.set_result(value)
