"""Brokers that tests read from, each a process of its own on a port of its own: Redis, NATS."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import until


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Broker:
    """One that can be killed, and started again with what it had."""

    def __init__(self, command: list[str], port: int, folder: Path) -> None:
        self._command, self.port, self._folder = command, port, folder
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self._command, cwd=self._folder, stdout=quiet, stderr=quiet)

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False

        until(listens, what=self._command[0])

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait()


class Redis(Broker):
    """redis-server, every write on the disk before its response."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("there is no redis-server here (make test installs it)")
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self.url = f"redis://127.0.0.1:{port}/0"
        super().__init__([program, *options, "--appendonly", "yes", "--appendfsync", "always"], port, folder)

    def start(self) -> None:
        """It listens before it has read its log again."""
        import redis

        super().start()

        def ready() -> bool:
            with contextlib.suppress(redis.RedisError):
                return bool(self.client().ping())
            return False

        until(ready, what="its log")

    def client(self) -> Any:
        import redis

        return redis.Redis.from_url(self.url)


class Nats(Broker):
    """nats-server with JetStream, every write on the disk before its response."""

    def __init__(self, folder: Path, more: str = "") -> None:
        program = Path(sys.executable).with_name("nats-server")
        if not program.exists():
            pytest.skip("there is no nats-server here (make test installs it)")
        port = free_port()
        self.url = f"nats://127.0.0.1:{port}"
        conf = folder / "nats.conf"
        conf.write_text(
            f'listen: "127.0.0.1:{port}"\njetstream {{\n  store_dir: "{folder}/js"\n  sync_interval: always\n}}\n{more}'
        )
        super().__init__([str(program), "-c", str(conf)], port, folder)

    def do(self, work: Callable[[Any], Awaitable[Any]], url: str = "") -> Any:
        """What that returns of a JetStream context."""

        async def inside() -> Any:
            import nats

            async with await nats.connect(url or self.url) as connection:
                return await work(connection.jetstream())

        return asyncio.run(inside())

    def stream(self, name: str) -> None:
        """Of the subjects NAME.>."""
        self.do(lambda js: js.add_stream(name=name, subjects=[f"{name}.>"]))

    def drop(self, name: str) -> None:
        self.do(lambda js: js.delete_stream(name))

    def publish(self, name: str, *bodies: str, subject: str = "a", **more: Any) -> None:
        async def sent(js: Any) -> None:
            for body in bodies:
                await js.publish(f"{name}.{subject}", body.encode(), **more)

        self.do(sent)


@contextlib.contextmanager
def running(broker: Broker) -> Iterator[Any]:
    try:
        yield broker
    finally:
        broker.stop()
