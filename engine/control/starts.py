"""What follows when an environment or a worker does not come up: what fails, and when it is tried again."""

from __future__ import annotations

import os

from .. import errors, wire
from .._native import lib
from ..worker.handler import MISFIT
from .population import FunctionState, Owner, Population


class Starts:
    """Failed starts of an engine's functions."""

    def __init__(self, population: Population, owner: Owner) -> None:
        self._population = population
        self._owner = owner

    def init_failed(
        self, state: FunctionState, payload: bytes, peak: int = 0, began: int | None = None
    ) -> None:
        """By the function's own fault: its start fails, and with it what waits in line."""
        state.init_error, state.init_peak = payload, min(peak, 2**31 - 1)
        self._not_up(state, payload)
        self.fail_line(state)
        self.failed(state, began)

    def killed(self, state: FunctionState, status: int, peak: int, began: int | None = None) -> None:
        """It was killed before it could report, perhaps by no fault of the function's: a failed init only when that
        happens again and again."""
        if state.breaker.last_try(lib.stk_now() if began is None else began):
            self.init_failed(state, exited(status), peak, began)
        else:
            self.failed(state, began)

    def no_process(self, state: FunctionState, error: int) -> None:
        """No memory, or no process to be had: what waits in line stays there, and we try again later."""
        state.init_error = b""
        if lib.stk_now() - state.added > state.init_timeout * 1e9:
            reason = f"no process could be started: {os.strerror(error)}"
            self._not_up(state, _error("Sandbox.ForkFailed", reason))
        self.failed(state)

    def failed(self, state: FunctionState, began: int | None = None) -> None:
        state.breaker.failed(lib.stk_now(), began)
        self.retry_later(state)

    def retry_later(self, state: FunctionState) -> None:
        """Try again when the breaker allows it."""
        if state.retry is None and not self._population.closing:
            delay = max(0, state.breaker.not_before - lib.stk_now()) / 1e9
            # A loop's timer may be a little early, and only the timer brings us back.
            state.retry = self._population.loop.call_later(delay + 0.001, self._retry, state)

    def fail_line(self, state: FunctionState) -> None:
        """Fail what waits in line with the init's error."""
        error, peak = state.init_error, state.init_peak
        lib.stk_function_fail(self._population.engine, state.key, lib.STK_INIT, peak, error, len(error))

    def forget(self, state: FunctionState) -> None:
        """Nothing is tried any more."""
        if state.retry is not None:
            state.retry.cancel()
            state.retry = None

    def _retry(self, state: FunctionState) -> None:
        state.retry = None
        self._owner.scale(state)

    def _not_up(self, state: FunctionState, payload: bytes) -> None:
        """Fail the function's start."""
        if not state.up.done():
            error = wire.decode(payload)
            if error["errorType"] == MISFIT:
                state.up.set_exception(errors.InvalidConfiguration(error["errorMessage"]))
            else:
                state.up.set_exception(errors.described(errors.InitError, error))


def exited(status: int) -> bytes:
    """The init error of a process that ended with that status (negative: by that signal)."""
    signal = errors.signal_name(-status) if status < 0 else None
    crash = errors.FunctionCrashed("", status if signal is None else None, signal)
    return _error("Runtime.ExitError", crash.error_message.split(" Error: ", 1)[1])


def timed_out(seconds: float) -> bytes:
    """The init error of one that took longer than that."""
    return _error("Sandbox.Timedout", f"Init timed out after {seconds:.2f} seconds")


def _error(kind: str, message: str) -> bytes:
    return wire.encode({"errorType": kind, "errorMessage": f"Error: {message}", "stackTrace": []})
