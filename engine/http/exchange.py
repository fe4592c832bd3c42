"""One request but an Invoke: a task of its own reads it and responds, at once or a piece at a time.

A service whose bodies are in memory has the Request, and its Response is one write. One that is streamed has `receive`
and `send`, which take and give ASGI's messages: {"type": "http.request", "body", "more_body"} and "http.disconnect";
{"type": "http.response.start", "status", "headers"} and {"type": "http.response.body", "body", "more_body"}.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import httptools

from ..aws.messages import Request
from ..aws.streams import ClientGone
from .budget import FREE, WRITTEN
from .cycle import STATUS_LINE, Cycle, Header, no_room

if TYPE_CHECKING:
    from .protocol import Protocol

HIGH_WATER = 64 * 1024  # bytes of a body that wait for whoever reads it
_NAME = re.compile(b'[\x00-\x1f\x7f()<>@,;:\\[\\]={} \t\\\\"]')  # what is in no header's name
_VALUE = re.compile(b"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS = frozenset((204, 304))
_log = logging.getLogger("stoker.http")


class BrokenResponse(Exception):
    """A response that is none: no header may look so, or its body has another length."""


class Exchange(Cycle):
    """Of a connection. `request` is without its body."""

    __slots__ = (
        "_bodiless", "_chunked", "_ends", "_expects_100", "_left", "_news", "_read", "_room", "_task", "_waiter",
        "body", "request",
    )  # fmt: skip

    def __init__(self, protocol: Protocol, request: Request, keep_alive: bool, expects_100: bool) -> None:
        super().__init__(protocol, keep_alive)
        self.request = request
        self.body = bytearray()  # that has come and was not taken yet
        self._expects_100 = expects_100
        self._read = 0  # bytes of the body that were received and taken
        self._ends = False  # the connection, with this response
        self._bodiless = request.method == "HEAD"  # the response
        self._chunked = False
        self._left = 0  # bytes of the response's body that are still to come
        self._news = False  # that receive() has not told of
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[bool] | None = None
        self._task: asyncio.Task[None] | None = None

    # What the connection tells.

    @property
    def received(self) -> int:
        return self._read + len(self.body)

    def feed(self, data: bytes) -> None:
        if self.response_complete:
            return
        self.body += data
        if len(self.body) > HIGH_WATER:
            self.protocol.pause_reading()
        self._tell()

    def completed(self) -> None:
        if not self.response_complete:
            self.more_body = False
            self._tell()

    def begin(self) -> None:
        self.queued = False
        protocol = self.protocol
        protocol.running = self
        self._task = protocol.loop.create_task(self._run())
        protocol.acceptor.tasks.add(self._task)

    def take(self) -> bool:
        """Holds what has come and was not read yet."""
        size = self.head + len(self.body)
        return size <= FREE or self.holding().take(size)

    def leave(self) -> None:
        self.disconnected = True
        self._tell()
        waiting = self._room is not None and not self._room.done()
        if waiting or self.queued:  # else what runs gives it back
            self.release()
        if waiting:
            self._room.set_exception(ClientGone())  # type: ignore[union-attr]

    def _tell(self) -> None:
        self._news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _run(self) -> None:
        protocol = self.protocol
        try:
            await protocol.acceptor.app(self)
            if not self.response_complete and not self.disconnected:
                raise BrokenResponse("there is no whole response")
        except BaseException as error:
            _log.error("%s %s failed", self.request.method, self.request.path, exc_info=error)
            if not self.response_started:
                kind = [(b"content-type", b"text/plain; charset=utf-8")]
                self.keep_alive = False
                self.respond(500, kind, b"Internal Server Error")
            else:
                protocol.transport.close()
        finally:
            if self._task is not None:
                protocol.acceptor.tasks.discard(self._task)
                self._task = None
            self.release()

    # What the application asks for.

    async def reserve(self, total: int) -> None:
        """Waits for room for so many bytes in all. Raises Fault when there is none, ClientGone."""
        if total > self.protocol.budget.largest:
            raise no_room()
        total += self.head
        hold = self.holding()
        hold.unwatch()
        self._room = self.protocol.loop.create_future()
        hold.reserve(total, self._room.set_result)
        if not await self._room:
            raise no_room()
        if self.more_body:
            hold.watch(total, lambda: self.received, self.protocol.too_slow)

    def room_for(self, size: int) -> bool:
        """The request is done, and its bytes are given back. Is there room for a response of that size?"""
        self.release()
        return self.protocol.outgoing.room(size)

    def taken(self) -> bytes:
        """What has come of the body and was not taken yet."""
        body = bytes(self.body)
        self.body = bytearray()
        self._read += len(body)
        self._news = False
        return body

    async def receive(self) -> MutableMapping[str, Any]:
        protocol = self.protocol
        if self._expects_100 and not protocol.transport.is_closing():
            self._expects_100 = False
            protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self._news and not self.disconnected and not self.response_complete:
            protocol.resume_reading()
            self._waiter = protocol.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        protocol.resume_reading()
        return {"type": "http.request", "body": self.taken(), "more_body": self.more_body}

    async def left(self) -> None:
        """Until the client has left, of a request whose body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def respond(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """The whole response, in one write; dropped when the client has left."""
        protocol = self.protocol
        if self.disconnected:
            return
        head = self._begun(status, headers, None if status == 204 else len(body))
        if self._bodiless or not body:
            protocol.transport.write(head)
        elif len(body) <= WRITTEN:
            protocol.transport.write(head + body)
        else:
            protocol.transport.writelines((head, body))
            protocol.outgoing.wrote(len(body))
        self._over()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        protocol = self.protocol
        if protocol.write_paused and not self.disconnected:
            await protocol.drained()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            protocol.transport.write(self._begun(message["status"], message["headers"], None))
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._bodiless:
            body = b""
        elif self._chunked:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = piece if more else piece + b"0\r\n\r\n"
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise BrokenResponse("the body has another length than Content-Length")
        if body:
            protocol.transport.write(body)
            protocol.outgoing.wrote(len(body))
        if not more:
            self._over()

    def _begun(self, status: int, headers: Sequence[Header], length: int | None) -> bytes:
        """The response's head. length: the body's; None: in the headers, or it is sent in chunks."""
        if self.response_started:
            raise BrokenResponse("there was a response")
        if headers and (
            _NAME.search(b"-".join([name for name, _ in headers]))
            or _VALUE.search(b"\t".join([value for _, value in headers]))
        ):
            raise BrokenResponse("a header has characters that no header has")
        closes, framed = self.more_body or not self.keep_alive, length is not None
        self._bodiless = self._bodiless or status in _BODILESS
        lines = [STATUS_LINE[status], self.protocol.acceptor.date(), b"\r\n"]
        says_so = False
        for each, value in headers:
            name = each.lower()
            lines += (name, b": ", value, b"\r\n")
            if length is None and name == b"content-length":
                self._left, framed = int(value), True
            elif name == b"connection" and b"close" in value.lower():
                closes = says_so = True
        if length is not None:
            lines.append(b"content-length: %d\r\n" % length)
        elif not framed and not self._bodiless:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if closes and not says_so:  # what is still to come of a request is not read
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._ends = closes
        self._expects_100 = False
        self.response_started = True
        return b"".join(lines)

    def _over(self) -> None:
        self.response_complete = True
        self._tell()
        protocol = self.protocol
        if self._ends or self.more_body or not self.keep_alive:
            protocol.finish()
        protocol.responded()


def request_of(protocol: Protocol, method: str, url: bytes, headers: list[Header]) -> Request:
    """A request whose head is complete. Raises ValueError, httptools.HttpParserError: a URL that is none."""
    if url.startswith(b"/") and b"#" not in url:
        path, _, query = url.partition(b"?")
    else:
        parsed = httptools.parse_url(url)
        path, query = parsed.path, parsed.query or b""
    request = Request(
        method,
        path.decode("ascii"),
        query.decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
        client=protocol.client or "127.0.0.1",
    )
    request.port = protocol.port or _port_of(request.header("host"))
    return request


def _port_of(host: str) -> int:
    """By a Unix socket: the one that the client meant."""
    port = host.rpartition(":")[2]
    return int(port) if port.isdigit() and len(port) < 6 else 80
