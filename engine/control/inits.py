"""A function's init: its environment is started, its init bounded in time, and what follows when it is over."""

from __future__ import annotations

import signal
import warnings

import msgspec

from .environment import Environment, Environments
from .population import FunctionState, Owner, Population
from .starts import Starts, exited, timed_out
from .workers import Workers


class Inits:
    """The inits of an engine's functions."""

    def __init__(self, population: Population, owner: Owner, starts: Starts, workers: Workers) -> None:
        self._population = population
        self._owner = owner
        self._starts = starts
        self._workers = workers

    def start(self, state: FunctionState, environments: Environments) -> None:
        """Give a function an environment of that kind, unless it has one. Raises OSError."""
        if self._population.closing or state.stopped or state.environment is not None:
            return
        state.environment = environments.start(state)

    def stop(self, state: FunctionState) -> None:
        """End a function's environment, if it has one."""
        environment, state.environment = state.environment, None
        if environment is None:
            return
        self._cancel_timer(state)
        state.ready = state.late = False
        environment.stop()

    # What environments report.

    def began(self, state: FunctionState) -> None:
        if state.spec.snapshot and state.environment is not None and not state.ready:
            loop, environment = self._population.loop, state.environment
            state.init_timer = loop.call_later(state.init_timeout, self._timed_out, state, environment)

    def not_made(self, state: FunctionState, errno: int) -> None:
        self.stop(state)
        self._starts.no_process(state, errno)

    def initialised(self, state: FunctionState, seconds: float) -> None:
        self._cancel_timer(state)
        state.init_seconds = seconds
        state.ready = True
        if state.spec.snapshot:
            state.breaker.succeeded()
        self._owner.scale(state)
        self._workers.check_up(state)

    def init_failed(self, state: FunctionState, error: bytes, peak_kib: int) -> None:
        self.stop(state)
        self._starts.init_failed(state, error, peak_kib)

    def cannot_fork(self, state: FunctionState, reason: str) -> None:
        message = (
            f"stoker: {state.spec.name}: {reason}, so it cannot be forked after init; "
            'initialising it in every worker instead (init="fresh")'
        )
        try:
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        except RuntimeWarning:  # where warnings are errors, this one is not
            self._population.log(state.log_name, "", message + "\n")
        self.stop(state)
        state.spec = msgspec.structs.replace(state.spec, snapshot=False)
        self._owner.scale(state)

    def ended(self, state: FunctionState, ready: bool, status: int, peak_kib: int) -> None:
        late = state.late
        self.stop(state)
        for worker in list(state.workers.values()):  # they die with it: their pidfds say when
            self._workers.lost(worker)
        if ready:
            self._starts.failed(state)
        elif late:
            self._starts.init_failed(state, timed_out(state.init_timeout), peak_kib)
        elif status == -signal.SIGKILL:
            self._starts.killed(state, status, peak_kib)
        else:
            self._starts.init_failed(state, exited(status), peak_kib)

    def _timed_out(self, state: FunctionState, environment: Environment) -> None:
        if state.environment is environment and not state.ready:
            state.late = True
            environment.kill()

    def _cancel_timer(self, state: FunctionState) -> None:
        if state.init_timer is not None:
            state.init_timer.cancel()
            state.init_timer = None
