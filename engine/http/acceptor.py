"""Accepts connections, knows those that are open and what runs for them, and ends all of it in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING

from ..aws.messages import Request
from .budget import Budget

if TYPE_CHECKING:
    from .connection import Connection
    from .exchange import Exchange
    from .invoke import Endpoint
    from .quick import Known

Upgrade = Callable[[Request], asyncio.Protocol | None]

KEEP_ALIVE = 75.0  # seconds that a connection may be quiet
_log = logging.getLogger("stoker.http")


class Acceptor:
    """Of one server and one event loop. make: a connection's protocol; app: carries out each request but Invokes."""

    def __init__(
        self,
        make: Callable[[Acceptor], asyncio.Protocol],
        app: Callable[[Exchange], Awaitable[None]],
        endpoint: Endpoint,
        budget: Budget,
        most: int = 1024,
        upgrade: Upgrade = lambda request: None,
    ) -> None:
        """most: connections that there may be. upgrade: what a connection is handed to whose request asks for a
        WebSocket; None: nobody has any."""
        self.app, self.endpoint, self.budget, self.most = app, endpoint, budget, most
        self.upgrade = upgrade
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.lingering: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.known: dict[bytes, Known] = {}  # what Invokes have in common, by their keys (`_http.scan`)
        self._make = make
        self._servers: list[asyncio.Server] = []
        self._stopped = asyncio.Event()
        self._forced = asyncio.Event()
        self._date, self._second = b"", -1

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve them, which listen already."""
        for sock in sockets:
            server = await self.loop.create_server(lambda: self._make(self), sock=sock, backlog=1024)
            self._servers.append(server)

    def adopt(self, sock: socket.socket, make: Callable[[Acceptor], Connection]) -> None:
        """Serve a connection that was accepted elsewhere."""
        task = self.loop.create_task(self._adopt(sock, make))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _adopt(self, sock: socket.socket, make: Callable[[Acceptor], Connection]) -> None:
        with contextlib.suppress(OSError):
            _, connection = await self.loop.connect_accepted_socket(lambda: make(self), sock)
            if self._stopped.is_set():
                connection.shut_down()

    def stop(self) -> None:
        """Accept nothing more, and let what runs end. Asked twice, it does not wait."""
        if self._stopped.is_set():
            self._forced.set()
        self._stopped.set()

    async def serve(self, grace: float) -> None:
        """Until stop(), and then until all that runs has ended, or for so many seconds."""
        await self._stopped.wait()
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.shut_down()
        ended = asyncio.ensure_future(self._ended())
        forced = asyncio.ensure_future(self._forced.wait())
        await asyncio.wait((ended, forced), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done() and not forced.done():
            _log.error("%d requests did not end in %g seconds", len(self.tasks), grace)
        ended.cancel()
        forced.cancel()
        for task in list(self.tasks):
            task.cancel()

    async def _ended(self) -> None:
        while self.connections or self.tasks:
            await asyncio.sleep(0.02)

    def date(self) -> bytes:
        """For the header of that name."""
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True).encode()
        return self._date
