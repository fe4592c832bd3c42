"""The control loop: the thread that starts environments and workers, keeps deadlines, notices deaths, and scales.

It runs in a thread of its own (loop.py), so a busy embedder delays no deadline. The invoke path does not pass
through here; it only rings (`control_fd`) when a function needs a worker or the timer must run. Its parts:
population.py (its records), inits.py, workers.py, starts.py (those that failed), ticks.py (when it looks),
stray_output.py, and behind the door that environment.py describes the one kind of environments, forked.py.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from .. import errors
from .._native import ffi, lib
from ..calls.dispatch import FunctionEntry, LogSink
from ..launch import Launched
from .environment import Environments
from .forked import ForkedEnvironments
from .inits import Inits
from .loop import new_loop
from .population import FunctionState, Population
from .scaling import Load, workers_to_start
from .starts import Starts
from .stray_output import StrayOutput
from .ticks import Ticks
from .workers import Workers

DRAIN_S = 0.002  # between two looks at what has not ended


class Supervisor:
    """The engine's processes. Public methods are for other threads, but for those of population.Owner; the rest runs
    in the loop."""

    def __init__(
        self,
        pointer: Any,
        control_fd: int,
        cores: list[int],
        pin: bool,
        log_sink: LogSink,
        data_epoll: select.epoll,
        launched: Launched,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """launched: where environments begin; variables: what the functions' processes start with; None: this
        process's own."""
        self._engine = pointer
        self._load = ffi.new("stk_load_now *")
        self.loop = new_loop()
        self._population = population = Population(pointer, self.loop, log_sink)
        self._output = StrayOutput(population)
        self._starts = Starts(population, self)
        self._workers = Workers(population, self, self._starts, self._output, cores, pin, data_epoll)
        self._inits = Inits(population, self, self._starts, self._workers)
        self._environments: Environments = ForkedEnvironments(
            population, self, self._output, self._inits, self._workers, launched, variables
        )
        self._ticks = Ticks(population, self, self._output, self._workers, control_fd)
        self._open: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="stoker-control", daemon=True)
        self._thread.start()
        self._open.result()

    # For other threads.

    def add(self, state: FunctionState) -> Future[float | None]:
        """Start a function's processes. The future's result: seconds that its init took (None: each worker has an
        init of its own); or InitError."""
        self.loop.call_soon_threadsafe(self._add, state)
        return state.up

    def stop(self, entry: FunctionEntry, successor: FunctionEntry | None = None) -> None:
        """No new invocation reaches it; what runs ends; its line goes to the successor or fails."""

        def stop() -> None:  # it refers to both: until it has run, their indices are theirs
            self._stop(entry.index, None if successor is None else successor.index)

        self.loop.call_soon_threadsafe(stop)

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function in the loop and wait for what it returns."""
        called: Future[Any] = Future()

        def run() -> None:
            try:
                result = function()
            except BaseException as error:
                called.set_exception(error)
            else:
                called.set_result(result)

        self.loop.call_soon_threadsafe(run)
        return called.result()

    def workers(self, key: int) -> list[int]:
        """The process ids of a function's workers."""
        return [worker.pid for worker in list(self._population.functions[key].workers.values()) if worker.pid]

    def knows(self, key: int) -> bool:
        """False: that function has ended, and each of its workers."""
        return key in self._population.functions

    def close(self, drain_seconds: float) -> None:
        """Let what was accepted end (for at most so long), then end every process. Idempotent."""
        lib.stk_engine_close(self._engine)
        if self._thread.is_alive():
            ended: Future[None] = Future()
            self.loop.call_soon_threadsafe(self._close, lib.stk_now() + int(drain_seconds * 1e9), ended)
            ended.result()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    # The loop's life.

    def _run(self) -> None:
        try:
            self._environments.open()
        except BaseException as error:
            self._open.set_exception(error)
            return
        self._open.set_result(None)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def _close(self, deadline: int, ended: Future[None]) -> None:
        """Once nothing is pending, or by then (ns)."""
        if self._population.closing:
            ended.set_result(None)
        elif lib.stk_engine_pending(self._engine) and lib.stk_now() < deadline:
            self.loop.call_later(DRAIN_S, self._close, deadline, ended)
        else:
            try:
                self._end()
            except BaseException as error:
                ended.set_exception(error)
            else:
                ended.set_result(None)

    def _end(self) -> None:
        population = self._population
        population.closing = True
        self._ticks.stop()
        for state in population.functions.values():
            lib.stk_function_close(self._engine, state.key)
            lib.stk_function_fail(self._engine, state.key, lib.STK_CLOSED, 0, b"", 0)
            self._inits.stop(state)
            if not state.up.done():
                state.up.set_exception(errors.EngineClosed("the engine was closed"))
        self._environments.close()
        for worker in list(population.workers.values()):
            self._workers.release(worker, lib.STK_CLOSED, 0)
        for state in population.functions.values():
            lib.stk_function_fail(self._engine, state.key, lib.STK_CLOSED, 0, b"", 0)
        self._output.close()
        self._ticks.close()

    # Functions come, scale and go.

    def _add(self, state: FunctionState) -> None:
        if self._population.closing:
            if not state.up.done():
                state.up.set_exception(errors.EngineClosed("the engine is closed"))
            return
        self._population.functions[state.key] = state
        state.added = lib.stk_now()
        try:
            self._inits.start(state, self._environments)
        except Exception as error:  # else its start would be waited for in vain
            try:
                self._stop(state.key, None)
            finally:
                if not state.up.done():
                    state.up.set_exception(error)

    def scale(self, state: FunctionState) -> None:
        if self._population.closing or state.stopped:
            return
        lib.stk_unkick(self._engine, state.key)
        now = lib.stk_now()
        if not state.breaker.may_start(now):
            if state.breaker.open and state.init_error:
                self._starts.fail_line(state)
            self._starts.retry_later(state)
            return
        lib.stk_function_load(self._engine, state.key, self._load)
        load = self._load
        if state.environment is None:
            if load.waiting or state.bounds.minimum or not state.up.done():
                try:
                    self._inits.start(state, self._environments)
                except OSError as error:  # no descriptor to be had, say
                    self._starts.no_process(state, error.errno or 0)
            return
        if not state.ready:
            return
        seen = Load(
            load.waiting, load.idle, load.busy, load.starting, load.ewma_ns, load.oldest_ns, load.stuck
        )
        for _ in range(workers_to_start(seen, state.bounds)):
            environment = state.environment
            if environment is None or environment.full or not self._workers.spawn(state):
                break

    def _stop(self, key: int, successor: int | None) -> None:
        state = self._population.functions.get(key)
        if state is None or state.stopped:
            return
        state.stopped = True
        if successor is not None:  # before it is closed: no caller may find neither
            lib.stk_steal(self._engine, lib.stk_now(), 0)
            lib.stk_function_move(self._engine, key, successor)
        lib.stk_function_close(self._engine, key)
        for worker in list(state.workers.values()):
            self._workers.retire(worker)
        if not state.workers:
            self.forget(state)

    def forget(self, state: FunctionState) -> None:
        lib.stk_function_end(self._engine, state.key)
        self._inits.stop(state)
        self._starts.forget(state)
        self._population.functions.pop(state.key, None)
