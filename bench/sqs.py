"""SQS: messages a second sent, received and deleted, beside moto's server and Redis Streams with appendfsync always.

python -m bench.sqs [--seconds S] [--connections N]. Messages of 1 KB, one at a time and in batches of ten, over N
connections (1 and 16). Ours and moto's over HTTP in SQS's JSON protocol; Redis in its own, on the same machine and in
the same run, with appendfsync always: XADD, XREADGROUP, and XACK with XDEL, batches pipelined. Redis and moto are
left out where there are none: MOTO_PYTHON and REDIS_SERVER say where they are. Of moto, which has errors for several at
once, one connection is measured, and compared with the most of ours.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BODY = "x" * 1024
BATCH = 10
STEPS = ("send", "receive", "delete")


class Rates(NamedTuple):
    """Messages a second."""

    send: float
    receive: float
    delete: float


class Peer:
    """A server, and a connection of it. `step` does one request for n messages; it returns how many there were."""

    name = ""
    most = 1000  # connections

    def __init__(self, port: int) -> None:
        self.port = port
        self.held: list[Any] = []  # what was received and is to be deleted

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)

    async def create(self) -> None:
        """The queue, once."""

    async def send(self, n: int) -> int:
        raise NotImplementedError

    async def receive(self, n: int) -> int:
        raise NotImplementedError

    async def delete(self, n: int) -> int:
        raise NotImplementedError

    def close(self) -> None:
        self.writer.close()


class OverHttp(Peer):
    """SQS in its JSON protocol, by as little client as can be: what is measured is the server."""

    name = "stoker"

    async def _call(self, operation: str, members: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(members).encode()
        scope = "Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"
        self.writer.write(
            f"POST / HTTP/1.1\r\nHost: localhost:{self.port}\r\nX-Amz-Target: AmazonSQS.{operation}\r\n"
            f"Content-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 {scope}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        at = lowered.find(b"content-length: ")
        length = int(lowered[at + 16 : lowered.find(b"\r", at)]) if at >= 0 else 0
        data = await self.reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{operation}: {head!r} {data!r}")
        if b"connection: close" in lowered:
            self.writer.close()
            await self.open()
        return dict(json.loads(data or b"{}"))

    async def create(self) -> None:
        await self._call("CreateQueue", {"QueueName": "bench", "Attributes": {"VisibilityTimeout": "43200"}})

    @property
    def _queue(self) -> str:
        return f"http://localhost:{self.port}/{self.account}/bench"

    account = "000000000000"

    async def send(self, n: int) -> int:
        if n == 1:
            await self._call("SendMessage", {"QueueUrl": self._queue, "MessageBody": BODY})
        else:
            entries = [{"Id": str(at), "MessageBody": BODY} for at in range(n)]
            await self._call("SendMessageBatch", {"QueueUrl": self._queue, "Entries": entries})
        return n

    async def receive(self, n: int) -> int:
        found = await self._call("ReceiveMessage", {"QueueUrl": self._queue, "MaxNumberOfMessages": n})
        handles = [message["ReceiptHandle"] for message in found.get("Messages", ())]
        self.held += handles
        return len(handles)

    async def delete(self, n: int) -> int:
        handles, self.held = self.held[:n], self.held[n:]
        if not handles:
            return 0
        if n == 1:
            await self._call("DeleteMessage", {"QueueUrl": self._queue, "ReceiptHandle": handles[0]})
        else:
            entries = [{"Id": str(at), "ReceiptHandle": handle} for at, handle in enumerate(handles)]
            await self._call("DeleteMessageBatch", {"QueueUrl": self._queue, "Entries": entries})
        return len(handles)


class Moto(OverHttp):
    name = "moto server"
    most = 1  # it responds with errors to several at once
    account = "123456789012"


class Redis(Peer):
    name = "redis streams"

    def _command(self, *words: object) -> None:
        parts = [str(word).encode() for word in words]
        self.writer.write(
            b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        )

    async def _reply(self) -> Any:
        line = (await self.reader.readline())[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"*":
            return [await self._reply() for _ in range(int(rest))] if int(rest) >= 0 else None
        if kind == b"$":
            return None if int(rest) < 0 else (await self.reader.readexactly(int(rest) + 2))[:-2]
        return rest

    async def create(self) -> None:
        self._command("XGROUP", "CREATE", "bench", "g", "0", "MKSTREAM")
        await self._reply()

    async def send(self, n: int) -> int:
        for _ in range(n):
            self._command("XADD", "bench", "*", "b", BODY)
        for _ in range(n):
            await self._reply()
        return n

    async def receive(self, n: int) -> int:
        self._command("XREADGROUP", "GROUP", "g", "c", "COUNT", n, "STREAMS", "bench", ">")
        found = await self._reply()
        ids = [entry[0].decode() for entry in found[0][1]] if found else []
        self.held += ids
        return len(ids)

    async def delete(self, n: int) -> int:
        ids, self.held = self.held[:n], self.held[n:]
        if not ids:
            return 0
        self._command("XACK", "bench", "g", *ids)
        self._command("XDEL", "bench", *ids)
        await self._reply()
        await self._reply()
        return len(ids)


async def measured(peer: type[Peer], port: int, n: int, connections: int, seconds: float) -> Rates:
    """Each step for so long, or until there is nothing to do it with."""
    workers = [peer(port) for _ in range(connections)]
    for worker in workers:
        await worker.open()

    async def step(do: Callable[[Peer], Callable[[int], Awaitable[int]]]) -> float:
        begun = time.perf_counter()
        end = begun + seconds

        async def work(worker: Peer) -> int:
            done = 0
            while time.perf_counter() < end and (count := await do(worker)(n)):
                done += count
            return done

        total = sum(await asyncio.gather(*map(work, workers)))
        return total / (time.perf_counter() - begun)

    rates = Rates(
        await step(lambda worker: worker.send),
        await step(lambda worker: worker.receive),
        await step(lambda worker: worker.delete),
    )
    for worker in workers:
        while await worker.receive(BATCH):
            pass
        while await worker.delete(BATCH):
            pass
        worker.close()
    return rates


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=quiet, stderr=quiet)
    try:
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"{command[0]} does not answer")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(60)


def peers(folder: Path) -> Iterator[tuple[type[Peer], int, list[str]]]:
    """Those that are here, each with its command."""
    port = free_port()
    yield (
        OverHttp,
        port,
        [sys.executable, "-m", "engine.cli", "serve", "--port", str(port), "--state", f"{folder}/s"],
    )
    redis = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if redis:
        port = free_port()
        options = {"port": port, "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "appendfsync": "always",
                   "save": ""}  # fmt: skip
        yield (
            Redis,
            port,
            [redis, *(str(word) for name, value in options.items() for word in (f"--{name}", value))],
        )
    moto = os.environ.get("MOTO_PYTHON") or str(ROOT / "build/clients/moto/bin/python")
    if Path(moto).exists():
        port = free_port()
        yield Moto, port, [moto, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each step")
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16])
    options = parser.parse_args()
    found: dict[str, dict[tuple[int, int], Rates]] = {}
    with tempfile.TemporaryDirectory() as name:
        for peer, port, command in peers(Path(name)):
            with running(command, port, Path(name)):

                async def run(peer: type[Peer] = peer, port: int = port) -> dict[tuple[int, int], Rates]:
                    first = peer(port)
                    await first.open()
                    await first.create()
                    first.close()
                    return {
                        (connections, n): await measured(peer, port, n, connections, options.seconds)
                        for connections in options.connections
                        if connections <= peer.most
                        for n in (1, BATCH)
                    }

                found[peer.name] = asyncio.run(run())
    print(f"{'messages/s of 1 KB':<34}" + "".join(f"{step:>12}" for step in STEPS))
    for name, each in found.items():
        for (connections, n), rates in each.items():
            kind = "one at a time" if n == 1 else f"batches of {n}"
            row = f"{name}, {kind}, {connections} conn."
            print(f"{row:<44}"[:44] + "".join(f"{rate:>12,.0f}" for rate in rates))
    ours = found[OverHttp.name]
    for name, each in found.items():
        if name != OverHttp.name:
            for key, rates in each.items():
                mine = ours[key] if len(each) == len(ours) else ours[max(options.connections), key[1]]
                ratios = [one / other if other else 0 for one, other in zip(mine, rates, strict=True)]
                print(
                    f"stoker / {name}, {key[0]} conn., {key[1]} a request: "
                    + " ".join(f"{each:.2f}" for each in ratios)
                )


if __name__ == "__main__":
    main()
