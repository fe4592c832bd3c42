"""One connection past the client's layers: each call has its own response, whatever became of the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from brokers import Redis, running
from redis.asyncio import Redis as Client
from redis.exceptions import ConnectionError, ResponseError

from engine.sources.acked.redis_line import Line


def run(folder: Path, body: Callable[[Line, Client], Awaitable[None]]) -> None:
    async def inside(url: str) -> None:
        async with Client.from_url(url) as client:
            line = Line(client.connection_pool)
            await body(line, client)
            await line.close()

    with running(Redis(folder)) as broker:
        asyncio.run(inside(broker.url))


def test_each_call_has_its_own_response(tmp_path: Path) -> None:
    async def body(line: Line, client: Client) -> None:
        found = await asyncio.gather(*(line.call("ECHO", str(n)) for n in range(200)))
        assert found == [b"%d" % n for n in range(200)]
        with pytest.raises(ResponseError):
            await line.call("NOTHING")
        assert await line.call("ECHO", b"\r\n$1\r\n") == b"\r\n$1\r\n"

    run(tmp_path, body)


def test_a_call_that_is_cancelled_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    async def body(line: Line, client: Client) -> None:
        waiting = asyncio.ensure_future(line.call("BLPOP", "list", 60))
        while (await client.info("clients"))["blocked_clients"] != 1:
            await asyncio.sleep(0.01)
        waiting.cancel()
        assert await line.call("ECHO", "next") == b"next"
        await client.rpush("list", "late")  # type: ignore[misc]
        assert await line.call("ECHO", "again") == b"again"

    run(tmp_path, body)


def test_a_lost_connection_is_made_anew(tmp_path: Path) -> None:
    async def body(line: Line, client: Client) -> None:
        id = await line.call("CLIENT", "ID")
        await client.client_kill_filter(_id=id)
        with pytest.raises(ConnectionError):
            await line.call("ECHO", "lost")
        assert await line.call("ECHO", "found") == b"found"

    run(tmp_path, body)
