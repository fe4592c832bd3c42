"""The ASGI application: reads a request, asks the registry whose it is, lets it in, and has it carried out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import MutableMapping
from functools import partial
from typing import Any

from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.protocols.base import STATUS
from ..aws.registry import Registry, signing_name
from ..aws.service import BODY_BYTES, Access, Caller, Service
from ..aws.streams import ClientGone, Receive, Scope, Send, StreamedService, request_of
from .asgi import AsgiCycle
from .budget import FREE, MIB
from .cycle import no_room
from .door import Door
from .passthrough import Passthrough, refusal

# Services whose bodies are streamed on: the signature covers a hash that a header declares, which the receiver checks.
_STREAMED = frozenset({"s3"})
STREAM = 512 * 1024  # bytes that a streamed request holds: a read, and a write buffer, of each side
PIECE = 256 * 1024
_COPIES = 3  # of a body that is passed on whole
_STEP = MIB
_log = logging.getLogger("stoker.http")


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
        cycle: AsgiCycle = scope["extensions"]["stoker"]
        with contextlib.suppress(ClientGone):
            request = request_of(scope)
            service = self._registry.find(request)
            if service is None or isinstance(service, StreamedService):
                await self._stream(request, service, scope, cycle, send)
                return
            response = await self._respond(service, request, cycle)
            request.body = b""
            room = cycle.writes(len(response.body)) if response.file is None else cycle.hold.take(STREAM)
            if not room:
                await respond(send, service.error(request, no_room()), cycle)
            elif response.file is None:
                await respond(send, response, cycle)
            else:
                await send_file(send, response, cycle)

    def upgrade(self, request: Request) -> asyncio.Protocol | None:
        """What a request's connection is handed to that asks for a WebSocket; None: nobody has any."""
        service = self._registry.find(request)
        if service is None:
            return None

        def enter() -> Caller:
            if not service.cross_site:
                self._door.check_page(request)
            claim = self._door.look(
                request, service.signed_for or service.signing_name, service.access(request)
            )
            return self._door.enter(request, claim, b"")

        return service.upgrade(request, enter)

    async def _respond(self, service: Service, request: Request, cycle: AsgiCycle) -> Response:
        try:
            if not service.cross_site:
                self._door.check_page(request)
            access = service.access(request)
            claim = self._door.look(request, service.signed_for or service.signing_name, access)
            request.body = await read_body(cycle, request, service.body_bytes, service.copies)
            request.left = partial(left, cycle)
            return await service.call(request, self._door.enter(request, claim, request.body))
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

    async def _stream(
        self, request: Request, service: StreamedService | None, scope: Scope, cycle: AsgiCycle, send: Send
    ) -> None:
        """A request for a service that is streamed, or, None, is not served here."""
        name = signing_name(request) or ""
        receive: Receive = cycle.receive
        try:
            self._door.check_page(request)
            claim = self._door.look(request, name, Access.SIGNED)
            body: bytes | None = None
            if (self._door.guarded or self._passthrough.resigns) and name not in _STREAMED:
                body = await read_body(cycle, request, BODY_BYTES, _COPIES)
                receive = replay(body, receive)
            else:
                await cycle.reserve(STREAM)
            caller = self._door.enter(request, claim, body)
        except TooLarge:
            fault = Fault(
                "RequestEntityTooLargeException", f"Request must be smaller than {BODY_BYTES} bytes"
            )
            await respond(send, refusal(request, 413, fault.code, fault.message or ""), cycle)
        except Fault as fault:
            status = STATUS.get(fault.code, 403)
            response = refusal(request, status, fault.code, fault.message or "")
            await respond(send, response if service is None else service.error(request, fault), cycle)
        else:
            if service is not None:
                await service.stream(scope, receive, send, caller)
            else:
                await self._passthrough.forward(scope, receive, send, caller.place, body=body)


async def left(cycle: AsgiCycle) -> None:
    """Until the client has left, of a request whose body was read."""
    while (await cycle.receive())["type"] != "http.disconnect":
        pass


async def read_body(cycle: AsgiCycle, request: Request, limit: int, copies: int) -> bytes:
    """The whole body, once there is room for so many copies of it. Raises ClientGone, TooLarge, and Fault when there is
    no room."""
    length = int(request.header("content-length") or 0)
    if length > limit:
        raise TooLarge
    if length > FREE:
        await cycle.reserve(copies * length)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await cycle.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message["body"]
        size += len(piece)
        if size > limit:
            raise TooLarge
        if size > max(length, FREE):  # nobody said how long it is: it takes more as it grows
            length = min(limit, size + _STEP)
            await cycle.reserve(copies * length)
        pieces.append(piece)
        if not message["more_body"]:
            cycle.hold.unwatch()
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


async def respond(send: Send, response: Response, cycle: AsgiCycle) -> None:
    cycle.join()
    headers = list(response.headers)
    if response.status != 204:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def send_file(send: Send, response: Response, cycle: AsgiCycle) -> None:
    """A response with a file's bytes, of which only a piece is in memory."""
    assert response.file is not None
    loop = asyncio.get_running_loop()
    with response.file.open("rb") as file:
        headers = [*response.headers, (b"content-length", b"%d" % os.fstat(file.fileno()).st_size)]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        more = True
        while more and not cycle.disconnected:
            piece = await loop.run_in_executor(None, file.read, PIECE)
            more = len(piece) == PIECE
            await send({"type": "http.response.body", "body": piece, "more_body": more})
