"""Workers from birth to burial: asked of their template, handed a lane, and what is done when they end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections import Counter

from .. import wire
from .._native import ffi, lib
from . import cores as core_map
from .population import FunctionState, Lane, Owner, Population, Template, send_kill
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
        """data_epoll: where the engine's loops hear of replies."""
        self._population = population
        self._engine = population.engine
        self._loop = population.loop
        self._lanes = population.lanes
        self._owner = owner
        self._starts = starts
        self._output = output
        self._cores = cores
        self._pin = pin
        self._data_epoll = data_epoll
        self._taken: Counter[int] = Counter()

    # Birth.

    def spawn(self, state: FunctionState) -> bool:
        """Ask the function's template, which is ready, for one more. False: none can be had now."""
        template = state.template
        assert template is not None
        fds = ffi.new("stk_lane_fds *")
        core = core_map.assign(self._cores, self._taken)
        index = lib.stk_lane_new(self._engine, state.key, core, fds)
        if index < 0:
            self._starts.no_process(state, -index)
            return False
        self._loop.call_later(PREPARE_S, lib.stk_lane_prepare, self._engine)
        lane = Lane(index, state, core, fds.event_fd, fds.stdio_r, lib.stk_now())
        self._lanes[index] = state.lanes[index] = lane
        self._taken[core] += 1
        lib.stk_lane_take(self._engine, index)
        self._data_epoll.register(lane.event_fd, select.EPOLLIN | select.EPOLLET)
        sent = True
        try:
            more = len(state.lanes) < state.bounds.maximum
            message = wire.Fork(index, core if self._pin else -1, more)
            wire.send(
                template.sock, message, [fds.down_fd, fds.up_fd, fds.event_fd, fds.stdio_r, fds.stdio_w]
            )
            template.unanswered += 1
        except OSError:
            sent = False
        lib.stk_lane_handed_over(self._engine, index)
        if not sent:
            self.bury(lane, lib.STK_CRASH, -signal.SIGKILL)
            self._starts.failed(state)
            return False
        self._output.pipes.watch(lane.stdio_r, (state, lane))
        self._loop.call_later(state.init_timeout, self._birth_timed_out, lane)
        return True

    def forked(self, template: Template, message: wire.Forked, pidfd: int) -> None:
        """Its template says who it is."""
        lane = self._lanes.get(message.lane)
        if lane is None or lane.pidfd >= 0:
            os.close(pidfd)
            return
        lane.pid, lane.pidfd = message.pid, pidfd
        if lane.doomed:
            self.kill(lane)
        # It may have said that it is ready before its parent said that it is there.
        self.check_up(template.state)

    def fork_failed(self, state: FunctionState, message: wire.ForkFailed) -> None:
        lane = self._lanes.get(message.lane)
        if lane is not None:
            self.bury(lane, lib.STK_CRASH, -signal.SIGKILL)
        self._starts.no_process(state, message.errno)

    def note_ready(self) -> None:
        """Which of those that were not ready are so by now?"""
        for lane in [lane for lane in self._lanes.values() if not lane.ready]:
            if lib.stk_lane_state(self._engine, lane.index) in (lib.LANE_READY, lib.LANE_RETIRING):
                lane.ready = True
                lane.function.breaker.succeeded()
                self.check_up(lane.function)

    def check_up(self, state: FunctionState) -> None:
        """Tell those who wait for a function once it has all the workers that it starts with."""
        if not state.up or state.template is None or not state.template.ready:
            return
        if sum(lane.ready and lane.pid > 0 for lane in state.lanes.values()) >= state.bounds.minimum:
            for up in state.up:
                if not up.done():
                    up.set_result(state.init_seconds if state.spec.snapshot else None)
            state.up.clear()

    def _birth_timed_out(self, lane: Lane) -> None:
        """Its init, or its after-restore hooks, take too long."""
        if lane.ready or self._lanes.get(lane.index) is not lane:
            return
        lib.stk_lane_drain(self._engine, lane.index)
        self.note_ready()
        if not lane.ready:
            lane.timed_out = True
            self.kill(lane)

    # The end.

    def retire(self, lane: Lane) -> None:
        """It ends once it has done what it was given."""
        lane.retired = True
        lib.stk_lane_retire(self._engine, lane.index)

    def kill(self, lane: Lane) -> None:
        lane.doomed = True
        if lane.pidfd >= 0:
            send_kill(lane.pidfd)

    def lost(self, lane: Lane) -> None:
        """Its template died: nobody will report its end, so its pidfd must."""
        self.kill(lane)
        if lane.pidfd < 0:
            self.ended(lane, -signal.SIGKILL)
            return

        def gone() -> None:
            self._loop.remove_reader(lane.pidfd)
            self.ended(lane, -signal.SIGKILL)

        self._loop.add_reader(lane.pidfd, gone)

    def ended(self, lane: Lane, status: int, peak: int = 0) -> None:
        """It is dead. status: as subprocess has it; peak: KiB."""
        if self._lanes.get(lane.index) is not lane:
            return
        state = lane.function
        self._output.pipes.drain(lane.stdio_r)
        lib.stk_lane_drain(self._engine, lane.index)
        self.note_ready()
        scratch = self._population.scratch
        n = lib.stk_lane_init_error(self._engine, lane.index, scratch, len(scratch))
        failed_init = not lane.ready and not lane.retired
        payload = bytes(ffi.buffer(scratch, n)) if n else b""
        if lane.timed_out:
            payload = payload or timed_out(state.init_timeout)
        self.bury(lane, lib.STK_CRASH, status)
        if state.removed:
            if not state.lanes:
                self._owner.forget(state)
        elif failed_init and state.template is not None:
            # One forked from an initialised template, or killed, may have met with an accident.
            if payload or (not state.spec.snapshot and status != -signal.SIGKILL):
                self._starts.init_failed(state, payload or exited(status), peak, lane.began)
            else:
                self._starts.killed(state, status, peak, lane.began)
        else:
            self._owner.scale(state)

    def bury(self, lane: Lane, status: int, detail: int) -> None:
        """Everything of a dead worker's, given back."""
        self._output.flush(lane)
        with contextlib.suppress(OSError, ValueError):
            self._data_epoll.unregister(lane.event_fd)
        self._output.pipes.unwatch(lane.stdio_r)
        lib.stk_lane_dead(self._engine, lane.index, status, detail)
        if lane.pidfd >= 0:
            os.close(lane.pidfd)
        self._taken[lane.core] -= 1
        del self._lanes[lane.index]
        lane.function.lanes.pop(lane.index, None)
