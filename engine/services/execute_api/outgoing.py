"""Requests that APIs make themselves: to the backends of HTTP integrations, and for keys of identity providers."""

from __future__ import annotations

import asyncio

import httpcore

BODY_BYTES = 10 << 20  # AWS's limit of a payload
_CONNECTIONS = 200
Pairs = list[tuple[str, str]]


class Unreachable(Exception):
    """There is no response, or none that may be passed on."""


class Outgoing:
    """Belongs to the event loop."""

    def __init__(self) -> None:
        self._pool = httpcore.AsyncConnectionPool(max_connections=_CONNECTIONS, keepalive_expiry=20.0)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def request(
        self, method: str, url: str, headers: Pairs, body: bytes, seconds: float
    ) -> tuple[int, Pairs, bytes]:
        """Raises Unreachable, TimeoutError."""
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(seconds):
                given = [
                    (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers
                ]
                async with self._pool.stream(method, url, headers=given, content=body or None) as response:
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
