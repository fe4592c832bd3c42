"""A service whose requests and responses are streamed: what it is to the transport, and to who has them in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from .chunked import decoded, is_chunked
from .faults import Fault
from .messages import Request, Response
from .service import Caller, Service

# ASGI's.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

IDLE = 60.0  # seconds that a client may take for the next piece of its request


class ClientGone(Exception):
    """The client left, or fell silent, before the request was complete."""


class StreamedService(Service):
    """Its bodies are not limited, and not in memory."""

    async def stream(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Carry out a request, on the event loop, as an ASGI application does. Raises ClientGone."""
        raise NotImplementedError

    async def call(self, request: Request, caller: Caller) -> Response:
        sent: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": request.body}]
        messages: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return sent.pop() if sent else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        await self.stream(scope_of(request), receive, send, caller)
        body = b"".join(message.get("body", b"") for message in messages[1:])
        return Response(messages[0]["status"], list(messages[0]["headers"]), body)


def request_of(scope: Scope) -> Request:
    """An ASGI scope as a request, its body not read yet."""
    return Request(
        method=scope["method"],
        path=(scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1"),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        scheme=scope.get("scheme", "http"),
        client=(scope.get("client") or ("127.0.0.1", 0))[0],
        port=(scope.get("server") or ("", None))[1] or _port_of(scope),
    )


def scope_of(request: Request) -> Scope:
    return {
        "type": "http", "method": request.method, "path": request.path,
        "raw_path": request.path.encode("latin-1"), "query_string": request.query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers],
        "scheme": request.scheme, "client": (request.client, 0), "server": ("", request.port),
    }  # fmt: skip


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """A request's body as it comes. Raises ClientGone."""
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), IDLE)
        except TimeoutError:
            raise ClientGone from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


def content(request: Request, receive: Receive) -> AsyncIterator[bytes]:
    """Its body, decoded where it is aws-chunked. Raises ClientGone, and Fault for one that is not what it says."""
    found = pieces(receive)
    return decoded(found) if is_chunked(request.headers) else found


async def read_whole(request: Request, receive: Receive, limit: int) -> bytes:
    """Its body, of so many bytes at most. Raises ClientGone, Fault."""
    body = bytearray()
    async for piece in content(request, receive):
        body += piece
        if len(body) > limit:
            text = "Your request was too big."
            raise Fault("MaxMessageLengthExceeded", text, MaxMessageLengthBytes=limit)
    return bytes(body)


async def respond(send: Send, response: Response) -> None:
    headers = list(response.headers)
    if response.status != 204:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _port_of(scope: Scope) -> int:
    """By a Unix socket: the one that the client meant."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    port = host.rpartition(b":")[2]
    return int(port) if port.isdigit() and len(port) < 6 else 80
