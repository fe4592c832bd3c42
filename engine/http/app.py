"""The application: reads a request, asks the registry whose it is, lets it in, and has it carried out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import MutableMapping
from typing import Any

from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.protocols.base import STATUS
from ..aws.registry import Registry, signing_name
from ..aws.service import BODY_BYTES, Access, Caller
from ..aws.streams import ClientGone, Receive, StreamedService
from ..aws.traces import CURRENT
from .budget import FREE, MIB
from .cycle import no_room
from .door import Door
from .exchange import Exchange
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

    async def respond(self, exchange: Exchange) -> None:
        """Have a request carried out, and its response written."""
        request = exchange.request
        try:
            service = self._registry.find(request)
            if service is None or isinstance(service, StreamedService):
                await self._stream(service, exchange)
                return
            try:
                if not service.cross_site:
                    self._door.check_page(request)
                claim = None
                if self._door.guarded:
                    name = service.signed_for or service.signing_name
                    claim = self._door.look(request, name, service.access(request))
                if exchange.more_body or len(exchange.body) > FREE:
                    request.body = await read_body(exchange, service.body_bytes, service.copies)
                else:
                    request.body = exchange.taken()
                request.left = exchange.left
                response = await service.call(request, self._door.enter(request, claim, request.body))
            except TooLarge:
                response = service.too_large(request)
            except Fault as fault:
                response = service.error(request, fault)
            except ClientGone:
                raise
            except Exception:
                _log.exception("%s %s failed", request.method, request.path)
                response = service.error(request, Fault("ServiceException", "Internal error", Type="Service"))
            request.body = b""
            streams = response.file or response.pieces
            room = exchange.holding().take(STREAM) if streams else exchange.room_for(len(response.body))
            if not room:
                respond(exchange, service.error(request, no_room()))
            elif response.file is not None:
                await send_file(exchange, response)
            elif response.pieces is not None:
                await send_pieces(exchange, response)
            else:
                respond(exchange, response)
        except ClientGone:
            pass
        finally:
            request.left = None  # which refers to the exchange, and that to the request

    def upgrade(self, request: Request) -> asyncio.Protocol | None:
        """What a request's connection is handed to that asks for a WebSocket; None: nobody has any."""
        service = self._registry.find(request)
        if service is None:
            return None

        def enter() -> Caller:
            if not service.cross_site:
                self._door.check_page(request)
            name = service.signed_for or service.signing_name
            return self._door.enter(request, self._door.look(request, name, service.access(request)), b"")

        return service.upgrade(request, enter)

    async def _stream(self, service: StreamedService | None, exchange: Exchange) -> None:
        """A request for a service that is streamed, or, None, is not served here."""
        request = exchange.request
        name = signing_name(request) or ""
        receive: Receive = exchange.receive
        try:
            self._door.check_page(request)
            claim = self._door.look(request, name, Access.SIGNED)
            body: bytes | None = None
            if (self._door.guarded or self._passthrough.resigns) and name not in _STREAMED:
                body = await read_body(exchange, BODY_BYTES, _COPIES)
                receive = replay(body, receive)
            else:
                await exchange.reserve(STREAM)
            caller = self._door.enter(request, claim, body)
        except TooLarge:
            fault = Fault(
                "RequestEntityTooLargeException", f"Request must be smaller than {BODY_BYTES} bytes"
            )
            respond(exchange, refusal(request, 413, fault.code, fault.message or ""))
        except Fault as fault:
            status = STATUS.get(fault.code, 403)
            response = refusal(request, status, fault.code, fault.message or "")
            respond(exchange, response if service is None else service.error(request, fault))
        else:
            if service is not None:
                CURRENT.set(request.header("x-amzn-trace-id"))  # of this task, which is the request's own
                await service.stream(request, receive, exchange.send, caller)
            else:
                await self._passthrough.forward(request, receive, exchange.send, caller.place, body=body)


async def read_body(exchange: Exchange, limit: int, copies: int) -> bytes:
    """The whole body, once there is room for so many copies of it. Raises ClientGone, TooLarge, and Fault when there is
    no room."""
    length = int(exchange.request.header("content-length") or 0)
    if length > limit:
        raise TooLarge
    if length > FREE:
        await exchange.reserve(copies * length)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message["body"]
        size += len(piece)
        if size > limit:
            raise TooLarge
        if size > max(length, FREE):  # nobody said how long it is: it takes more as it grows
            length = min(limit, size + _STEP)
            await exchange.reserve(copies * length)
        pieces.append(piece)
        if not message["more_body"]:
            exchange.holding().unwatch()
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


def respond(exchange: Exchange, response: Response) -> None:
    exchange.respond(response.status, response.headers, response.body)


async def send_file(exchange: Exchange, response: Response) -> None:
    """A response with a file's bytes, of which only a piece is in memory."""
    assert response.file is not None
    loop = asyncio.get_running_loop()
    with response.file.open("rb") as file:
        headers = [*response.headers, (b"content-length", b"%d" % os.fstat(file.fileno()).st_size)]
        await exchange.send({"type": "http.response.start", "status": response.status, "headers": headers})
        more = True
        while more and not exchange.disconnected:
            piece = await loop.run_in_executor(None, file.read, PIECE)
            more = len(piece) == PIECE
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": more})


async def send_pieces(exchange: Exchange, response: Response) -> None:
    """A response that goes on: each piece as it comes, until the client leaves."""
    assert response.pieces is not None
    async with contextlib.aclosing(response.pieces) as pieces:
        await exchange.send(
            {"type": "http.response.start", "status": response.status, "headers": response.headers}
        )
        async for piece in pieces:
            if exchange.disconnected:
                return
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})
