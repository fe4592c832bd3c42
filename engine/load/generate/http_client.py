"""Requests over HTTP/1.1 with keep-alive, as many at once as come: a generator must not be the one who waits. And AWS
Signature Version 4 for them: one kind of request, signed at a tenth of what botocore takes for it.

One request at a time on a connection, a new connection when all are busy. What breaks is a failure of that request and
never tried again: a retry would hide it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httptools

_ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "lambda"
Done = Callable[["HttpResponse | str"], None]  # the latter: why there is none


@dataclass(slots=True)
class HttpResponse:
    """Headers by their lower-case names."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Client:
    """Connections to one origin. `send` never raises; `done` is called in the loop, once."""

    def __init__(self, url: str, most: int = 4096) -> None:
        """url: http://host:port and a prefix of every path. most: connections at once; other requests wait for one."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url}: an http:// URL is expected, as in http://127.0.0.1:9001")
        self.host, self.port = parts.hostname, parts.port or 80
        self.host_header = self.host if self.port == 80 else f"{self.host}:{self.port}"
        self.path = parts.path.rstrip("/")
        self.query = parts.query
        self._most = most
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._opening = 0
        self._line: deque[tuple[bytes, Done]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def request(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        """A request's head without its Content-Length: to be made once, and sent with many bodies."""
        fields = {"Host": self.host_header, **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in a header or a path")
        return "\r\n".join(lines).encode("latin-1") + b"\r\nContent-Length: "

    def send(self, head: bytes, body: bytes, done: Done) -> None:
        data = b"%s%d\r\n\r\n%s" % (head, len(body), body)
        while self._idle:
            connection = self._idle.pop()
            if not connection.closing:
                connection.send(data, done)
                return
        self._line.append((data, done))
        self._more()

    def _more(self) -> None:
        """One more connection for those that wait in line, if there may be one."""
        if self._opening < len(self._line) and len(self._all) + self._opening < self._most:
            self._opening += 1
            task = asyncio.get_running_loop().create_task(self._open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Requests in flight fail."""
        self._most = 0
        for task in list(self._tasks):
            task.cancel()
        while self._line:
            self._line.popleft()[1]("the client was closed")
        for connection in list(self._all):
            connection.close("the client was closed")

    async def _open(self) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self.host, self.port
            )
        except OSError as error:
            self._opening -= 1
            if self._line:  # one connection, one request: the others have tries of their own
                self._line.popleft()[1](f"no connection: {error.strerror or error}")
            self._more()
            return
        self._opening -= 1
        self._all.add(connection)
        self.free(connection)

    def free(self, connection: _Connection) -> None:
        """Called when its response is whole: it may send the next."""
        if self._line:
            connection.send(*self._line.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        self._all.discard(connection)
        self._more()


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._done: Done | None = None
        self._transport: Any = None
        self._until_closed = False
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, data: bytes, done: Done) -> None:
        self._done = done
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._until_closed = False  # the body ends with the connection
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            self.close("an answer to nothing")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.close(f"what came is not HTTP: {error}")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue: the response follows
            return
        done, self._done = self._done, None
        keep = self._parser.should_keep_alive()
        assert done is not None
        done(HttpResponse(status, self._headers, b"".join(self._body)))
        if keep and not self.closing:
            self._client.free(self)
        else:
            self.close("")

    def on_headers_complete(self) -> None:
        self._until_closed = not self._headers.keys() & {b"content-length", b"transfer-encoding"}

    def connection_lost(self, error: Exception | None) -> None:
        if error is None and self._until_closed and self._done is not None:
            self.on_message_complete()
        broke = f"the connection broke: {error}"
        self.close(broke if error else "the connection was closed before an answer")

    def close(self, why: str) -> None:
        if not self.closing:
            self.closing = True
            self._client.lost(self)
            self._transport.close()
        done, self._done = self._done, None
        if done is not None:
            done(why)


@dataclass(frozen=True, slots=True)
class Credentials:
    """To sign with. token: a session's, "" for none."""

    key: str
    secret: str
    region: str
    token: str = ""


def credentials() -> Credentials:
    """Those that botocore finds: of the environment, of ~/.aws, of the machine's role. Raises ValueError."""
    try:
        import botocore.session
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise ValueError('signing needs botocore: pip install "stoker[serve]"') from None
    try:
        session = botocore.session.get_session()
        keys = session.get_credentials()
        region = session.get_config_variable("region") or "us-east-1"
        if keys is None:
            raise ValueError(
                "there are no credentials to sign with: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        frozen = keys.get_frozen_credentials()
    except BotoCoreError as error:
        raise ValueError(f"there are no credentials to sign with: {error}") from None
    return Credentials(frozen.access_key, frozen.secret_key, region, frozen.token or "")


class Signer:
    """Signs POSTs to one path of one host, without a query. `clock` gives epoch seconds."""

    def __init__(
        self, credentials: Credentials, host: str, path: str, clock: Callable[[], float] = time.time
    ) -> None:
        """host: as the Host header has it; path: encoded, as it is sent."""
        self._credentials, self._host, self._clock = credentials, host, clock
        self._path = quote(path, safe="/~")  # what is encoded once on the wire is signed encoded twice
        self._second = -1

    def headers(self, body: bytes) -> Mapping[str, str]:
        """Those that a request with this body needs beside the usual ones."""
        now = int(self._clock())
        if now != self._second:
            self._at(now)
        digest = hashlib.sha256(body).hexdigest()
        request = hashlib.sha256((self._canonical + digest).encode()).hexdigest()
        signature = hmac.new(self._key, (self._to_sign + request).encode(), hashlib.sha256).hexdigest()
        return {**self._fixed, "Authorization": self._authorization + signature}

    def _at(self, now: int) -> None:
        """What is the same for a whole second."""
        self._second = now
        credentials = self._credentials
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        scope = (stamp[:8], credentials.region, SERVICE, "aws4_request")
        self._key = f"AWS4{credentials.secret}".encode()
        for part in scope:
            self._key = hmac.new(self._key, part.encode(), hashlib.sha256).digest()
        self._fixed = {"X-Amz-Date": stamp}
        if credentials.token:
            self._fixed["X-Amz-Security-Token"] = credentials.token
        signed = sorted(
            {"host": self._host, **{name.lower(): it for name, it in self._fixed.items()}}.items()
        )
        lines = "".join(f"{name}:{value}\n" for name, value in signed)
        names = ";".join(name for name, _ in signed)
        self._canonical = f"POST\n{self._path}\n\n{lines}\n{names}\n"
        self._to_sign = f"{_ALGORITHM}\n{stamp}\n{'/'.join(scope)}\n"
        credential = f"{credentials.key}/{'/'.join(scope)}"
        self._authorization = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature="
