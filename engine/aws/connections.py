"""HTTP/1.1 connections of the server's own calls: kept alive, bounded, each with one request at a time.

What httpcore does in 400 µs of CPU a request is done here in 15: one write, httptools' parser, one future.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import httptools

CONNECT = 5.0  # seconds for a connection, TLS included
IDLE = 20.0  # seconds that a connection is kept without a request: less than AWS's endpoints keep theirs


_Made = TypeVar("_Made", bound=asyncio.Protocol)


class TransportError(Exception):
    """No response came. name: botocore's name of the trouble; fresh: nothing was heard over a connection that had
    served before, which the other side may have ended meanwhile; slow: it took too long."""

    def __init__(self, name: str, message: str, *, fresh: bool = True) -> None:
        super().__init__(message)
        self.name, self.fresh = name, fresh

    @property
    def slow(self) -> bool:
        return self.name.endswith("TimeoutError")


class Origin(NamedTuple):
    """Where a URL leads. path: its own, without a slash at its end; host: as the Host header has it."""

    secure: bool
    name: str
    port: int
    host: str
    path: str

    @classmethod
    def of(cls, url: str) -> Origin:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        usual = 443 if secure else 80
        name = parts.hostname or ""
        host = f"[{name}]" if ":" in name else name
        port = parts.port or usual
        return cls(secure, name, port, host if port == usual else f"{host}:{port}", parts.path.rstrip("/"))


class Reply(NamedTuple):
    """headers: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.since = 0.0  # when it was last used
        self._parser: httptools.HttpResponseParser | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._used = False  # did it serve a request before this one?
        self._bare = False  # the response has no body, whatever its headers say
        self._reset()

    def _reset(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._status = 0
        self._begun = self._whole = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    async def exchange(self, sent: bytes, seconds: float, *, bare: bool) -> Reply:
        """Raises TransportError. Whoever is cancelled, or fails, ends the connection."""
        if self.closed or self.transport is None:
            raise TransportError("ConnectionClosedError", "the connection was closed", fresh=not self._used)
        loop = asyncio.get_running_loop()
        self._reset()
        self._bare = bare
        self._parser = httptools.HttpResponseParser(self)
        reply = self._reply = loop.create_future()
        timer = loop.call_later(seconds, self._late, seconds)
        self.transport.write(sent)
        try:
            found: Reply = await reply
            return found
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
            self._reply = None
            self._used = True

    def _late(self, seconds: float) -> None:
        self._fail(TransportError("ReadTimeoutError", f"no response within {seconds:g} s"))

    def _fail(self, error: TransportError) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)

    def close(self) -> None:
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    # asyncio's calls.

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._reply is None:
            self.close()  # nobody asked
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.close()
            self._fail(TransportError("ProtocolError", f"no HTTP response: {error}"))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._reply is None or self._reply.done():
            return
        if self._whole and error is None and not self._framed():
            self._done()  # its end was the end of the body
            return
        text = "the connection was closed before the response" + (f": {error}" if error else "")
        fresh = self._begun or not self._used
        self._fail(TransportError("ConnectionClosedError", text, fresh=fresh))

    def _framed(self) -> bool:
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    # httptools' calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._status = self._parser.get_status_code()
        if self._status < 200:  # "continue", "early hints": the response is still to come
            self._headers.clear()
            return
        self._whole = True
        if self._bare:
            self._done()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self._done()

    def _done(self) -> None:
        if self._reply is None or self._reply.done():
            return
        if self._bare or self._parser is None or not self._parser.should_keep_alive():
            self.closed = True
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._headers}
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._reply.set_result(Reply(self._status, headers, body))


class Stream(asyncio.Protocol):
    """A response whose body comes by and by, over a connection of its own. Iterating gives what came of it, until its
    end; raises TransportError where it breaks off. quiet: seconds without anything after which it is broken."""

    def __init__(self, quiet: float) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._quiet = quiet
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._event = asyncio.Event()
        self._begun = self._ended = False
        self._lost: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._lost = f"no HTTP response: {error}"
        self._event.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = self._lost or str(error or "the connection was closed")
        self._event.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._begun = self.status >= 200

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._held += len(body)
        if self._held > _HELD and self._transport is not None:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        self._ended = self._begun

    async def begin(self, sent: bytes) -> None:
        """Until there is a head. Raises TransportError."""
        assert self._transport is not None
        self._transport.write(sent)
        while not self._begun:
            await self._more()

    async def chunk(self) -> bytes:
        """What comes next; b"" at its end. Raises TransportError."""
        while not self._chunks:
            if self._ended:
                return b""
            await self._more()
        found = b"".join(self._chunks)
        self._chunks.clear()
        if self._held > _HELD and self._transport is not None and self._lost is None:
            self._transport.resume_reading()
        self._held = 0
        return found

    async def _more(self) -> None:
        if self._lost is not None:
            raise TransportError("ConnectionClosedError", self._lost)
        self._event.clear()
        try:
            async with asyncio.timeout(self._quiet):
                await self._event.wait()
        except TimeoutError as error:
            raise TransportError("ReadTimeoutError", f"nothing came within {self._quiet:g} s") from error

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


_HELD = 4 * 1024 * 1024  # bytes of a stream that nobody took yet, after which nothing more is read


class Connections:
    """Belongs to one event loop. most: requests at a time; who comes beyond waits his turn."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._line: deque[asyncio.Future[None]] = deque()
        self._idle: dict[tuple[bool, str, int], list[_Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def send(self, origin: Origin, sent: bytes, seconds: float, *, bare: bool = False) -> Reply:
        """One request as it is on the wire. seconds: for the response, once there is a connection; bare: of a HEAD.
        Raises TransportError."""
        if self._free <= 0:
            await self._turn()
        else:
            self._free -= 1
        try:
            key = origin[:3]
            while (idle := self._idle.get(key)) and (kept := idle.pop()):
                try:
                    return await self._exchange(kept, key, sent, seconds, bare)
                except TransportError as error:
                    if error.fresh:
                        raise
            return await self._exchange(await self._connected(origin, _Connection), key, sent, seconds, bare)
        finally:
            self._next()

    async def _exchange(
        self, connection: _Connection, key: tuple[bool, str, int], sent: bytes, seconds: float, bare: bool
    ) -> Reply:
        reply = await connection.exchange(sent, seconds, bare=bare)
        if connection.closed:
            connection.close()
        else:
            loop = asyncio.get_running_loop()
            connection.since = loop.time()
            self._idle.setdefault(key, []).append(connection)
            if self._sweeping is None:
                self._sweeping = loop.call_later(IDLE, self._sweep)
        return reply

    async def stream(self, origin: Origin, sent: bytes, quiet: float) -> Stream:
        """The response to one request, of which the head is there. Raises TransportError."""
        stream = await self._connected(origin, lambda: Stream(quiet))
        try:
            await stream.begin(sent)
        except BaseException:
            stream.close()
            raise
        return stream

    async def _connected(self, origin: Origin, factory: Callable[[], _Made]) -> _Made:
        loop = asyncio.get_running_loop()
        try:
            context = self._tls
            if origin.secure and context is None:
                context = self._tls = await loop.run_in_executor(None, _trusting)
            async with asyncio.timeout(CONNECT):
                _, connection = await loop.create_connection(
                    factory, origin.name, origin.port, ssl=context if origin.secure else None
                )
        except TimeoutError as error:
            text = f"no connection to {origin.host} within {CONNECT:g} s"
            raise TransportError("ConnectTimeoutError", text) from error
        except ssl.SSLError as error:
            raise TransportError("SSLError", f"{origin.host}: {error}") from error
        except OSError as error:
            raise TransportError("ConnectError", f"{origin.host}: {error}") from error
        return connection

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # the turn was given, and not taken
            raise

    def _next(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _sweep(self) -> None:
        """Connections that nobody needed for a while are closed."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for key, idle in list(self._idle.items()):
            for connection in idle:
                if connection.closed or now - connection.since >= IDLE:
                    connection.close()
            self._idle[key] = [each for each in idle if not each.closed]
            if not self._idle[key]:
                del self._idle[key]
        if self._idle:
            self._sweeping = loop.call_later(IDLE, self._sweep)

    def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()


def _trusting() -> ssl.SSLContext:
    """As botocore: the certificates that AWS_CA_BUNDLE names, else certifi's."""
    import certifi  # comes with httpcore; a server of its own queues only never needs it

    return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or certifi.where())
