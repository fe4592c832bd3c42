"""The zygote and its templates: where workers come from.

The zygote is a fresh, single-threaded interpreter started by exec, so no thread or lock of the embedder's
is ever forked. For each function it forks one *template* (template.py), which initialises the function and then forks
warm workers on request.

    engine ── socket ── zygote ── forks ── template ── forks ── worker, worker, …
       └───────────── socket per template ────┘

No process outlives the engine. The zygote never runs user code, so it always notices that the engine has
ended (its socket closes, its pidfd fires); it adopts every orphan below it and kills until none is left.
A worker dies with its template (PDEATHSIG), and so does a template with the zygote until it is initialised; then
it ends when its socket closes. What a worker leaves behind is adopted by its template and killed before the
worker's end is reported.

Everything here is a loop over poll(): no asyncio, no threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
from typing import NoReturn

from .. import wire
from .._native import lib
from . import bytecode, template
from .process_tree import kill_strangers, reap
from .template import report


def main(sock_fd: int, engine_pidfd: int) -> NoReturn:
    """The zygote's life: make templates until the engine has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    lib.stk_subreaper()
    bytecode.keep_only_of_settled_sources()
    sock = socket.socket(fileno=sock_fd)
    children: dict[int, tuple[int, int]] = {}  # pidfd: (pid, the template's number)
    poll = select.poll()
    poll.register(sock_fd, select.POLLIN)
    poll.register(engine_pidfd, select.POLLIN)
    while True:
        for fd, _events in poll.poll():
            if fd == engine_pidfd:
                _end(children)
            elif fd == sock_fd:
                received = wire.receive(sock)
                if received is None:
                    _end(children)
                message, fds = received
                assert isinstance(message, wire.MakeTemplate)
                if message.spec.deployed.sandbox is not None:
                    from . import sandbox  # noqa: F401 (for this template and all later ones)
                try:
                    pid = os.fork()
                except OSError as error:  # no memory or no process to be had: the engine tries again later
                    report(sock, wire.TemplateNotMade(message.template, error.errno or errno.EAGAIN))
                    pid = -1
                if pid == 0:
                    template.become(message.spec, fds, [sock_fd, engine_pidfd, *children])
                for passed in fds:
                    os.close(passed)
                if pid > 0:
                    pidfd = os.pidfd_open(pid)
                    children[pidfd] = (pid, message.template)
                    with contextlib.suppress(OSError):
                        wire.send(sock, wire.TemplateMade(message.template), [pidfd])
                    poll.register(pidfd, select.POLLIN)
            elif fd in children:
                pid, number = children.pop(fd)
                poll.unregister(fd)
                os.close(fd)
                status, peak = reap(pid)
                kill_strangers({p for p, _ in children.values()})
                report(sock, wire.TemplateEnded(number, status, peak))


def _end(children: dict[int, tuple[int, int]]) -> NoReturn:
    """The engine is gone: nothing below may live on."""
    for pid, _ in children.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    kill_strangers(set())
    os._exit(0)
