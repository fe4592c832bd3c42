"""When the control loop looks: rung by the engine, and by its timer, for deadlines, lines, memory and idleness."""

from __future__ import annotations

import signal

from .. import limits
from .._native import ffi, lib
from ..worker.process_tree import kill, usage
from .loop import Timer
from .population import Owner, Population, WorkerState
from .scaling import may_retire
from .stray_output import StrayOutput
from .workers import Workers

TICK_NS = 100_000_000
PRESSED_TICK_NS = 5_000_000
PATIENCE_NS = 1_000_000  # a lane's head that runs longer gives back what waits behind it
WATCH_NS = 50_000_000  # between two looks at the memory of what runs
IDLE_TICK_S = 2.0
_MAX_LANES = 4096


class Ticks:
    """One engine's. The timer runs while an invocation does."""

    def __init__(
        self, population: Population, owner: Owner, output: StrayOutput, workers: Workers, control_fd: int
    ) -> None:
        self._population = population
        self._engine = population.engine
        self._loop = population.loop
        self._owner = owner
        self._output = output
        self._workers = workers
        self._control_fd = control_fd
        self._timer: Timer | None = None
        self._idle_timer: Timer | None = None
        self._watch_at = 0
        self._indices = ffi.new("uint32_t[]", _MAX_LANES)
        self._next = ffi.new("uint64_t *")
        self._loop.add_reader(control_fd, self._rung)

    def stop(self) -> None:
        """End the timers."""
        for timer in (self._timer, self._idle_timer):
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """End listening to the engine."""
        self._loop.remove_reader(self._control_fd)

    def _rung(self) -> None:
        """Something needs us now: only that is done; the rest waits for the timer, out of a cold start's way."""
        lib.stk_clear_eventfd(self._control_fd)
        if self._population.closing:
            return
        self._workers.note_ready()
        self._output.flush_calls()
        self._end_corrupt()
        pressed = self._relieve()
        self._set_timer(PRESSED_TICK_NS if pressed else self._shortest())

    def _tick(self) -> None:
        if self._population.closing:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = lib.stk_now()
        expired = lib.stk_expire(self._engine, now, self._indices, _MAX_LANES, self._next)
        for i in range(expired):
            worker = self._population.workers.get(self._indices[i])
            if worker is not None:
                self._workers.kill(worker)
        self._end_corrupt()
        pressed = self._relieve()
        if pressed:
            lib.stk_steal(self._engine, now, PATIENCE_NS)
        busy = self._watch_memory(now)
        for worker in self._population.workers.values():
            self._output.flush(worker)
        self._output.flush_calls()
        if not busy and not pressed and not lib.stk_engine_pending(self._engine):
            lib.stk_armed(self._engine, 0)
            if not lib.stk_busy_lanes(self._engine):
                self._rest()
                return
            lib.stk_armed(self._engine, 1)
        wait = min(PRESSED_TICK_NS if pressed else TICK_NS, self._shortest())
        if self._next[0]:
            wait = min(wait, max(0, self._next[0] - now))
        self._set_timer(wait)

    def _shortest(self) -> int:
        """ns to the next look: no function's timeout can pass between two."""
        functions = self._population.functions.values()
        return min((int(s.spec.timeout * 1e9) for s in functions), default=TICK_NS) or TICK_NS

    def _set_timer(self, wait: int) -> None:
        """Look again in so many ns at the latest."""
        wait = min(wait, TICK_NS)
        due = self._loop.time() + wait / 1e9
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(wait / 1e9, self._tick)

    def _relieve(self) -> int:
        """Workers for the functions that lack them. How many functions are under pressure."""
        pressed: int = lib.stk_pressed(self._engine, self._indices, _MAX_LANES)
        for key in [self._indices[i] for i in range(pressed)]:
            if key in self._population.functions:
                self._owner.scale(self._population.functions[key])
        return pressed

    def _end_corrupt(self) -> None:
        for i in range(lib.stk_corrupt(self._engine, self._indices, _MAX_LANES)):
            worker = self._population.workers.get(self._indices[i])
            if worker is not None and not worker.doomed:
                text = "[stoker] the worker wrote nonsense into its lane: killed\n"
                self._population.log(worker.log_name, "", text)
                lib.stk_lane_doom(self._engine, worker.lane, lib.STK_CRASH, -signal.SIGKILL)
                self._workers.kill(worker)

    def _watch_memory(self, now: int) -> bool:
        """End workers whose tree exceeds its memory or its number of processes. Is one running?"""
        busy = False
        due = now >= self._watch_at
        for worker in list(self._population.workers.values()):
            since = lib.stk_lane_busy_since(self._engine, worker.lane)
            if not since or not worker.pid or worker.doomed:
                continue
            busy = True
            if due and now - since >= PRESSED_TICK_NS:
                self._limit(worker)
        if due:  # a tree of a thousand takes a while to look at: not again at once
            self._watch_at = now + max(WATCH_NS, 4 * (lib.stk_now() - now))
        return busy

    def _limit(self, worker: WorkerState) -> bool:
        """End a worker whose tree exceeds its limits. Has it more than one process?"""
        used = usage(worker.pid)
        limit = worker.function.spec.memory * 1024
        if used.kib > limit:
            used = usage(worker.pid, exact=True)
        if used.kib > limit or used.processes > limits.PROCESSES:
            status = lib.STK_MEMORY if used.kib > limit else lib.STK_CRASH
            detail = used.kib if used.kib > limit else -signal.SIGKILL
            lib.stk_lane_doom(self._engine, worker.lane, status, min(detail, 2**31 - 1))
            self._workers.kill(worker)
            # At once: its end, upon which its environment would do it, may take long.
            kill({worker.pid}, set())
        return used.processes > 1

    def _rest(self) -> None:
        """Nothing runs: stop the timer, but come back once for what idleness allows."""
        if self._idle_timer is None:
            self._idle_timer = self._loop.call_later(IDLE_TICK_S, self._idle_tick)

    def _idle_tick(self) -> None:
        self._idle_timer = None
        again = False
        now = lib.stk_now()
        lib.stk_drain_all(self._engine)  # what a thread that a handler left behind has printed
        for worker in list(self._population.workers.values()):
            self._output.flush(worker)
            state = worker.function
            since = lib.stk_lane_idle_since(self._engine, worker.lane)
            if not since or worker.retired:
                continue
            lib.stk_lane_trim(self._engine, worker.lane)
            if worker.pid and self._limit(worker):  # what its handler left running may still grow
                again = True
            have = sum(not other.retired for other in state.workers.values())
            if may_retire(now - since, have, state.bounds):
                self._workers.retire(worker)
            else:
                again = again or have > state.bounds.minimum
        if again and not self._population.closing:
            self._rest()
