"""Zygotes and templates: started, listened to, and what is done when they end.

A template initialises one function; the zygote of the function's interpreter starts it and reports how it ended.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import warnings

import msgspec

from .. import wire
from .._native import lib
from .population import FunctionState, Owner, Population, Template, send_kill
from .starts import Starts, exited, timed_out
from .stray_output import StrayOutput
from .workers import Workers
from .zygote_process import ZygoteProcess

FORKS_AT_ONCE = 16  # requests that one template has not answered yet


class Templates:
    """The templates of an engine's functions, and the zygotes above them."""

    def __init__(
        self, population: Population, owner: Owner, starts: Starts, output: StrayOutput, workers: Workers
    ) -> None:
        self._population = population
        self._loop = population.loop
        self._owner = owner
        self._starts = starts
        self._output = output
        self._workers = workers
        self._zygotes: dict[str, ZygoteProcess] = {}  # by their interpreter
        self._templates: dict[int, Template] = {}  # those whose end the zygote has not reported
        self._numbers = itertools.count(1)

    # Zygotes.

    def zygote(self, python: str) -> ZygoteProcess:
        """That interpreter's, started when it is asked for first. Raises OSError."""
        zygote = self._zygotes.get(python)
        if zygote is None:
            zygote = ZygoteProcess(self._loop, python, self._from_zygote, self._zygote_ended)
            zygote.start()
            self._zygotes[python] = zygote
        return zygote

    def close(self) -> None:
        """End every zygote, and with it all below it."""
        for zygote in self._zygotes.values():
            zygote.hang_up()
        for zygote in self._zygotes.values():
            zygote.wait()

    def _from_zygote(self, zygote: ZygoteProcess, message: wire.Message, fds: list[int]) -> None:
        if isinstance(message, wire.Made):
            template = self._templates[message.template]
            template.pidfd = fds[0]
            zygote.breaker.succeeded()
            if template.state.template is not template:  # dropped meanwhile
                _end(template)
            elif template.timed_out:
                send_kill(template.pidfd)
        elif isinstance(message, wire.MakeFailed):
            template = self._templates.pop(message.template)
            if template.state.template is template:
                self.drop(template.state)
                self._starts.no_process(template.state, message.errno)
        elif isinstance(message, wire.TemplateEnded):
            template = self._templates.pop(message.template)
            self._ended(template, message.status, message.peak_kib)

    def _zygote_ended(self, zygote: ZygoteProcess) -> None:
        """Its templates, and so their workers, die with it. Each function starts anew."""
        if self._population.closing:
            return
        self._start_later(zygote)
        for template in [it for it in self._templates.values() if it.state.spec.python == zygote.python]:
            del self._templates[template.number]
            self._ended(template, -signal.SIGKILL)

    def _start_later(self, zygote: ZygoteProcess) -> None:
        zygote.breaker.failed(lib.stk_now())
        self._loop.call_later((zygote.breaker.not_before - lib.stk_now()) / 1e9, self._start_again, zygote)

    def _start_again(self, zygote: ZygoteProcess) -> None:
        if self._population.closing:
            return
        try:
            zygote.start()
        except OSError:  # no descriptor, no memory: there may be some later
            self._start_later(zygote)
            return
        for state in list(self._population.functions.values()):
            if state.spec.python == zygote.python:
                self._owner.scale(state)

    # Templates.

    def start(self, state: FunctionState) -> None:
        """Have a function's template made, unless it has one. Raises OSError."""
        if self._population.closing or state.removed or state.template is not None:
            return
        zygote = self.zygote(state.spec.python)
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
        self._loop.add_reader(ours.fileno(), self._told, state, template)
        self._output.pipes.watch(output_r, (state, None))
        if state.spec.snapshot:
            template.timer = self._loop.call_later(state.init_timeout, self._init_timed_out, state, template)

    def drop(self, state: FunctionState) -> None:
        """End a function's template, if it has one."""
        template = state.template
        if template is None:
            return
        state.template = None
        if template.timer is not None:
            template.timer.cancel()
        self._loop.remove_reader(template.sock.fileno())
        self._output.pipes.drain(template.output_r)
        self._output.pipes.unwatch(template.output_r)
        os.close(template.output_r)
        template.sock.close()
        _end(template)

    def _init_timed_out(self, state: FunctionState, template: Template) -> None:
        if template.ready or state.template is not template:
            return
        template.timed_out = True
        if template.pidfd >= 0:
            send_kill(template.pidfd)

    def _told(self, state: FunctionState, template: Template) -> None:
        """Read what a template has to say."""
        while state.template is template:
            try:
                got = wire.receive(template.sock)
            except BlockingIOError:
                return
            if got is None:
                # The zygote reports how it ended; a dead peer must not be polled for ever.
                self._loop.remove_reader(template.sock.fileno())
                return
            message, fds = got
            if isinstance(message, wire.Initialised):
                self._initialised(state, template, message)
            elif isinstance(message, wire.Forked):
                template.unanswered -= 1
                self._workers.forked(template, message, fds[0])
                if template.unanswered == FORKS_AT_ONCE // 2:
                    self._owner.scale(state)  # it may have been held back by what was unanswered
            elif isinstance(message, wire.ForkFailed):
                template.unanswered -= 1
                self._workers.fork_failed(state, message)
            elif isinstance(message, wire.Ended):
                lane = self._population.lanes.get(message.lane)
                if lane is not None:
                    self._workers.ended(lane, message.status, message.peak_kib)

    def _initialised(self, state: FunctionState, template: Template, message: wire.Initialised) -> None:
        state.init_seconds = message.seconds
        if template.timer is not None:
            template.timer.cancel()
        self._output.pipes.drain(template.output_r)
        if message.error:
            self.drop(state)
            self._starts.init_failed(state, message.error.encode(), message.peak_kib)
        elif message.unsafe:
            said = (
                f"stoker: {state.spec.name}: {message.unsafe}, so it cannot be forked after init; "
                'initialising it in every worker instead (init="fresh")'
            )
            try:
                warnings.warn(said, RuntimeWarning, stacklevel=2)
            except RuntimeWarning:  # where warnings are errors, this one is not
                self._population.log(state.log_name, "", said + "\n")
            self.drop(state)
            state.spec = msgspec.structs.replace(state.spec, snapshot=False)
            self._owner.scale(state)
        else:
            template.ready = True
            if state.spec.snapshot:
                state.breaker.succeeded()
            self._owner.scale(state)
            self._workers.check_up(state)

    def _ended(self, template: Template, status: int, peak: int = 0) -> None:
        state = template.state
        if state.template is not template:
            return
        # Its workers die with it: their pidfds say when.
        was_ready, late = template.ready, template.timed_out
        with contextlib.suppress(Exception):
            self._told(state, template)
        if state.template is not template:
            return  # its last message explained it
        self.drop(state)
        for lane in list(state.lanes.values()):
            self._workers.lost(lane)
        if was_ready:
            self._starts.failed(state)
        elif late:
            self._starts.init_failed(state, timed_out(state.init_timeout), peak)
        elif status == -signal.SIGKILL:
            self._starts.killed(state, status, peak)
        else:
            self._starts.init_failed(state, exited(status), peak)


def _end(template: Template) -> None:
    """A dropped one ends when its socket closes; one that may hang in its init, deaf to it, is killed."""
    if template.pidfd >= 0:
        if not template.ready:
            send_kill(template.pidfd)
        os.close(template.pidfd)
        template.pidfd = -1
