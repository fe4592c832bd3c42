"""Requests that APIs make themselves: to the backends of HTTP integrations, and for keys of identity providers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

from ...aws.outbound import Outbound
from ..urls.payload import HOP_BY_HOP, JSON
from .functions import VARIABLE
from .responses import Pairs, Reply

BODY_BYTES = 10 << 20  # AWS's limit of a payload
UNSENT = HOP_BY_HOP | {
    "host",
    "content-length",
    "x-amzn-trace-id",
    "traceparent",
}  # which a backend gets from here
_CONNECTIONS = 200


class Unreachable(Exception):
    """There is no response, or none that may be passed on."""


class Outgoing:
    """Belongs to the event loop."""

    def __init__(self) -> None:
        self._outbound = Outbound(_CONNECTIONS, keepalive=20.0)

    async def aclose(self) -> None:
        await self._outbound.aclose()

    async def request(self, method: str, url: str, headers: Pairs, body: bytes, seconds: float) -> Reply:
        """Raises Unreachable, TimeoutError."""
        pool = await self._outbound.pool()
        import httpcore

        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(seconds):
                given = [
                    (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers
                ]
                async with pool.stream(method, url, headers=given, content=body or None) as response:
                    async for piece in response.aiter_stream():
                        pieces.append(piece)
                        if sum(map(len, pieces)) > BODY_BYTES:
                            raise Unreachable("the response is too long")
        except httpcore.TimeoutException as error:
            raise TimeoutError from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
            ValueError,
        ) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Unreachable(str(error)) from error
        back = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers]
        return response.status, back, b"".join(pieces)


def filled(uri: str, variables: Mapping[str, str], parameters: Mapping[str, str], query: str) -> str:
    """A backend's URL with a stage's variables, the path's parameters and the request's query."""
    url = VARIABLE.sub(lambda match: variables.get(match[1], ""), uri)
    for name, value in parameters.items():
        text = quote(value, safe="/:@!$&'()*+,;=-._~")
        url = url.replace(f"{{{name}+}}", text).replace(f"{{{name}}}", text)
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def kept(reply: Reply) -> Reply:
    """A backend's response, without what was between it and here only."""
    status, headers, body = reply
    return status, [pair for pair in headers if pair[0] not in HOP_BY_HOP] or [JSON], body
