"""A template: one function's initialised interpreter, from which its workers are forked.

The zygote forks it (zygote.py). It initialises the function (the init phase) and then forks warm workers on request,
each by one fork() of an already imported program; one ahead of its time (spare.py).
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import select
import signal
import site
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from .. import wire
from .._native import lib
from . import aside, bytecode, endpoint, fresh, handler, runtime_modules, strict_imports, worker
from .fork_safety import unsafe_to_fork
from .process_tree import children, kill_strangers, reap
from .spare import CALM_MS, Spare
from .variables import lambda_variables

if TYPE_CHECKING:
    from .sandbox import Sandbox


def become(spec: wire.FunctionSpec, fds: list[int], foreign: list[int]) -> NoReturn:
    """A template's whole life, in a process of its own."""
    status = 1
    try:
        parent = os.getppid()
        lib.stk_pdeathsig(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        for fd in foreign:
            os.close(fd)
        sock_fd, output_fd = fds
        os.setsid()
        os.dup2(output_fd, 1)
        os.dup2(output_fd, 2)
        os.close(output_fd)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        template = Template(spec, socket.socket(fileno=sock_fd))
        if fresh.needs(spec):
            template.become_fresh()
        template.run()
    except BaseException as error:
        status = handler.exit_status(error)
    finally:
        os._exit(status)


def resume(sock_fd: int, spec: bytes) -> NoReturn:
    """The same in a new program: bootstrap.py."""
    status = 1
    try:
        lib.stk_pdeathsig(signal.SIGKILL)  # a wrapper may have put itself between
        os.set_inheritable(sock_fd, False)
        bytecode.keep_only_of_settled_sources()
        Template(wire.function_spec(spec), socket.socket(fileno=sock_fd), fresh=True).run()
    except BaseException as error:
        status = handler.exit_status(error)
    finally:
        os._exit(status)


class Template:
    """One function's initialised interpreter, and its workers' parent."""

    def __init__(self, spec: wire.FunctionSpec, sock: socket.socket, fresh: bool = False) -> None:
        """fresh: it is a program of its own, in its sandbox and with its variables already."""
        self.spec = _with_handler(spec, os.environ.get("_HANDLER", "")) if fresh else spec
        self.sock = sock
        self.fresh = fresh
        self.workers: dict[int, tuple[int, int]] = {}  # pidfd: (pid, lane)
        self.own: set[int] = set()  # children that the init started
        self.poll = select.poll()
        self.spare: Spare | None = None
        self.may_spare = False
        self.data_bytes = 0
        self.pid = os.getpid()

    def run(self) -> NoReturn:
        lib.stk_subreaper()
        self._initialise()
        # From here on no user code runs in this process, so it notices its socket close when the engine drops it, or
        # ends. Should the zygote be killed, it must not die at once: it has its workers' trees to end.
        lib.stk_pdeathsig(0)
        self.poll.register(self.sock.fileno(), select.POLLIN)
        while True:
            lacking = self.may_spare and self.spare is None
            ready = self.poll.poll(CALM_MS if lacking else None)
            if lacking and not ready:
                self._make_spare()
            for fd, _events in ready:
                if fd in self.workers:
                    self._worker_ended(fd)
                elif self.spare is not None and fd == self.spare.pidfd:
                    self._spare_ended(self.spare)
                elif fd == self.sock.fileno():
                    received = wire.receive(self.sock)
                    if received is None:  # the engine gave this template up
                        kill_strangers(set())
                        os._exit(0)
                    message, fds = received
                    assert isinstance(message, wire.Fork)
                    self._fork(message, fds)
                    break  # its pidfd may have the number of a dead spare's, whose end is in this list, too: look anew

    def become_fresh(self) -> NoReturn:
        """Go on as a new program, if the function needs that."""
        if sandbox := self._entered(self.spec.path or sys.path):
            sandbox.leave_for_exec()
        with contextlib.suppress(OSError):
            os.chdir(self.spec.code or ".")
        self._follow_changes()
        inherited = os.environ if self.spec.deployed.base is None else {}
        fresh.become(self.spec, {**inherited, **lambda_variables(self.spec)}, self.sock.fileno())

    def _follow_changes(self) -> None:
        """The embedder's environment is not what it was when the zygote got it."""
        for name, value in self.spec.changed.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def _set_variables(self) -> None:
        if not self.fresh:
            self._follow_changes()
            variables = lambda_variables(self.spec)
            if self.spec.deployed.base is not None:
                os.environ.clear()
            os.environ.update(variables)
        if self.spec.deployed.base is not None:
            sys.dont_write_bytecode = True  # a package is as it was deployed
        time.tzset()

    def _set_path(self, behind: list[str]) -> None:
        spec = self.spec
        own = (
            [p for p in os.environ.get("PYTHONPATH", "").split(":") if p and p not in behind]
            if self.fresh
            else []
        )
        sys.path[:] = [
            p for p in ([spec.code] if spec.code else []) + spec.deployed.path_first + own + behind if p
        ]
        for path in spec.deployed.path_first:
            if path.endswith("site-packages"):
                site.addsitedir(path)  # for its .pth files

    def _initialise(self) -> None:
        spec = self.spec
        started = time.perf_counter()
        behind = spec.path or list(sys.path)
        self._set_variables()
        endpoint.route()
        sandbox = self._entered(behind)
        self._set_path(behind)
        with contextlib.suppress(OSError):
            os.chdir(spec.code or ".")
        result = wire.Initialised()
        self.worker = worker.Worker(spec, sandbox)
        if not spec.plain:
            aside.make_way([spec.code, *spec.deployed.path_first])
        if spec.deployed.strict:
            runtime_modules.install()
        if spec.deployed.strict_imports:
            strict_imports.install(behind, [spec.code, *spec.deployed.path_first])
        if spec.snapshot:
            try:
                self.worker.load()
                self.worker.after_restore = runtime_modules.snapshot_hooks()
                result = wire.Initialised(unsafe=unsafe_to_fork(self.sock.fileno()))
            except Exception as error:  # what is none (SystemExit) ends the process, as on Lambda
                described = handler.error_object(error, "")
                self.worker.log_error(described)
                if spec.deployed.strict:
                    runtime_modules.init_failed(described)
                else:
                    described = handler.with_traceback(described, error)
                result = wire.Initialised(error=_short(described))
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
        if sandbox is not None:
            sandbox.initialised()
        seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
        wire.send(self.sock, wire.Initialised(result.error, result.unsafe, seconds, used.ru_maxrss))
        if result.error or result.unsafe:
            os._exit(0)
        self._make_ready()

    def _make_ready(self) -> None:
        """For its first worker, while the engine prepares a lane for that: what makes forks quick."""
        self.worker.rehearse()
        self.own = set(children(self.pid))
        self.data_bytes = _data_bytes()
        gc.collect()
        gc.freeze()  # the collector must not write to the pages that workers share
        gc.disable()
        lib.stk_collapse()

    def _entered(self, path: list[str]) -> Sandbox | None:
        """The function's sandbox, if it has one, entered."""
        if self.spec.deployed.sandbox is None:
            return None
        from .sandbox import Sandbox

        sandbox = Sandbox(self.spec.deployed.sandbox, path)
        try:
            sandbox.enter_again() if self.fresh else sandbox.enter()
        except OSError as error:
            fault = handler.RuntimeFault("Runtime.Unknown", f"the sandbox could not be entered: {error}")
            described = _short(handler.error_object(fault, ""))
            wire.send(self.sock, wire.Initialised(error=described))
            os._exit(0)
        return sandbox

    def _fork(self, message: wire.Fork, fds: list[int]) -> None:
        """A worker: the spare one, or a new one."""
        self.may_spare = message.more and self.spec.snapshot
        try:
            pid, pidfd = self._take_spare(message, fds) or self._forked(message, fds)
        except OSError as error:
            report(self.sock, wire.ForkFailed(message.lane, error.errno or errno.EAGAIN))
            return
        finally:
            for fd in fds:
                os.close(fd)
        self.workers[pidfd] = (pid, message.lane)
        with contextlib.suppress(OSError):
            wire.send(self.sock, wire.Forked(message.lane, pid), [pidfd])

    def _forked(self, message: wire.Fork, fds: list[int]) -> tuple[int, int]:
        pid = os.fork()
        if pid == 0:
            try:
                for fd in self._not_for_children():
                    os.close(fd)
                self.worker.prepare(self.data_bytes, self.pid)
                self.worker.serve(fds, message.core, message.born)
            finally:  # whatever happened: it must never go on as a template
                os._exit(1)
        pidfd = os.pidfd_open(pid)
        self.poll.register(pidfd, select.POLLIN)
        return pid, pidfd

    def _make_spare(self) -> None:
        try:
            self.spare = Spare(self.worker, self.data_bytes, self._not_for_children())
            self.poll.register(self.spare.pidfd, select.POLLIN)
        except OSError:  # no process to be had: not before the next request for a worker
            self.may_spare = False

    def _take_spare(self, message: wire.Fork, fds: list[int]) -> tuple[int, int] | None:
        spare, self.spare = self.spare, None
        if spare is None:
            return None
        if spare.become(message, fds):
            return spare.pid, spare.pidfd
        self._spare_ended(spare)
        return None

    def _spare_ended(self, spare: Spare) -> None:
        self.spare = None
        self.poll.unregister(spare.pidfd)
        spare.close()
        reap(spare.pid)

    def _not_for_children(self) -> list[int]:
        """Descriptors that a worker must not have. (A spare's are never there when one is forked.)"""
        return [self.sock.fileno(), *self.workers]

    def _worker_ended(self, pidfd: int) -> None:
        pid, lane = self.workers.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        status, peak = reap(pid)
        spare = {self.spare.pid} if self.spare is not None else set()
        kill_strangers(self.own | spare | {p for p, _ in self.workers.values()})
        report(self.sock, wire.WorkerEnded(lane, status, peak))


def _with_handler(spec: wire.FunctionSpec, handler: str) -> wire.FunctionSpec:
    """A function as its wrapper has left it: AWS's runtime looks for the handler that the variable names."""
    module, found, attribute = handler.rpartition(".")
    if not found or handler == f"{spec.module}.{spec.attribute}":
        return spec
    return msgspec.structs.replace(spec, module=module, attribute=attribute, main_file="", main_name="")


def _data_bytes() -> int:
    """This process's private writable memory, as RLIMIT_DATA counts it."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def _short(described: dict[str, Any]) -> str:
    """An error object that fits a message."""
    data = wire.encode(described)
    if len(data) > 65536:
        message = str(described["errorMessage"])[:4096]
        data = wire.encode({**described, "errorMessage": message, "stackTrace": [], handler.TRACEBACK: ""})
    return data.decode()


def report(sock: socket.socket, message: wire.Message) -> None:
    with contextlib.suppress(OSError):  # the engine is gone; the next poll says so
        wire.send(sock, message)
