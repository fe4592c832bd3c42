"""The control loop: it starts templates and workers, keeps deadlines, notices deaths, and scales.

It runs on uvloop in a thread of its own, so a busy embedder delays no deadline. The invoke path does not pass
through here; it only rings (`control_fd`) when a function needs a worker or the timer must run.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import select
import signal
import socket
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvloop

from .. import errors, limits, wire
from .._native import ffi, lib
from . import cores as core_map
from .dispatch import LogSink
from .output_pipes import Pipes
from .pool import Bounds, Load, may_retire, workers_to_start
from .scaling import Breaker
from .watch import kill, usage
from .zygote_process import ZygoteProcess

TICK_NS = 100_000_000
PRESSED_TICK_NS = 5_000_000
PATIENCE_NS = 1_000_000  # a lane's head that runs longer gives back what waits behind it
WATCH_NS = 50_000_000  # between two looks at the memory of what runs
IDLE_TICK_S = 2.0
PREPARE_S = 0.005  # after a worker's start, when the next one's memory is made
FORKS_AT_ONCE = 16  # requests that one template has not answered yet
_MAX_LANES = 4096


@dataclass(slots=True)
class Lane:
    """A worker as the control loop knows it."""

    index: int
    function: FunctionState
    core: int
    event_fd: int
    stdio_r: int
    began: int  # ns
    pid: int = 0
    pidfd: int = -1
    ready: bool = False
    retired: bool = False
    doomed: bool = False
    timed_out: bool = False


@dataclass(slots=True)
class Template:
    """A function's template process. `number` tells it from the function's earlier ones."""

    number: int
    state: FunctionState
    sock: socket.socket
    output_r: int
    pidfd: int = -1
    ready: bool = False
    unanswered: int = 0
    timed_out: bool = False
    timer: Any = None


@dataclass(slots=True)
class FunctionState:
    """A function's processes. `key` is its index in the C engine."""

    key: int
    spec: wire.FunctionSpec
    bounds: Bounds
    init_timeout: float
    template: Template | None = None
    lanes: dict[int, Lane] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)
    init_error: bytes = b""
    init_peak: int = 0  # KiB, of the init that failed so
    init_seconds: float = 0.0
    up: list[Future[float | None]] = field(default_factory=list)
    added: int = 0
    removed: bool = False
    retry: asyncio.TimerHandle | None = None


class Supervisor:
    """The engine's processes. Public methods are for other threads; the rest runs in the loop."""

    def __init__(
        self,
        pointer: Any,
        control_fd: int,
        cores: list[int],
        pin: bool,
        log_sink: LogSink,
        data_epoll: select.epoll,
    ) -> None:
        self._engine = pointer
        self._control_fd = control_fd
        self._cores = cores
        self._pin = pin
        self._log = log_sink
        self._data_epoll = data_epoll
        self._taken: Counter[int] = Counter()
        self._functions: dict[int, FunctionState] = {}
        self._templates: dict[int, Template] = {}  # those whose end the zygote has not reported
        self._numbers = itertools.count(1)
        self._lanes: dict[int, Lane] = {}
        self._zygotes: dict[str, ZygoteProcess] = {}  # by their interpreter
        self._timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._watch_at = 0
        self._closing = False
        self._started = threading.Event()
        self._load = ffi.new("stk_load_now *")
        self._indices = ffi.new("uint32_t[]", _MAX_LANES)
        self._next = ffi.new("uint64_t *")
        self._scratch = ffi.new("uint8_t[]", 64 * 1024)
        self._failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._pipes = Pipes(self.loop, self._running, self._from_pipe)
        self._thread = threading.Thread(target=self._run, name="stoker-control", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise errors.UnsupportedPlatform(f"the zygote could not be started: {self._failure}")

    # For other threads.

    def add(self, state: FunctionState) -> Future[float | None]:
        """Start a function's processes. The future's result: seconds that its init took (None: each worker has an
        init of its own); or InitError."""
        up: Future[float | None] = Future()
        state.up.append(up)
        self.loop.call_soon_threadsafe(self._add, state)
        return up

    def remove(self, key: int, successor: int | None = None) -> None:
        """No new invocation reaches it; what runs ends; its line goes to the successor or fails."""
        self.loop.call_soon_threadsafe(self._remove, key, successor)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function in the loop and wait for what it returns."""

        async def wrapped() -> Any:
            return function()

        return self.run(wrapped()).result()

    def workers(self, key: int) -> list[int]:
        """The process ids of a function's workers."""
        return [lane.pid for lane in list(self._functions[key].lanes.values()) if lane.pid]

    def close(self, drain_seconds: float) -> None:
        """Let what was accepted end (for at most so long), then end every process. Idempotent."""
        lib.stk_engine_close(self._engine)
        if self._thread.is_alive():
            self.run(self._close(drain_seconds)).result()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    # The loop's life.

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.add_reader(self._control_fd, self._rung)
            self._zygote("")
        except BaseException as error:
            self._failure = error
            self._started.set()
            return
        self._started.set()
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    async def _close(self, drain_seconds: float) -> None:
        if self._closing:
            return
        deadline = lib.stk_now() + int(drain_seconds * 1e9)
        while lib.stk_engine_pending(self._engine) and lib.stk_now() < deadline:
            await asyncio.sleep(0.002)
        self._closing = True
        for timer in (self._timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        for state in self._functions.values():
            lib.stk_function_close(self._engine, state.key)
            lib.stk_function_fail(self._engine, state.key, lib.STK_CLOSED, 0, b"", 0)
            if state.template is not None:
                self._drop_template(state)
            for up in state.up:
                if not up.done():
                    up.set_exception(errors.EngineClosed("the engine was closed"))
        for zygote in self._zygotes.values():
            zygote.hang_up()
        for zygote in self._zygotes.values():
            zygote.wait()
        for lane in list(self._lanes.values()):
            self._bury(lane, lib.STK_CLOSED, 0)
        for state in self._functions.values():
            lib.stk_function_fail(self._engine, state.key, lib.STK_CLOSED, 0, b"", 0)
        self._pipes.close()
        self.loop.remove_reader(self._control_fd)

    # The zygotes.

    def _zygote(self, python: str) -> ZygoteProcess:
        """That interpreter's, started when it is asked for first. Raises OSError."""
        zygote = self._zygotes.get(python)
        if zygote is None:
            zygote = ZygoteProcess(self.loop, python, self._from_zygote, self._zygote_ended)
            zygote.start()
            self._zygotes[python] = zygote
        return zygote

    def _from_zygote(self, zygote: ZygoteProcess, message: wire.Message, fds: list[int]) -> None:
        if isinstance(message, wire.Made):
            template = self._templates[message.template]
            template.pidfd = fds[0]
            zygote.breaker.succeeded()
            if template.state.template is not template:  # dropped meanwhile
                self._end_template(template)
            elif template.timed_out:
                _send_kill(template.pidfd)
        elif isinstance(message, wire.MakeFailed):
            self._make_failed(self._templates.pop(message.template), message.errno)
        elif isinstance(message, wire.TemplateEnded):
            template = self._templates.pop(message.template)
            self._template_ended(template, message.status, message.peak_kib)

    def _zygote_ended(self, zygote: ZygoteProcess) -> None:
        """Its templates, and so their workers, die with it. Each function starts anew."""
        if self._closing:
            return
        self._start_later(zygote)
        for template in [it for it in self._templates.values() if it.state.spec.python == zygote.python]:
            del self._templates[template.number]
            self._template_ended(template, -signal.SIGKILL)

    def _start_later(self, zygote: ZygoteProcess) -> None:
        zygote.breaker.failed(lib.stk_now())
        self.loop.call_later((zygote.breaker.not_before - lib.stk_now()) / 1e9, self._start_again, zygote)

    def _start_again(self, zygote: ZygoteProcess) -> None:
        if self._closing:
            return
        try:
            zygote.start()
        except OSError:  # no descriptor, no memory: there may be some later
            self._start_later(zygote)
            return
        for state in list(self._functions.values()):
            if state.spec.python == zygote.python:
                self._scale(state)

    # Templates.

    def _add(self, state: FunctionState) -> None:
        if self._closing:
            for up in state.up:
                up.set_exception(errors.EngineClosed("the engine is closed"))
            return
        self._functions[state.key] = state
        state.added = lib.stk_now()
        try:
            self._start_template(state)
        except Exception as error:  # nobody else would tell those who wait
            waiting, state.up = state.up, []
            try:
                self._remove(state.key, None)
            finally:
                for up in waiting:
                    if not up.done():
                        up.set_exception(error)

    def _start_template(self, state: FunctionState) -> None:
        if self._closing or state.removed or state.template is not None:
            return
        zygote = self._zygote(state.spec.python)
        if not zygote.up:  # its successor's start comes back to this
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                output_r, output_w = os.pipe2(os.O_CLOEXEC)
            except OSError:
                ours.close()
                raise
            ours.setblocking(False)
            template = Template(next(self._numbers), state, ours, output_r)
            state.template = template
            try:
                message, fds = wire.Make(state.spec, template.number), [theirs.fileno(), output_w]
                with contextlib.suppress(OSError):  # if the zygote is gone, its end is this template's too
                    zygote.send(message, fds)
            finally:
                os.close(output_w)
        self._templates[template.number] = template
        self.loop.add_reader(ours.fileno(), self._from_template, state, template)
        self._pipes.watch(output_r, (state, None))
        if state.spec.snapshot:
            template.timer = self.loop.call_later(state.init_timeout, self._init_timed_out, state, template)

    def _drop_template(self, state: FunctionState) -> None:
        template = state.template
        if template is None:
            return
        state.template = None
        if template.timer is not None:
            template.timer.cancel()
        self.loop.remove_reader(template.sock.fileno())
        self._pipes.drain(template.output_r)
        self._pipes.unwatch(template.output_r)
        os.close(template.output_r)
        template.sock.close()
        self._end_template(template)

    def _end_template(self, template: Template) -> None:
        """A dropped one ends when its socket closes; one that may hang in its init, deaf to it, is killed."""
        if template.pidfd >= 0:
            if not template.ready:
                _send_kill(template.pidfd)
            os.close(template.pidfd)
            template.pidfd = -1

    def _init_timed_out(self, state: FunctionState, template: Template) -> None:
        if template.ready or state.template is not template:
            return
        template.timed_out = True
        if template.pidfd >= 0:
            _send_kill(template.pidfd)

    def _from_template(self, state: FunctionState, template: Template) -> None:
        while state.template is template:
            try:
                got = wire.receive(template.sock)
            except BlockingIOError:
                return
            if got is None:
                # The zygote reports how it ended; a dead peer must not be polled for ever.
                self.loop.remove_reader(template.sock.fileno())
                return
            message, fds = got
            if isinstance(message, wire.Initialised):
                self._initialised(state, template, message)
            elif isinstance(message, wire.Forked):
                template.unanswered -= 1
                lane = self._lanes.get(message.lane)
                if lane is None or lane.pidfd >= 0:
                    os.close(fds[0])
                else:
                    lane.pid, lane.pidfd = message.pid, fds[0]
                    if lane.doomed:
                        self._kill(lane)
                    self._check_up(
                        state
                    )  # it may have said that it is ready before its parent said that it is there
                if template.unanswered == FORKS_AT_ONCE // 2:
                    self._scale(state)  # it may have been held back by what was unanswered
            elif isinstance(message, wire.ForkFailed):
                template.unanswered -= 1
                self._fork_failed(state, message)
            elif isinstance(message, wire.Ended):
                lane = self._lanes.get(message.lane)
                if lane is not None:
                    self._lane_ended(lane, message.status, message.peak_kib)

    def _initialised(self, state: FunctionState, template: Template, message: wire.Initialised) -> None:
        state.init_seconds = message.seconds
        if template.timer is not None:
            template.timer.cancel()
        self._pipes.drain(template.output_r)
        if message.error:
            self._drop_template(state)
            self._init_failed(state, message.error.encode(), message.peak_kib)
        elif message.unsafe:
            said = (
                f"stoker: {state.spec.name}: {message.unsafe}, so it cannot be forked after init; "
                'initialising it in every worker instead (init="fresh")'
            )
            try:
                warnings.warn(said, RuntimeWarning, stacklevel=2)
            except RuntimeWarning:  # where warnings are errors, this one is not
                self._log(state.spec.name, "", said + "\n")
            self._drop_template(state)
            state.spec = msgspec.structs.replace(state.spec, snapshot=False)
            self._scale(state)
        else:
            template.ready = True
            if state.spec.snapshot:
                state.breaker.succeeded()
            self._scale(state)
            self._check_up(state)

    def _template_ended(self, template: Template, status: int, peak: int = 0) -> None:
        state = template.state
        if state.template is not template:
            return
        # Its workers die with it: their pidfds say when.
        was_ready, timed_out = template.ready, template.timed_out
        with contextlib.suppress(Exception):
            self._from_template(state, template)
        if state.template is not template:
            return  # its last message explained it
        self._drop_template(state)
        for lane in list(state.lanes.values()):
            self._lane_lost(lane)
        if was_ready:
            self._start_failed(state)
        elif timed_out:
            self._init_failed(state, _timed_out(state.init_timeout), peak)
        elif status == -signal.SIGKILL:
            self._start_killed(state, status, peak)
        else:
            self._init_failed(state, _exited(status), peak)

    def _init_failed(
        self, state: FunctionState, payload: bytes, peak: int = 0, began: int | None = None
    ) -> None:
        state.init_error, state.init_peak = payload, min(peak, 2**31 - 1)
        self._not_up(state, payload)
        self._fail_line(state)
        self._start_failed(state, began)

    def _fail_line(self, state: FunctionState) -> None:
        payload = state.init_error
        lib.stk_function_fail(self._engine, state.key, lib.STK_INIT, state.init_peak, payload, len(payload))

    def _start_killed(self, state: FunctionState, status: int, peak: int, began: int | None = None) -> None:
        """Ended before it could report, by no fault of the function's, as far as we know: the init's failure only
        when it goes on so."""
        if state.breaker.last_try(lib.stk_now() if began is None else began):
            self._init_failed(state, _exited(status), peak, began)
        else:
            self._start_failed(state, began)

    def _not_up(self, state: FunctionState, payload: bytes) -> None:
        """Tell those who wait for the function to come up that it does not."""
        said = wire.decode(payload)
        for up in state.up:
            if not up.done():
                up.set_exception(
                    errors.InitError(said["errorType"], said["errorMessage"], said.get("stackTrace") or [])
                )
        state.up.clear()

    def _make_failed(self, template: Template, error: int) -> None:
        if template.state.template is template:
            self._drop_template(template.state)
            self._no_process(template.state, error)

    def _no_process(self, state: FunctionState, error: int) -> None:
        """No memory, or no process to be had: what waits goes on waiting, and we try again later."""
        state.init_error = b""
        if lib.stk_now() - state.added > state.init_timeout * 1e9:
            self._not_up(state, _not_forked(error))
        self._start_failed(state)

    def _start_failed(self, state: FunctionState, began: int | None = None) -> None:
        state.breaker.failed(lib.stk_now(), began)
        self._retry_later(state)

    def _retry_later(self, state: FunctionState) -> None:
        """Try again when the breaker allows it."""
        if state.retry is None and not self._closing:
            delay = max(0, state.breaker.not_before - lib.stk_now()) / 1e9
            # A loop's timer may be a little early, and only the timer brings us back.
            state.retry = self.loop.call_later(delay + 0.001, self._retry, state)

    def _retry(self, state: FunctionState) -> None:
        state.retry = None
        self._scale(state)

    # Workers.

    def _rung(self) -> None:
        """Something needs us now: only that is done; the rest waits for the timer, out of a cold start's way."""
        lib.stk_clear_eventfd(self._control_fd)
        if self._closing:
            return
        self._note_ready()
        self._end_corrupt()
        pressed = self._relieve()
        self._set_timer(PRESSED_TICK_NS if pressed else self._shortest())

    def _note_ready(self) -> None:
        for lane in [lane for lane in self._lanes.values() if not lane.ready]:
            if lib.stk_lane_state(self._engine, lane.index) in (lib.LANE_READY, lib.LANE_RETIRING):
                lane.ready = True
                lane.function.breaker.succeeded()
                self._check_up(lane.function)

    def _check_up(self, state: FunctionState) -> None:
        if not state.up or state.template is None or not state.template.ready:
            return
        if sum(lane.ready and lane.pid > 0 for lane in state.lanes.values()) >= state.bounds.minimum:
            for up in state.up:
                if not up.done():
                    up.set_result(state.init_seconds if state.spec.snapshot else None)
            state.up.clear()

    def _scale(self, state: FunctionState) -> None:
        if self._closing or state.removed:
            return
        lib.stk_unkick(self._engine, state.key)
        now = lib.stk_now()
        if not state.breaker.may_start(now):
            if state.breaker.open and state.init_error:
                self._fail_line(state)
            self._retry_later(state)
            return
        lib.stk_function_load(self._engine, state.key, self._load)
        load = self._load
        if state.template is None:
            if load.waiting or state.bounds.minimum or state.up:
                try:
                    self._start_template(state)
                except OSError as error:  # no descriptor to be had, say
                    self._drop_template(state)
                    self._no_process(state, error.errno or 0)
            return
        if not state.template.ready:
            return
        seen = Load(
            load.waiting, load.idle, load.busy, load.starting, load.ewma_ns, load.oldest_ns, load.stuck
        )
        for _ in range(workers_to_start(seen, state.bounds)):
            if state.template is None or state.template.unanswered >= FORKS_AT_ONCE or not self._spawn(state):
                break

    def _spawn(self, state: FunctionState) -> bool:
        template = state.template
        assert template is not None
        fds = ffi.new("stk_lane_fds *")
        core = core_map.assign(self._cores, self._taken)
        index = lib.stk_lane_new(self._engine, state.key, core, fds)
        if index < 0:
            self._no_process(state, -index)
            return False
        self.loop.call_later(PREPARE_S, lib.stk_lane_prepare, self._engine)
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
            self._bury(lane, lib.STK_CRASH, -signal.SIGKILL)
            self._start_failed(state)
            return False
        self._pipes.watch(lane.stdio_r, (state, lane))
        self.loop.call_later(state.init_timeout, self._birth_timed_out, lane)
        return True

    def _birth_timed_out(self, lane: Lane) -> None:
        """Its init, or its after-restore hooks, take too long."""
        if lane.ready or self._lanes.get(lane.index) is not lane:
            return
        lib.stk_lane_drain(self._engine, lane.index)
        self._note_ready()
        if not lane.ready:
            lane.timed_out = True
            self._kill(lane)

    def _fork_failed(self, state: FunctionState, message: wire.ForkFailed) -> None:
        lane = self._lanes.get(message.lane)
        if lane is not None:
            self._bury(lane, lib.STK_CRASH, -signal.SIGKILL)
        self._no_process(state, message.errno)

    def _kill(self, lane: Lane) -> None:
        lane.doomed = True
        if lane.pidfd >= 0:
            _send_kill(lane.pidfd)

    def _lane_lost(self, lane: Lane) -> None:
        """Its template died: nobody will report its end, so its pidfd must."""
        self._kill(lane)
        if lane.pidfd < 0:
            self._lane_ended(lane, -signal.SIGKILL)
            return

        def ended() -> None:
            self.loop.remove_reader(lane.pidfd)
            self._lane_ended(lane, -signal.SIGKILL)

        self.loop.add_reader(lane.pidfd, ended)

    def _lane_ended(self, lane: Lane, status: int, peak: int = 0) -> None:
        if self._lanes.get(lane.index) is not lane:
            return
        state = lane.function
        self._pipes.drain(lane.stdio_r)
        lib.stk_lane_drain(self._engine, lane.index)
        self._note_ready()
        n = lib.stk_lane_init_error(self._engine, lane.index, self._scratch, len(self._scratch))
        failed_init = not lane.ready and not lane.retired
        payload = bytes(ffi.buffer(self._scratch, n)) if n else b""
        if lane.timed_out:
            payload = payload or _timed_out(state.init_timeout)
        self._bury(lane, lib.STK_CRASH, status)
        if state.removed:
            if not state.lanes:
                self._forget(state)
        elif failed_init and state.template is not None:
            # One forked from an initialised template, or killed, may have met with an accident.
            if payload or (not state.spec.snapshot and status != -signal.SIGKILL):
                self._init_failed(state, payload or _exited(status), peak, lane.began)
            else:
                self._start_killed(state, status, peak, lane.began)
        else:
            self._scale(state)

    def _bury(self, lane: Lane, status: int, detail: int) -> None:
        """Everything of a dead worker's, given back."""
        self._flush_orphans(lane)
        with contextlib.suppress(OSError, ValueError):
            self._data_epoll.unregister(lane.event_fd)
        self._pipes.unwatch(lane.stdio_r)
        lib.stk_lane_dead(self._engine, lane.index, status, detail)
        if lane.pidfd >= 0:
            os.close(lane.pidfd)
        self._taken[lane.core] -= 1
        del self._lanes[lane.index]
        lane.function.lanes.pop(lane.index, None)

    def _remove(self, key: int, successor: int | None) -> None:
        state = self._functions.get(key)
        if state is None or state.removed:
            return
        state.removed = True
        if successor is not None:  # before it is closed: no caller may find neither
            lib.stk_steal(self._engine, lib.stk_now(), 0)
            lib.stk_function_move(self._engine, key, successor)
        lib.stk_function_close(self._engine, key)
        for lane in list(state.lanes.values()):
            lane.retired = True
            lib.stk_lane_retire(self._engine, lane.index)
        if not state.lanes:
            self._forget(state)

    def _forget(self, state: FunctionState) -> None:
        payload = b""
        lib.stk_function_fail(self._engine, state.key, lib.STK_CANCELLED, 0, payload, 0)
        self._drop_template(state)
        self._functions.pop(state.key, None)

    # The timer: deadlines, lines that do not move, memory, idleness.

    def _tick(self) -> None:
        if self._closing:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = lib.stk_now()
        expired = lib.stk_expire(self._engine, now, self._indices, _MAX_LANES, self._next)
        for i in range(expired):
            self._kill_index(self._indices[i])
        self._end_corrupt()
        pressed = self._relieve()
        if pressed:
            lib.stk_steal(self._engine, now, PATIENCE_NS)
        busy = self._watch_memory(now)
        for lane in self._lanes.values():
            self._flush_orphans(lane)
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
        return min((int(s.spec.timeout * 1e9) for s in self._functions.values()), default=TICK_NS) or TICK_NS

    def _set_timer(self, wait: int) -> None:
        """Look again in so many ns at the latest."""
        wait = min(wait, TICK_NS)
        due = self.loop.time() + wait / 1e9
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self.loop.call_later(wait / 1e9, self._tick)

    def _relieve(self) -> int:
        """Workers for the functions that lack them. How many functions are under pressure."""
        pressed: int = lib.stk_pressed(self._engine, self._indices, _MAX_LANES)
        for key in [self._indices[i] for i in range(pressed)]:
            if key in self._functions:
                self._scale(self._functions[key])
        return pressed

    def _end_corrupt(self) -> None:
        for i in range(lib.stk_corrupt(self._engine, self._indices, _MAX_LANES)):
            self._corrupt(self._indices[i])

    def _kill_index(self, index: int) -> None:
        lane = self._lanes.get(index)
        if lane is not None:
            self._kill(lane)

    def _corrupt(self, index: int) -> None:
        lane = self._lanes.get(index)
        if lane is not None and not lane.doomed:
            self._log(
                lane.function.spec.name, "", "[stoker] the worker wrote nonsense into its lane: killed\n"
            )
            lib.stk_lane_doom(self._engine, index, lib.STK_CRASH, -signal.SIGKILL)
            self._kill(lane)

    def _watch_memory(self, now: int) -> bool:
        """End workers whose tree exceeds its memory or its number of processes. Is anybody running?"""
        busy = False
        due = now >= self._watch_at
        for lane in list(self._lanes.values()):
            since = lib.stk_lane_busy_since(self._engine, lane.index)
            if not since or not lane.pid or lane.doomed:
                continue
            busy = True
            if due and now - since >= PRESSED_TICK_NS:
                self._limit(lane)
        if due:  # a tree of a thousand takes a while to look at: not again at once
            self._watch_at = now + max(WATCH_NS, 4 * (lib.stk_now() - now))
        return busy

    def _limit(self, lane: Lane) -> bool:
        """End a worker whose tree exceeds its limits. Has it more than one process?"""
        used = usage(lane.pid)
        limit = lane.function.spec.memory * 1024
        if used.kib > limit:
            used = usage(lane.pid, exact=True)
        if used.kib > limit or used.processes > limits.PROCESSES:
            status = lib.STK_MEMORY if used.kib > limit else lib.STK_CRASH
            detail = used.kib if used.kib > limit else -signal.SIGKILL
            lib.stk_lane_doom(self._engine, lane.index, status, min(detail, 2**31 - 1))
            self._kill(lane)
            kill({lane.pid}, set())  # at once: its end, from which on its template would do it, may take long
        return used.processes > 1

    def _rest(self) -> None:
        """Nothing runs: stop the timer, but come back once for what idleness allows."""
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(IDLE_TICK_S, self._idle_tick)

    def _idle_tick(self) -> None:
        self._idle_timer = None
        again = False
        now = lib.stk_now()
        lib.stk_drain_all(self._engine)  # what a thread that a handler left behind has printed
        for lane in list(self._lanes.values()):
            self._flush_orphans(lane)
            state = lane.function
            since = lib.stk_lane_idle_since(self._engine, lane.index)
            if not since or lane.retired:
                continue
            lib.stk_lane_trim(self._engine, lane.index)
            if lane.pid and self._limit(lane):  # what its handler left running may still grow
                again = True
            have = sum(not other.retired for other in state.lanes.values())
            if may_retire(now - since, have, state.bounds):
                lane.retired = True
                lib.stk_lane_retire(self._engine, lane.index)
            else:
                again = again or have > state.bounds.minimum
        if again and not self._closing:
            self._idle_timer = self.loop.call_later(IDLE_TICK_S, self._idle_tick)

    # Output that is not in a reply.

    def _running(self, owner: Any) -> int:
        _state, lane = owner
        return lib.stk_lane_running(self._engine, lane.index) if lane is not None else 0

    def _from_pipe(self, owner: Any, running: int, data: bytes) -> None:
        state, lane = owner
        if lane is None:
            self._log(state.spec.name, "", data.decode("utf-8", "replace"))
        else:
            lib.stk_lane_append_log(self._engine, lane.index, running, data, len(data))

    def _flush_orphans(self, lane: Lane) -> None:
        n = lib.stk_lane_orphan_log(self._engine, lane.index, self._scratch, len(self._scratch))
        if n:
            text = bytes(ffi.buffer(self._scratch, n)).decode("utf-8", "replace")
            self._log(lane.function.spec.name, "", text)


def _send_kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _exited(status: int) -> bytes:
    crash = errors.FunctionCrashed(
        "", status if status >= 0 else None, errors.signal_name(-status) if status < 0 else None
    )
    cause = crash.error_message.split(" Error: ", 1)[1]
    return wire.encode(
        {"errorType": "Runtime.ExitError", "errorMessage": f"Error: {cause}", "stackTrace": []}
    )


def _not_forked(error: int) -> bytes:
    message = f"Error: no process could be started: {os.strerror(error)}"
    return wire.encode({"errorType": "Sandbox.ForkFailed", "errorMessage": message, "stackTrace": []})


def _timed_out(seconds: float) -> bytes:
    message = f"Error: Init timed out after {seconds:.2f} seconds"
    return wire.encode({"errorType": "Sandbox.Timedout", "errorMessage": message, "stackTrace": []})
