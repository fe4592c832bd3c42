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
from collections.abc import Mapping
from dataclasses import dataclass

from .. import errors, wire
from .._native import lib
from .environment import InitReports, WorkerReports
from .population import FunctionState, Owner, Population, send_kill
from .stray_output import StrayOutput
from .zygote_process import ZygoteProcess

FORKS_AT_ONCE = 16  # requests for workers that one template has not met yet


@dataclass(slots=True, eq=False)
class TemplateProcess:
    """A function's template: an Environment."""

    _kind: ForkedEnvironments
    number: int  # tells it from the function's earlier ones
    state: FunctionState
    _sock: socket.socket
    _output_r: int
    pidfd: int = -1
    unmet: int = 0  # requests for workers
    ready: bool = False
    doomed: bool = False
    stopped: bool = False

    def listen(self) -> None:
        """Raises OSError."""
        self._kind.loop.add_reader(self._sock.fileno(), self._receive)
        self._kind.output.watch(self._output_r, (self.state, None))

    @property
    def full(self) -> bool:
        return self.unmet >= FORKS_AT_ONCE

    def spawn(self, lane: int, core: int, more: bool, fds: list[int]) -> None:
        wire.send(self._sock, wire.Fork(lane, core, more), fds)
        self.unmet += 1

    def kill(self) -> None:
        self.doomed = True
        if self.pidfd >= 0:
            send_kill(self.pidfd)

    def stop(self) -> None:
        self.stopped = True
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
        elif self.doomed:
            send_kill(pidfd)

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
                self.unmet -= 1
                workers.forked(state, message.lane, message.pid, fds[0])
                if self.unmet == FORKS_AT_ONCE // 2:
                    self._kind.owner.scale(state)  # it may have been held back by what was not met
            elif isinstance(message, wire.ForkFailed):
                self.unmet -= 1
                workers.fork_failed(state, message.lane, message.errno)
            elif isinstance(message, wire.WorkerEnded):
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
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """variables: the environment that zygotes start with; None: this process's own."""
        self._variables = variables
        self.loop = population.loop
        self.owner = owner
        self.output = output
        self.inits = inits
        self.workers = workers
        self._population = population
        self._zygotes: dict[str, ZygoteProcess] = {}  # by their interpreter
        self._templates: dict[int, TemplateProcess] = {}  # those whose end the zygote has not reported
        self._numbers = itertools.count(1)

    def open(self) -> None:
        try:
            self._zygote("")
        except Exception as error:
            raise errors.UnsupportedPlatform(f"the zygote could not be started: {error}") from error

    def start(self, state: FunctionState) -> TemplateProcess | None:
        zygote = self._zygote(state.spec.deployed.python)
        if not zygote.up:  # its successor's start comes back to this
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
                    with contextlib.suppress(OSError):  # its zygote is gone, and it with that
                        zygote.send(wire.MakeTemplate(state.spec, number), [theirs.fileno(), output_w])
                finally:
                    os.close(output_w)
            template = self._templates[number] = TemplateProcess(self, number, state, ours, output_r)
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

    def _zygote(self, python: str) -> ZygoteProcess:
        """That interpreter's, started when it is needed first. Raises OSError."""
        zygote = self._zygotes.get(python)
        if zygote is None:
            zygote = ZygoteProcess(self.loop, python, self._received, self._zygote_ended, self._variables)
            zygote.start()
            self._zygotes[python] = zygote
        return zygote

    def _received(self, zygote: ZygoteProcess, message: wire.Message, fds: list[int]) -> None:
        if isinstance(message, wire.TemplateMade):
            zygote.breaker.succeeded()
            self._templates[message.template].made(fds[0])
        elif isinstance(message, wire.TemplateNotMade):
            template = self._templates.pop(message.template)
            if not template.stopped:
                self.inits.not_made(template.state, message.errno)
        elif isinstance(message, wire.TemplateEnded):
            self._templates.pop(message.template).ended(message.status, message.peak_kib)

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
