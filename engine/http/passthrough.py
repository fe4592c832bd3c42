"""Requests for other AWS services, passed on to where these are: as they came, or signed again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from .. import wire
from ..aws.chunked import decoded, is_chunked
from ..aws.faults import Fault
from ..aws.messages import Request, Response
from ..aws.names import Place
from ..aws.outbound import Outbound
from ..aws.registry import signing_name
from ..aws.resigning import has_own_signature, resigned, unchunked
from ..aws.sessions import Sessions
from ..aws.streams import ClientGone, Receive, Send, pieces, respond
from ..aws.upstream import Origin, Unreachable, Upstream
from ..services.urls.payload import HOP_BY_HOP

if TYPE_CHECKING:
    import httpcore

Header = tuple[str, str]

CONNECTIONS = 100
_KEY = re.compile(r"Credential=([^/,]+)/")
# Seconds; SQS polls last up to 20.
EXTENSIONS = {"timeout": {"connect": 5.0, "read": 120.0, "write": 60.0, "pool": 30.0}}
# The services whose signatures name them alike; X-Amz-Target tells them apart.
_BY_TARGET = {"dynamodbstreams_20120810": "dynamodbstreams"}


class Passthrough:
    """Passes requests on to `upstream`; where that has no endpoint it refuses them and says why.

    Bodies are streamed both ways, a piece at a time. The Host header stays the client's, unless the request is signed
    again: it is signed, it may hold a bucket's name, and the URLs that the service answers with then lead back here.
    """

    def __init__(self, upstream: Upstream, sessions: Sessions | None = None, account: str = "") -> None:
        """sessions: the server's, whose keys mean nothing elsewhere; account: the server's own."""
        self._upstream = upstream
        self._sessions = sessions
        self._account = account
        self._outbound = Outbound(CONNECTIONS, keepalive=5.0)

    @property
    def resigns(self) -> bool:
        """Are requests signed again, for which their bodies are read first?"""
        return self._upstream.resigns

    async def forward(
        self,
        request: Request,
        receive: Receive,
        send: Send,
        place: Place,
        *,
        body: bytes | None = None,
        service: str | None = None,
    ) -> None:
        """place: the caller's; body: where it was read already; service: its signing name, where the request does not
        tell."""
        service = service or signing_name(request) or ""
        target = request.header("x-amz-target").partition(".")[0].lower()
        try:
            endpoint = await self._upstream.endpoint(_BY_TARGET.get(target, service), place.region)
        except Unreachable as reason:
            status, code = (502, "BadGateway") if self._upstream else (501, "NotImplemented")
            return await _refuse(request, send, status, code, str(reason))
        incoming = _Body(receive)
        relay = asyncio.ensure_future(self._relay(request, service, endpoint, incoming, body, send, place))
        gone = asyncio.ensure_future(incoming.gone())
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
        await self._outbound.aclose()

    async def _relay(
        self, request: Request, service: str, endpoint: str, body: _Body, whole: bytes | None, send: Send,
        place: Place,
    ) -> None:  # fmt: skip
        pool = await self._outbound.pool()
        import httpcore

        started = False
        names = {name for name, _ in request.headers}
        content = body.pieces() if names & {"transfer-encoding", "content-length"} else None
        try:
            if content is None:
                body.complete.set()
            headers, url = _end_to_end(request.headers, "expect"), _url(endpoint, request)
            if self._upstream.resigns and not has_own_signature(request.headers):
                if content is not None and _signed_chunks(request):
                    headers, content = unchunked(headers), decoded(content)
                credentials = await self._upstream.credentials(place)
                url, headers = resigned(
                    request.method, url, headers, whole, credentials, service, place.region
                )
            else:
                headers = self._known_elsewhere(headers)
            headers += self._upstream.headers(place).items()
            if content is not None and "content-length" not in {name for name, _ in headers}:
                headers.append(("transfer-encoding", "chunked"))
            async with pool.stream(
                request.method, _target(url), headers=[_wire(pair) for pair in headers], content=content,
                extensions=EXTENSIONS,
            ) as response:  # fmt: skip
                found = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in response.headers]
                kept = _end_to_end(found, "date", "server")  # which our own server sets
                started = True
                await send(
                    {
                        "type": "http.response.start",
                        "status": response.status,
                        "headers": [_wire(pair) for pair in kept],
                    }
                )
                async for piece in response.aiter_stream():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except ClientGone:
            return
        except Unreachable as reason:
            await _refuse(request, send, 502, "BadGateway", str(reason))
        except Fault as fault:
            await respond(send, refusal(request, 400, fault.code, fault.message or ""))
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            if started:
                raise  # half a response was sent: only closing the connection can say that it is not whole
            cause = str(error) or type(error).__name__
            await _refuse(request, send, 502, "BadGateway", f"could not be reached at {endpoint}: {cause}")

    def _known_elsewhere(self, headers: list[Header]) -> list[Header]:
        """A function's key is the server's own: its account's number, which other emulators know as a key, is there
        instead; for the server's own account, a key that names none."""
        values = dict(headers)
        token, found = values.get("x-amz-security-token"), _KEY.search(values.get("authorization", ""))
        if self._sessions is None or not token or not found:
            return headers
        session = self._sessions.find(found[1], token)
        if session is None:
            return headers
        key = "stoker" if session.account == self._account else session.account
        return [
            (name, value.replace(found[1], key, 1) if name == "authorization" else value)
            for name, value in headers
            if name != "x-amz-security-token"
        ]


class _Body:
    """A request's body, read when there is room for it; and, once it is complete, word of the client's leaving."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        async for piece in pieces(self._receive):
            yield piece
        self.complete.set()

    async def gone(self) -> None:
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _url(endpoint: str, request: Request) -> str:
    scheme, host, port = Origin.of(endpoint)
    name = f"[{host}]" if ":" in host else host
    path = request.path if request.path.startswith("/") else f"/{request.path}"
    query = f"?{request.query}" if request.query else ""
    return f"{scheme}://{name}{f':{port}' if port else ''}{path}{query}"


def _target(url: str) -> httpcore.URL:
    """With the path as it is: nothing is decoded, or split at a semicolon."""
    import httpcore

    *origin, target = url.split("/", 3)
    scheme, host, port = Origin.of("/".join(origin))
    return httpcore.URL(scheme=scheme, host=host, port=port, target=f"/{target}".encode("latin-1"))


def _signed_chunks(request: Request) -> bool:
    """Is each chunk of the body signed, with a key that the new signature is not made with?"""
    return is_chunked(request.headers) and "AWS4" in request.header("x-amz-content-sha256")


def _end_to_end(headers: Any, *dropped: str) -> list[tuple[str, str]]:
    """The headers that are for the other end, but for those dropped."""
    stays_here = HOP_BY_HOP.union(dropped)
    return [(name, value) for name, value in headers if name not in stays_here]


def _wire(header: tuple[str, str]) -> tuple[bytes, bytes]:
    return header[0].encode("latin-1"), header[1].encode("latin-1")


async def _refuse(request: Request, send: Send, status: int, code: str, reason: str) -> None:
    service = signing_name(request) or "The service that this request is for"
    await respond(send, refusal(request, status, code, f"{service} {reason}"))


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
