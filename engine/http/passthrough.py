"""Requests for other AWS services, passed on to another endpoint as they are (an emulator of these services, say)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import httpcore

from .. import wire
from ..aws.messages import Request, Response
from ..aws.registry import signing_name
from ..errors import InvalidConfiguration
from ..services.urls.payload import HOP_BY_HOP

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONNECTIONS = 100
IDLE = 60.0  # seconds that a client may take for the next piece of its request
# Seconds; SQS polls last up to 20.
EXTENSIONS = {"timeout": {"connect": 5.0, "read": 120.0, "write": 60.0, "pool": 30.0}}


class ClientGone(Exception):
    """The client left, or fell silent, before the request was complete."""


class Passthrough:
    """Passes requests on to `endpoint` ("http://127.0.0.1:5000"); with None it refuses them and says why.

    Raises InvalidConfiguration when the endpoint is no such URL. Bodies are streamed both ways, a piece at a time. The
    Host header stays the client's: it is signed, it may hold a bucket's name, and the URLs that the service answers
    with then lead back here.
    """

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint
        self._pool = httpcore.AsyncConnectionPool(max_connections=CONNECTIONS, keepalive_expiry=5.0)
        if endpoint is not None:
            try:
                parts = urlsplit(endpoint)
                host, port = parts.hostname, parts.port
            except ValueError as error:
                raise InvalidConfiguration(f"{endpoint!r} is no URL: {error}") from None
            if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query:
                raise InvalidConfiguration(f"{endpoint!r} is no endpoint: http://HOST:PORT is")
            self._origin = (parts.scheme, host, port)

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application for the scope "http"."""
        if self._endpoint is None:
            reason = "is not served here; start the server with --aws-endpoint to have it passed on."
            return await _refuse(scope, send, 501, "NotImplemented", reason)
        body = _Body(receive)
        relay = asyncio.ensure_future(self._relay(scope, body, send))
        gone = asyncio.ensure_future(body.gone())
        try:
            await asyncio.wait({relay, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (relay, gone):
                task.cancel()
            await asyncio.wait({relay, gone})
        if not relay.cancelled():
            relay.result()
        return None

    async def aclose(self) -> None:
        """Closes the connections that were kept."""
        await self._pool.aclose()

    async def _relay(self, scope: Scope, body: _Body, send: Send) -> None:
        started = False
        headers = _end_to_end(scope["headers"], "expect")
        names = {name.lower() for name, _ in scope["headers"]}
        content = body.pieces() if names & {b"transfer-encoding", b"content-length"} else None
        if content is None:
            body.complete.set()
        elif b"content-length" not in names:
            headers.append((b"transfer-encoding", b"chunked"))
        try:
            async with self._pool.stream(
                scope["method"], self._url(scope), headers=headers, content=content, extensions=EXTENSIONS
            ) as response:
                kept = _end_to_end(response.headers, "date", "server")  # which our own server sets
                started = True
                await send({"type": "http.response.start", "status": response.status, "headers": kept})
                async for piece in response.aiter_stream():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except ClientGone:
            return
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            if started:
                raise  # half an answer was sent: only closing the connection can say that it is not whole
            cause = str(error) or type(error).__name__
            reason = f"could not be reached at {self._endpoint}: {cause}"
            await _refuse(scope, send, 502, "BadGateway", reason)

    def _url(self, scope: Scope) -> httpcore.URL:
        scheme, host, port = self._origin
        target = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
        if scope.get("query_string"):
            target += b"?" + scope["query_string"]
        return httpcore.URL(scheme=scheme, host=host, port=port, target=target)


class _Body:
    """A request's body, read when there is room for it; and, once it is complete, word of the client's leaving."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            try:
                message = await asyncio.wait_for(self._receive(), IDLE)
            except TimeoutError:
                raise ClientGone from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
        self.complete.set()

    async def gone(self) -> None:
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _end_to_end(headers: list[tuple[bytes, bytes]], *dropped: str) -> list[tuple[bytes, bytes]]:
    """The headers that are for the other end, but for those dropped."""
    stays_here = HOP_BY_HOP.union(dropped)
    lower = ((name.lower(), value) for name, value in headers)
    return [(name, value) for name, value in lower if name.decode("latin-1") not in stays_here]


async def _refuse(scope: Scope, send: Send, status: int, code: str, reason: str) -> None:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    query = scope.get("query_string", b"").decode("latin-1")
    request = Request(scope["method"], scope["path"], query, headers)
    service = signing_name(request) or "The service that this request is for"
    response = refusal(request, status, code, f"{service} {reason}")
    length = (b"content-length", b"%d" % len(response.body))
    await send({"type": "http.response.start", "status": status, "headers": [*response.headers, length]})
    await send({"type": "http.response.body", "body": response.body})


def refusal(request: Request, status: int, code: str, message: str) -> Response:
    """An error in the form that the clients of the request's service read."""
    media = request.header("content-type")
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    kind = "application/xml"
    # Only query services send forms, and S3 has XML of its own; everyone else speaks JSON.
    if signing_name(request) == "s3":
        body = f"<Error>{error}</Error>".encode()
    elif "x-www-form-urlencoded" in media:
        body = f"<ErrorResponse><Error><Type>Receiver</Type>{error}</Error></ErrorResponse>".encode()
    else:
        kind = media if media.startswith("application/x-amz-json") else "application/json"
        body = wire.encode({"__type": code, "message": message})
    return Response(
        status, [(b"content-type", kind.encode("latin-1")), (b"x-amzn-errortype", code.encode())], body
    )
