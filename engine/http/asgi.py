"""One request that goes uvicorn's way, as an ASGI task: its cycle, which holds room for what it has in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..aws.streams import ClientGone
from .budget import FREE, WRITTEN, Hold
from .cycle import Header, no_room

if TYPE_CHECKING:
    from .protocol import Protocol


class _Joined:
    """A transport that keeps what is written to it first, the head of a response, and writes it with what comes next:
    each write is a system call, and wakes the client."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if not self._head:
            self._head = data
        elif len(data) > WRITTEN:
            self._transport.writelines((self._head, data))
        else:
            self._transport.write(self._head + data)

    def close(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())


class AsgiCycle(RequestResponseCycle):
    """uvicorn's, which the application also finds in its scope, as the extension "stoker"."""

    def __init__(self, protocol: Protocol, scope: Any, keep_alive: bool, expects_100: bool) -> None:
        super().__init__(
            scope=scope, transport=protocol.transport, flow=protocol.flow, logger=protocol.logger,
            access_logger=protocol.access_logger, access_log=protocol.access_log,
            default_headers=protocol.server_state.default_headers, message_event=asyncio.Event(),
            expect_100_continue=expects_100, keep_alive=keep_alive, on_response=protocol.on_response_complete,
        )  # fmt: skip
        scope["extensions"] = {"stoker": self}
        self.protocol = protocol
        self.hold = Hold(protocol.budget)
        self.head = 0  # bytes that url and headers count as
        self.received = 0
        self.queued = False
        self.ends = False  # the connection, with this response
        self._room: asyncio.Future[bool] | None = None

    def take(self) -> bool:
        """Holds what has come and was not read yet."""
        size = self.head + len(self.body)
        return size <= FREE or self.hold.take(size)

    async def reserve(self, total: int) -> None:
        """Waits for room for so many bytes in all. Raises Fault when there is none, ClientGone."""
        if total > self.protocol.budget.largest:
            raise no_room()
        total += self.head
        self.hold.unwatch()
        self._room = asyncio.get_running_loop().create_future()
        self.hold.reserve(total, self._room.set_result)
        if not await self._room:
            raise no_room()
        if self.more_body:
            self.hold.watch(total, lambda: self.received, self.protocol.too_slow)

    def writes(self, size: int) -> bool:
        """The request is done, and its bytes are given back. Is there room for a response of that size?"""
        self.hold.release()
        return self.protocol.outgoing.room(size)

    def join(self) -> None:
        """The response's body follows its head at once, in one piece."""
        if self.scope["method"] != "HEAD":
            self.transport = _Joined(self.transport)  # type: ignore[assignment]

    def leave(self) -> None:
        """The connection is over."""
        self.disconnected = True
        self.message_event.set()
        waiting = self._room is not None and not self._room.done()
        if waiting or self.queued:  # else what runs gives it back
            self.hold.release()
        if waiting:
            self._room.set_exception(ClientGone())  # type: ignore[union-attr]

    async def run_asgi(self, app: Any) -> None:
        try:
            await super().run_asgi(app)
        finally:
            self.scope["extensions"].clear()  # else the two keep each other until Python's collector comes
            self.hold.release()

    async def receive(self) -> Any:
        return await super().receive()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            if self.more_body:  # what is still to come of the request is not read
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await super().send(message)
            # How a connection ends is not for uvicorn to say, which would just close it.
            self.ends, self.keep_alive = not self.keep_alive, True
            return
        await super().send(message)
        self.protocol.outgoing.wrote(len(message.get("body", b"")))


def asgi_cycle(protocol: Protocol, url: bytes, headers: list[Header]) -> AsgiCycle:
    """The cycle of a request whose head is complete: what uvicorn's on_headers_complete() makes."""
    expects_100, parser = protocol.expect_100_continue, protocol.parser
    HttpToolsProtocol.on_message_begin(protocol)  # makes the scope
    protocol.headers[:] = headers
    scope, parsed = protocol.scope, httptools.parse_url(url)
    scope["method"] = parser.get_method().decode("ascii")
    scope["http_version"] = version = parser.get_http_version()
    scope["raw_path"], scope["query_string"] = parsed.path, parsed.query or b""
    scope["path"] = parsed.path.decode("ascii")
    return AsgiCycle(protocol, scope, version != "1.0" and parser.should_keep_alive(), expects_100)
