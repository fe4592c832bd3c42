"""One of a Redis client's connections, for what is called so often that the client's layers above it cost more than the
call: no pool that looks at it each time, and commands that hiredis packs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection

pack: Callable[[tuple[bytes | str | int, ...]], bytes] | None
try:
    from hiredis import pack_command as pack  # type: ignore[assignment]
except ImportError:  # redis-py's own will do
    pack = None


class Line:
    """One call at a time. It is connected by the first call, and again by the next one when it is lost."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: AbstractConnection | None = None
        self._turn = asyncio.Lock()

    async def call(self, *command: bytes | str | int) -> Any:
        """The response as it came; one that is cancelled costs the connection. Raises redis.RedisError and OSError."""
        async with self._turn:
            connection = self._connection
            if connection is None:
                connection = self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            packed = pack(command) if pack else connection.pack_command(*command)
            await connection.send_packed_command(packed, check_health=False)
            return await connection.read_response()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)
