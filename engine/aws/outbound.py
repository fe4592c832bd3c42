"""Connections to URLs that users name. httpcore is loaded for the first of them: a fifth of what a server imports where
trio is installed, which httpcore loads too, and a twentieth elsewhere."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpcore


class Outbound:
    """Belongs to the event loop. Seconds."""

    def __init__(self, most: int, keepalive: float | None = None) -> None:
        self._most, self._keepalive = most, keepalive
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def pool(self) -> httpcore.AsyncConnectionPool:
        if self._pool is None:
            await asyncio.to_thread(importlib.import_module, "httpcore")
        if self._pool is None:
            import httpcore

            self._pool = httpcore.AsyncConnectionPool(
                max_connections=self._most, keepalive_expiry=self._keepalive
            )
        return self._pool

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
