"""Environments whose workers are forked: a template initialises one function, and its workers are forked from it.

Templates are started by a zygote (../worker/zygote.py), one for each interpreter that functions run on; it reports how
they end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
from collections import defaultdict
from collections.abc import Mapping

from .. import wire
from .._native import lib
from ..launch import Launched
from .environment import InitReports, WorkerReports
from .population import FunctionState, Owner, Population, send_kill
from .stray_output import StrayOutput
from .watchdog import REPLY_S, Watchdog
from .zygote_process import ZygoteProcess

TEMPLATES_AT_ONCE = 8  # replies that one zygote owes: more requests might not fit into its socket
FORKS_AT_ONCE = 16  # replies that one template owes: to requests for workers, nearly all


class TemplateProcess:
    """A function's template: an Environment."""

    def __init__(
        self,
        kind: ForkedEnvironments,
        number: int,
        state: FunctionState,
        sock: socket.socket,
        output_r: int,
        zygote: Watchdog,
    ) -> None:
        """number: tells it from the function's earlier ones; zygote: the watchdog of that."""
        self._kind = kind
        self.number = number
        self.state = state
        self._sock = sock
        self._output_r = output_r
        self._zygote = zygote
        self.pidfd = -1
        self.ready = self.doomed = self.stopped = False
        self.dead = False  # the zygote has to report that
        self._dead_workers: set[int] = set()  # by their lanes: it has to report those
        # For its replies to requests for workers, and for those reports.
        self._watchdog = Watchdog(kind.loop, self._receive, self._overdue)

    def listen(self) -> None:
        """Raises OSError."""
        self._kind.loop.add_reader(self._sock.fileno(), self._receive)
        self._kind.output.watch(self._output_r, (self.state, None))

    @property
    def full(self) -> bool:
        return self._watchdog.due >= FORKS_AT_ONCE

    def spawn(self, lane: int, core: int, more: bool, born: int, fds: list[int]) -> None:
        wire.send(self._sock, wire.Fork(lane, core, more, born), fds)
        self._watchdog.expect()

    def worker_died(self, lane: int) -> None:
        self._dead_workers.add(lane)
        self._watchdog.expect()

    def kill(self) -> None:
        self.doomed = True
        if self.pidfd >= 0:
            send_kill(self.pidfd)

    def stop(self) -> None:
        self.stopped = True
        self._watchdog.close()
        self._kind.loop.remove_reader(self._sock.fileno())
        self._kind.output.drain(self._output_r)
        self._kind.output.unwatch(self._output_r)
        os.close(self._output_r)
        self._sock.close()
        self._end()

    def made(self, pidfd: int) -> None:
        """Its process is there."""
        self.pidfd = pidfd
        if self.stopped:
            self._end()
            return
        self._kind.loop.add_reader(pidfd, self._died)
        if self.doomed:
            send_kill(pidfd)
        elif not self.ready:
            self._kind.inits.began(self.state)

    def _died(self) -> None:
        self._kind.loop.remove_reader(self.pidfd)
        self.dead = True
        self._zygote.expect()

    def _overdue(self) -> None:
        text = (
            f"[stoker] this function's environment has not replied for {REPLY_S:.0f} s: a new one is made\n"
        )
        self._kind.log(self.state.log_name, "", text)
        self.kill()
        self._kind.inits.ended(self.state, self.ready, -signal.SIGKILL, 0)  # its zygote may be stopped, too

    def ended(self, status: int, peak_kib: int = 0) -> None:
        if self.stopped:
            return
        was_ready = self.ready
        with contextlib.suppress(Exception):
            self._receive()
        if not self.stopped:  # else its last message explained it
            self._kind.inits.ended(self.state, was_ready, status, peak_kib)

    def _end(self) -> None:
        """A stopped one ends when its socket closes; one that may hang in its init, deaf to it, is killed."""
        if self.pidfd >= 0:
            if not self.ready:
                send_kill(self.pidfd)
            self._kind.loop.remove_reader(self.pidfd)
            os.close(self.pidfd)
            self.pidfd = -1

    def _receive(self) -> None:
        """Every message that is there."""
        state, workers = self.state, self._kind.workers
        while not self.stopped:
            try:
                received = wire.receive(self._sock)
            except BlockingIOError:
                return
            if received is None:
                # The zygote reports how it ended; a dead peer must not be polled for ever.
                self._kind.loop.remove_reader(self._sock.fileno())
                return
            message, fds = received
            if isinstance(message, wire.Initialised):
                self._initialised(message)
            elif isinstance(message, wire.Forked):
                self._watchdog.replied()
                workers.forked(state, message.lane, message.pid, fds[0])
                if self._watchdog.due == FORKS_AT_ONCE // 2:
                    self._kind.owner.scale(state)  # it may have been held back by what was not met
            elif isinstance(message, wire.ForkFailed):
                self._watchdog.replied()
                workers.fork_failed(state, message.lane, message.errno)
            elif isinstance(message, wire.WorkerEnded):
                if message.lane in self._dead_workers:
                    self._dead_workers.remove(message.lane)
                    self._watchdog.replied()
                workers.ended(message.lane, message.status, message.peak_kib)

    def _initialised(self, message: wire.Initialised) -> None:
        inits = self._kind.inits
        self._kind.output.drain(self._output_r)
        if message.error:
            inits.init_failed(self.state, message.error.encode(), message.peak_kib)
        elif message.unsafe:
            inits.cannot_fork(self.state, message.unsafe)
        else:
            self.ready = True
            inits.initialised(self.state, message.seconds)


class ForkedEnvironments:
    """The templates of an engine's functions, and the zygotes above them: Environments."""

    def __init__(
        self,
        population: Population,
        owner: Owner,
        output: StrayOutput,
        inits: InitReports,
        workers: WorkerReports,
        launched: Launched,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """launched: the zygote of the engine's own interpreter; variables: the environment that others start with;
        None: this process's own."""
        self._launched = launched
        self._variables = variables
        self.loop = population.loop
        self.log = population.log
        self.owner = owner
        self.output = output
        self.inits = inits
        self.workers = workers
        self._population = population
        self._zygotes: dict[str, ZygoteProcess] = {}  # by their interpreter
        self._templates: dict[int, TemplateProcess] = {}  # those whose end the zygote has not reported
        # By interpreter, then by their keys: functions for whose request there was no room.
        self._held: defaultdict[str, dict[int, FunctionState]] = defaultdict(dict)
        self._numbers = itertools.count(1)

    def open(self) -> None:
        self._zygote("", self._launched)

    def start(self, state: FunctionState) -> TemplateProcess | None:
        zygote = self._zygote(state.spec.deployed.python)
        if not zygote.up:  # its successor's start comes back to this
            return None
        if zygote.watchdog.due >= TEMPLATES_AT_ONCE:  # its replies do
            self._held[zygote.python][state.key] = state
            return None
        with contextlib.ExitStack() as unwind:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            unwind.callback(ours.close)
            with theirs:
                output_r, output_w = os.pipe2(os.O_CLOEXEC)
                unwind.callback(os.close, output_r)
                try:
                    ours.setblocking(False)
                    number = next(self._numbers)
                    zygote.watchdog.expect()
                    with contextlib.suppress(OSError):  # its zygote is gone, or stopped, and it with that
                        zygote.send(wire.MakeTemplate(state.spec, number), [theirs.fileno(), output_w])
                finally:
                    os.close(output_w)
            template = self._templates[number] = TemplateProcess(
                self, number, state, ours, output_r, zygote.watchdog
            )
            unwind.pop_all()
        try:
            template.listen()
        except BaseException:
            template.stop()
            raise
        return template

    def close(self) -> None:
        for zygote in self._zygotes.values():
            zygote.hang_up()
        for zygote in self._zygotes.values():
            zygote.wait()

    # Zygotes.

    def _zygote(self, python: str, launched: Launched | None = None) -> ZygoteProcess:
        """That interpreter's, started when it is needed first, or begun before. Raises OSError."""
        zygote = self._zygotes.get(python)
        if zygote is None:
            zygote = ZygoteProcess(self.loop, python, self._received, self._zygote_ended, self._variables)
            zygote.start(launched)
            self._zygotes[python] = zygote
        return zygote

    def _received(self, zygote: ZygoteProcess, message: wire.Message, fds: list[int]) -> None:
        if isinstance(message, wire.TemplateMade):
            zygote.watchdog.replied()
            zygote.breaker.succeeded()
            self._templates[message.template].made(fds[0])
        elif isinstance(message, wire.TemplateNotMade):
            zygote.watchdog.replied()
            template = self._templates.pop(message.template)
            if not template.stopped:
                self.inits.not_made(template.state, message.errno)
        elif isinstance(message, wire.TemplateEnded):
            template = self._templates.pop(message.template)
            if template.dead:
                zygote.watchdog.replied()
            template.ended(message.status, message.peak_kib)
        held = self._held[zygote.python]
        while held and zygote.watchdog.due < TEMPLATES_AT_ONCE:
            self.owner.scale(held.pop(next(iter(held))))

    def _zygote_ended(self, zygote: ZygoteProcess) -> None:
        """Its templates, and so their workers, die with it. Each function starts anew."""
        if self._population.closing:
            return
        self._start_later(zygote)
        for template in list(self._templates.values()):
            if template.state.spec.deployed.python == zygote.python:
                del self._templates[template.number]
                template.ended(-signal.SIGKILL)

    def _start_later(self, zygote: ZygoteProcess) -> None:
        zygote.breaker.failed(lib.stk_now())
        self.loop.call_later((zygote.breaker.not_before - lib.stk_now()) / 1e9, self._start_again, zygote)

    def _start_again(self, zygote: ZygoteProcess) -> None:
        if self._population.closing:
            return
        try:
            zygote.start()
        except OSError:  # no descriptor, no memory: there may be some later
            self._start_later(zygote)
            return
        for state in list(self._population.functions.values()):
            if state.spec.deployed.python == zygote.python:
                self.owner.scale(state)
