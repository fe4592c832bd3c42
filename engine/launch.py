"""The first thing that an engine does: start the interpreter that workers come from.

It takes as long to come up as the caller takes to import the rest of the engine, so it is begun before that, and
nothing here imports more than it takes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping

from . import errors

END_S = 5.0  # it has as long to end everything below it
_PACKAGE = os.path.dirname(os.path.abspath(__file__))

_OURS = """
import sys
sys.path.insert(0, {root!r})
"""
# Another interpreter finds the engine by its place, not by the path: what lies beside it may be built for ours.
_ANOTHERS = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("engine", {package!r} + "/__init__.py", submodule_search_locations=[{package!r}])
sys.modules["engine"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["engine"])
"""
_MAIN = """
from engine.worker.start import main as zygote
zygote({sock}, {pidfd})
"""


class Launched:
    """A zygote's process, and this side of its socket."""

    def __init__(self, python: str = "", environment: Mapping[str, str] | None = None) -> None:
        """python: its interpreter, "": this one; environment: its variables, None: this process's. Raises OSError."""
        self.environment = dict(os.environ)  # as it was then
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = _spawn(python, theirs, environment)
        except BaseException:
            self.sock.close()
            raise
        self.sock.setblocking(False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> None:
        """Until it has ended: it does when the socket closes."""
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:  # stopped, or starved: what is below it dies with it
            self._process.kill()
            self._process.wait()

    def abandon(self) -> None:
        """There will be no engine."""
        self.sock.close()
        self.wait()


def first(variables: Mapping[str, str] | None = None) -> Launched:
    """An engine's own zygote. Raises UnsupportedPlatform."""
    check()
    _open_standard_streams()
    try:
        return Launched("", variables)
    except Exception as error:
        raise errors.UnsupportedPlatform(f"the zygote could not be started: {error}") from error


def check() -> None:
    """Raises UnsupportedPlatform where there is no Linux, or threads are not threads: the control loop has one, and
    waits in the kernel."""
    if not sys.platform.startswith("linux"):
        raise errors.UnsupportedPlatform("stoker runs on Linux only for now")
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    by_gevent = gevent is not None and any(map(gevent.is_module_patched, ("threading", "select")))
    if by_gevent or (eventlet is not None and any(map(eventlet.is_monkey_patched, ("thread", "select")))):
        raise errors.UnsupportedPlatform(
            f"{'gevent' if by_gevent else 'eventlet'} has replaced threads or select; an engine needs the system's: "
            "patch without them (gevent.monkey.patch_all(thread=False, select=False)), or make the engine in a process "
            "of its own"
        )


def _open_standard_streams() -> None:
    """Processes find their descriptors 0, 1 and 2 taken: where the embedder closed one, it leads to nothing."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _spawn(
    python: str, theirs: socket.socket, environment: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    pidfd = os.pidfd_open(os.getpid())
    try:
        start = (_ANOTHERS if python else _OURS) + _MAIN
        code = start.format(
            package=_PACKAGE, root=os.path.dirname(_PACKAGE), sock=theirs.fileno(), pidfd=pidfd
        )
        return subprocess.Popen(
            [python or sys.executable, "-P", "-c", code],
            pass_fds=(theirs.fileno(), pidfd),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
    finally:
        os.close(pidfd)
