"""A service whose requests and responses are streamed: what it is to the transport, and to who has them in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from .chunked import decoded, is_chunked
from .faults import Fault
from .messages import Request, Response
from .service import Caller, Service

# ASGI's messages, without the rest of it.
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

IDLE = 60.0  # seconds that a client may take for the next piece of its request


class ClientGone(Exception):
    """The client left, or fell silent, before the request was complete."""


class StreamedService(Service):
    """Its bodies are not limited, and not in memory."""

    async def stream(self, request: Request, receive: Receive, send: Send, caller: Caller) -> None:
        """Carry out a request, on the event loop, whose body is to be received. Raises ClientGone."""
        raise NotImplementedError

    async def call(self, request: Request, caller: Caller) -> Response:
        sent: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": request.body}]
        messages: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return sent.pop() if sent else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        await self.stream(request, receive, send, caller)
        body = b"".join(message.get("body", b"") for message in messages[1:])
        return Response(messages[0]["status"], list(messages[0]["headers"]), body)


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
