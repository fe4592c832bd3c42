"""A zygote as the control loop sees it: started, sent messages, read from, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from .. import wire
from .backoff import Breaker
from .watchdog import Watchdog

END_S = 5.0  # it has as long to end everything below it
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

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
from engine.worker.zygote import main
main({sock}, {pidfd})
"""


class ZygoteProcess:
    """The zygote of one interpreter ("": the engine's own). `on_message` gets each message; `on_end` is called when it
    has ended without being stopped; environment: its variables, None: as they are here; `breaker` says when to start
    it again. `watchdog` knows what messages it owes, and has it killed when none comes. All of it belongs to the
    loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        python: str,
        on_message: Callable[[ZygoteProcess, wire.Message, list[int]], None],
        on_end: Callable[[ZygoteProcess], None],
        environment: Mapping[str, str] | None,
    ) -> None:
        self.python = python
        self.breaker = Breaker()
        self._loop = loop
        self._on_message = on_message
        self._on_end = on_end
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self.watchdog = Watchdog(loop, self._listen, self._kill)

    @property
    def up(self) -> bool:
        return self._sock is not None

    @property
    def pid(self) -> int:
        """0 when there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Raises OSError."""
        with contextlib.ExitStack() as unwind:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            unwind.callback(ours.close)
            with theirs:
                self._process = _spawn(self.python, theirs, self._environment)
            unwind.pop_all()
        ours.setblocking(False)
        self._sock = ours
        self._loop.add_reader(ours.fileno(), self._listen)

    def send(self, message: wire.Message, fds: Sequence[int]) -> None:
        """Raises OSError when it is gone; its end is reported all the same."""
        assert self._sock is not None
        wire.send(self._sock, message, fds)

    def hang_up(self) -> None:
        """It ends when its socket closes, and everything below it before."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
        self.watchdog.stop()

    def wait(self) -> None:
        """Until it has ended."""
        if self._process is None:
            return
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:  # stopped, or starved: what is below it dies with it
            self._process.kill()
            self._process.wait()
        self._process = None

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _listen(self) -> None:
        while self._sock is not None:
            try:
                received = wire.receive(self._sock)
            except BlockingIOError:
                return
            if received is None:
                self.hang_up()
                self.wait()
                self._on_end(self)
                return
            self._on_message(self, *received)


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
