"""The ASGI application: reads a request, asks the registry whose it is, lets it in, and has it carried out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.registry import Registry, signing_name
from ..aws.service import BODY_BYTES, Access, Service
from .door import Door
from .passthrough import Passthrough, refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Services whose bodies are streamed on: the signature covers a hash that a header declares, which the receiver checks.
_STREAMED = frozenset({"s3"})
_log = logging.getLogger("stoker.http")


class ClientGone(Exception):
    """There is nobody left to respond to."""


class TooLarge(Exception):
    """A body beyond its limit."""


class App:
    """Every request but the Invokes that http/protocol.py takes out before."""

    def __init__(self, registry: Registry, door: Door, passthrough: Passthrough) -> None:
        self._registry = registry
        self._door = door
        self._passthrough = passthrough

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        with contextlib.suppress(ClientGone):
            request = request_of(scope)
            service = self._registry.find(request)
            if service is None:
                await self._pass_on(request, scope, receive, send)
            else:
                await respond(send, await self._respond(service, request, receive))

    async def serve(self, request: Request, too_large: bool) -> Response:
        """The response to a request that was read without ASGI, and names one of the services. too_large: its body
        was longer than any of these may be."""
        service = self._registry.find(request)
        assert service is not None
        return await self._respond(service, request, None, too_large)

    async def _respond(
        self, service: Service, request: Request, receive: Receive | None, too_large: bool = False
    ) -> Response:
        """receive: for the body, if it is still to be read."""
        try:
            if not service.cross_site:
                self._door.check_page(request)
            if receive is not None:
                request.body = await read_body(receive, service.body_bytes)
                request.left = partial(left, receive)
            elif too_large or len(request.body) > service.body_bytes:
                raise TooLarge
            access = service.access(request)
            caller = self._door.enter(request, service.signing_name, access, request.body)
            return await service.call(request, caller)
        except TooLarge:
            return service.too_large(request)
        except Fault as error:
            fault = error
        except ClientGone:
            raise
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            fault = Fault("ServiceException", "Internal error", Type="Service")
        return service.error(request, fault)

    async def _pass_on(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """A request for a service that is not served here."""
        name = signing_name(request) or ""
        try:
            self._door.check_page(request)
            body: bytes | None = None
            if self._door.guarded and name not in _STREAMED:
                body = await read_body(receive, BODY_BYTES)
                receive = replay(body, receive)
            self._door.enter(request, name, Access.SIGNED, body)
        except TooLarge:
            fault = Fault(
                "RequestEntityTooLargeException", f"Request must be smaller than {BODY_BYTES} bytes"
            )
            await respond(send, refusal(request, 413, fault.code, fault.message or ""))
        except Fault as fault:
            await respond(send, refusal(request, 403, fault.code, fault.message or ""))
        else:
            await self._passthrough.forward(scope, receive, send)


def request_of(scope: Scope) -> Request:
    """An ASGI scope as a request, its body not read yet."""
    return Request(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        scheme=scope.get("scheme", "http"),
        client=(scope.get("client") or ("127.0.0.1", 0))[0],
        port=(scope.get("server") or ("", 80))[1] or 80,
    )


async def left(receive: Receive) -> None:
    """Until the client has left, of a request whose body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises ClientGone, TooLarge."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise TooLarge
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


def replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives a body that was read already."""
    replayed = False

    async def receive_again() -> MutableMapping[str, Any]:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def respond(send: Send, response: Response) -> None:
    headers = list(response.headers)
    if response.status != 204:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
