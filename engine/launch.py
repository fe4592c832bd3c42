"""The first thing that an engine does: start the interpreter that workers come from.

It takes as long to come up as the caller takes to import the rest of the engine, so it is begun before that, and
nothing here imports more than it takes.
"""

from __future__ import annotations

import _socket
import os
import select
import sys
from collections.abc import Mapping

from . import errors

END_S = 5.0  # it has as long to end everything below it
_PACKAGE = os.path.dirname(os.path.abspath(__file__))

# Nothing else that this process's descriptors lead to stays open there.
_CLOSE = """
import os
for fd in map(int, os.listdir("/proc/self/fd")):
    if fd > 2 and fd not in ({sock}, {pidfd}):
        try:
            os.close(fd)
        except OSError:
            pass
"""
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
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            self.pid, self._pidfd = _spawn(python, theirs.fileno(), environment)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        import socket  # while it starts

        self.sock = socket.socket(fileno=ours.detach())
        self.sock.setblocking(False)

    def kill(self) -> None:
        if self._pidfd >= 0:
            import signal
            from contextlib import suppress

            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self) -> None:
        """Until it has ended: it does when the socket closes."""
        if self._pidfd < 0:
            return
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(END_S * 1000):  # stopped, or starved: what is below it dies with it
            self.kill()
        from contextlib import suppress

        with suppress(ChildProcessError):  # the embedder waits for each child that there is
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)
        self._pidfd = -1

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


def _spawn(python: str, sock: int, environment: Mapping[str, str] | None) -> tuple[int, int]:
    """Its process id, and a pidfd. subprocess would do it, once it is imported."""
    engine = os.pidfd_open(os.getpid())
    try:
        code = (_CLOSE + (_ANOTHERS if python else _OURS) + _MAIN).format(
            package=_PACKAGE, root=os.path.dirname(_PACKAGE), sock=sock, pidfd=engine
        )
        program = python or sys.executable
        pid = os.posix_spawn(
            program,
            [program, "-P", "-c", code],
            os.environ if environment is None else environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, sock, sock),  # it has these two
                (os.POSIX_SPAWN_DUP2, engine, engine),
            ],
            setsid=True,
        )
    finally:
        os.close(engine)
    try:
        return pid, os.pidfd_open(pid)
    except OSError:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        raise
