"""Workers from start to end: requested from their environment with a lane of their own, watched, given up."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections import Counter

from .._native import ffi, lib
from . import cores as core_map
from .population import FunctionState, Owner, Population, WorkerState, send_kill
from .starts import Starts, exited, timed_out
from .stray_output import StrayOutput

PREPARE_S = 0.005  # after a worker's start, when the next one's memory is made


class Workers:
    """The workers of an engine's functions."""

    def __init__(
        self,
        population: Population,
        owner: Owner,
        starts: Starts,
        output: StrayOutput,
        cores: list[int],
        pin: bool,
        data_epoll: select.epoll,
    ) -> None:
        """data_epoll: what the engine's loops watch for replies."""
        self._population = population
        self._engine = population.engine
        self._loop = population.loop
        self._workers = population.workers
        self._owner = owner
        self._starts = starts
        self._output = output
        self._cores = cores
        self._pin = pin
        self._data_epoll = data_epoll
        self._taken: Counter[int] = Counter()

    # Their start.

    def spawn(self, state: FunctionState) -> bool:
        """Have the function's environment, which is ready, make one more. False: that cannot be now."""
        environment = state.environment
        assert environment is not None
        fds = ffi.new("stk_lane_fds *")
        caller = lib.stk_caller_core(self._engine)
        core = core_map.assign(self._cores, self._taken, core_map.places(tuple(self._cores)), caller)
        born = time.time_ns() // 1000 if state.births else 0
        lane = lib.stk_lane_new(self._engine, state.key, core, born, fds)
        if lane < 0:
            self._starts.no_process(state, -lane)
            return False
        self._loop.call_later(PREPARE_S, lib.stk_lane_prepare, self._engine)
        worker = WorkerState(lane, state, core, fds.event_fd, fds.stdio_r, lib.stk_now(), born)
        state.births += 1
        self._workers[lane] = state.workers[lane] = worker
        self._taken[core] += 1
        lib.stk_lane_take(self._engine, lane)
        self._data_epoll.register(worker.event_fd, select.EPOLLIN | select.EPOLLET)
        sent = True
        try:
            environment.spawn(
                lane,
                core if self._pin else -1,
                len(state.workers) < state.bounds.maximum,
                born,
                [fds.down_fd, fds.up_fd, fds.event_fd, fds.stdio_r, fds.stdio_w],
            )
        except OSError:
            sent = False
        lib.stk_lane_handed_over(self._engine, lane)
        if not sent:
            self.release(worker, lib.STK_CRASH, -signal.SIGKILL)
            self._starts.failed(state)
            return False
        self._output.watch(worker.stdio_r, (state, worker))
        worker.timer = self._loop.call_later(state.init_timeout, self._init_timed_out, worker)
        return True

    def forked(self, state: FunctionState, lane: int, pid: int, pidfd: int) -> None:
        worker = self._workers.get(lane)
        if worker is None or worker.pidfd >= 0:
            os.close(pidfd)
            return
        worker.pid, worker.pidfd = pid, pidfd
        self._loop.add_reader(pidfd, self._died, worker)
        if worker.doomed:
            self.kill(worker)
        self.check_up(state)  # the lane may have been ready before this report came

    def fork_failed(self, state: FunctionState, lane: int, errno: int) -> None:
        worker = self._workers.get(lane)
        if worker is not None:
            self.release(worker, lib.STK_CRASH, -signal.SIGKILL)
        if not state.stopped:
            self._starts.no_process(state, errno)
        elif not state.workers:
            self._owner.forget(state)

    def note_ready(self) -> None:
        """Note which have become ready."""
        for worker in [worker for worker in self._workers.values() if not worker.ready]:
            if lib.stk_lane_state(self._engine, worker.lane) in (lib.LANE_READY, lib.LANE_RETIRING):
                worker.ready = True
                _cancel(worker)
                worker.function.breaker.succeeded()
                self.check_up(worker.function)

    def check_up(self, state: FunctionState) -> None:
        """The function is up once it has all the workers that it starts with."""
        if state.up.done() or not state.ready:
            return
        if sum(worker.ready and worker.pid > 0 for worker in state.workers.values()) >= state.bounds.minimum:
            state.up.set_result(state.init_seconds if state.spec.snapshot else None)

    def _init_timed_out(self, worker: WorkerState) -> None:
        """Its init, or its after-restore hooks, take too long."""
        if worker.ready or self._workers.get(worker.lane) is not worker:
            return
        lib.stk_lane_drain(self._engine, worker.lane)
        self.note_ready()
        if not worker.ready:
            worker.late = True
            self.kill(worker)

    # Their end.

    def retire(self, worker: WorkerState) -> None:
        """It ends once it has served what its lane holds."""
        worker.retired = True
        lib.stk_lane_retire(self._engine, worker.lane)

    def kill(self, worker: WorkerState) -> None:
        worker.doomed = True
        if worker.pidfd >= 0:
            send_kill(worker.pidfd)

    def _died(self, worker: WorkerState) -> None:
        """How it ended its environment reports: soon, unless that is stopped."""
        self._loop.remove_reader(worker.pidfd)
        if worker.function.environment is not None:
            worker.function.environment.worker_died(worker.lane)

    def lost(self, worker: WorkerState) -> None:
        """Its environment ended and reports nothing any more: its pidfd says when it has ended."""
        self.kill(worker)
        if worker.pidfd < 0:
            self._ended(worker, -signal.SIGKILL)
            return

        def on_end() -> None:
            self._loop.remove_reader(worker.pidfd)
            self._ended(worker, -signal.SIGKILL)

        self._loop.add_reader(worker.pidfd, on_end)

    def ended(self, lane: int, status: int, peak_kib: int) -> None:
        worker = self._workers.get(lane)
        if worker is not None:
            self._ended(worker, status, peak_kib)

    def _ended(self, worker: WorkerState, status: int, peak_kib: int = 0) -> None:
        """status: an exit status, or -signal."""
        if self._workers.get(worker.lane) is not worker:
            return
        state = worker.function
        self._output.drain(worker.stdio_r)
        lib.stk_lane_drain(self._engine, worker.lane)
        self.note_ready()
        scratch = self._population.scratch
        n = lib.stk_lane_init_error(self._engine, worker.lane, scratch, len(scratch))
        failed_init = not worker.ready and not worker.retired
        payload = bytes(ffi.buffer(scratch, n)) if n else b""
        if worker.late:
            payload = payload or timed_out(state.init_timeout)
        self.release(worker, lib.STK_CRASH, status)
        if state.stopped:
            if not state.workers:
                self._owner.forget(state)
        elif failed_init and state.environment is not None:
            # One forked from an initialised environment, or killed, may have met with an accident.
            if payload or (not state.spec.snapshot and status != -signal.SIGKILL):
                self._starts.init_failed(state, payload or exited(status), peak_kib, worker.began)
            else:
                self._starts.killed(state, status, peak_kib, worker.began)
        else:
            self._owner.scale(state)

    def release(self, worker: WorkerState, status: int, detail: int) -> None:
        """Give back everything that a dead worker had."""
        _cancel(worker)
        self._output.flush(worker)
        with contextlib.suppress(OSError, ValueError):
            self._data_epoll.unregister(worker.event_fd)
        self._output.unwatch(worker.stdio_r)
        lib.stk_lane_dead(self._engine, worker.lane, status, detail)
        self._output.flush_calls()
        if worker.pidfd >= 0:
            self._loop.remove_reader(worker.pidfd)
            os.close(worker.pidfd)
        self._taken[worker.core] -= 1
        del self._workers[worker.lane]
        worker.function.workers.pop(worker.lane, None)


def _cancel(worker: WorkerState) -> None:
    """Its init is over."""
    if worker.timer is not None:
        worker.timer.cancel()
        worker.timer = None
