"""Moto's server as a child of this process: emulates the services that this server does not have, in memory.

Its port is a socket of ours that the child inherits, so that it stays the same, and requests wait in its backlog, when
moto ends and is started again. The child dies with this process, however that ends (PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from ..errors import InvalidConfiguration
from .names import Place
from .upstream import Upstream

START_S = 60.0
END_S = 5.0
BACK_OFF = (0.1, 5.0)  # seconds before it is started again: doubled from the first to the second
STEADY_S = 30.0  # that it ran: then the next is the first again
STATE = "buckets, tables, streams and all"
_PR_SET_PDEATHSIG = 1


def check_installed() -> None:
    """Raises InvalidConfiguration when moto, or what its server needs, is not."""
    for name in ("moto", "flask", "flask_cors", "werkzeug"):
        if importlib.util.find_spec(name) is None:
            raise InvalidConfiguration(f"--aws moto: {name} is not installed: pip install 'stoker[aws]'")


class MotoServer(Upstream):
    """Belongs to one event loop. report: gets a line for the user."""

    def __init__(self, report: Callable[[str], object]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._socket.set_inheritable(True)
        self._port: int = self._socket.getsockname()[1]
        super().__init__(f"http://127.0.0.1:{self._port}")
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def headers(self, place: Place) -> dict[str, str]:
        return {"x-moto-account-id": place.account}

    async def start(self) -> None:
        """Until it takes requests. Raises InvalidConfiguration when it cannot be started."""
        if not await self._begin():
            raise InvalidConfiguration(f"--aws moto: moto's server did not start: {await self._ended()}")
        self._watch = asyncio.get_running_loop().create_task(self._keep())

    async def aclose(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._report(f"moto's server ends with this one, and what it had ({STATE}) is gone")
        if self._process is not None:
            self._process.terminate()
            try:
                async with asyncio.timeout(END_S):
                    await self._ended()
            except TimeoutError:
                self._process.kill()
                self._process.wait()
        self._socket.close()

    async def _keep(self) -> None:
        """Starts it again whenever it has ended."""
        delay, most = BACK_OFF
        while True:
            since = time.monotonic()
            how = await self._ended()
            if time.monotonic() - since > STEADY_S:
                delay = BACK_OFF[0]
            self._report(
                f"moto's server ended ({how}): what it had ({STATE}) is lost. It is started again in {delay:g} s"
            )
            await asyncio.sleep(delay)
            delay = min(2 * delay, most)
            await self._begin()

    async def _begin(self) -> bool:
        """Starts the child; does it take requests?"""
        ready, theirs = socket.socketpair()
        with ready, theirs:
            code = f"import sys; sys.path[:] = {sys.path!r}; from engine.aws.moto import main; main()"
            numbers = (self._socket.fileno(), theirs.fileno())
            environment = {**os.environ, "MOTO_PORT": str(self._port)}
            environment.pop("MOTO_ACCOUNT_ID", None)  # it would be before the account of each request
            self._process = subprocess.Popen(  # by the loop's thread, which lives as long as the server: PDEATHSIG
                [sys.executable, "-P", "-c", code, *map(str, numbers), str(os.getpid())],
                pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True, env=environment,
            )  # fmt: skip
            theirs.close()
            ready.setblocking(False)
            try:
                async with asyncio.timeout(START_S):
                    return bool(await asyncio.get_running_loop().sock_recv(ready, 1))
            except (TimeoutError, OSError):
                return False

    async def _ended(self) -> str:
        """Waits until the child has ended. How it did."""
        assert self._process is not None
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        descriptor = os.pidfd_open(self._process.pid)
        try:
            loop.add_reader(descriptor, ended.set)
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        status = self._process.wait()
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def main() -> None:
    """The child's life. Its arguments: the socket to listen on, one to say on that it does, and its parent."""
    listening, ready, parent = (int(each) for each in sys.argv[1:])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal's are for the server
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    quiet = type("Quiet", (MotoRequestHandler,), {"log_request": lambda *_: None})
    server = make_server(
        "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True,
        request_handler=quiet, fd=listening,
    )  # fmt: skip
    with socket.socket(fileno=ready) as parent_side, contextlib.suppress(OSError):
        parent_side.send(b".")
    server.serve_forever()
