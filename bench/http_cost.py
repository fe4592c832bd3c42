"""What a request costs the server: CPU for an Invoke, and for an SQS message of 1 KB sent, received and deleted.

python -m bench.http_cost [--seconds S] [--rounds N]. At 1 and 16 connections, beside a bare uvicorn echo, interleaved:
each round has every kind once. CPU is of all threads of the server's process, as the kernel counts it (schedstat); the
workers and the client are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.peers.http import EVENT, BareUvicorn, HttpPeer, Served
from bench.sqs import OverHttp

CONNECTIONS = (1, 16)


class Cost(NamedTuple):
    """cpu: microseconds of the server a request."""

    rate: float
    cpu: float


def cpu_ns(pid: int) -> int:
    """That the threads of a process have had, those which ended left out."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


class Echo:
    """One connection that sends the same request again and again."""

    def __init__(self, peer: HttpPeer) -> None:
        self._port = peer.port
        self._request = (
            f"POST {peer.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(EVENT)}\r\n\r\n".encode()
            + EVENT
        )

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def call(self, _n: int) -> int:
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        at = head.find(b"content-length: ")
        await self._reader.readexactly(int(head[at + 16 : head.find(b"\r", at)]))
        return 1

    def close(self) -> None:
        self._writer.close()


async def cost(pid: int, calls: list[Callable[[int], Awaitable[int]]], seconds: float) -> Cost:
    begun, cpu = time.perf_counter(), cpu_ns(pid)
    end = begun + seconds

    async def work(call: Callable[[int], Awaitable[int]]) -> int:
        done = 0
        while time.perf_counter() < end and await call(1):
            done += 1
        return done

    done = sum(await asyncio.gather(*map(work, calls)))
    return Cost(done / (time.perf_counter() - begun), (cpu_ns(pid) - cpu) / 1e3 / max(1, done))


async def of_echo(peer: HttpPeer, connections: int, seconds: float) -> Cost:
    clients = [Echo(peer) for _ in range(connections)]
    for client in clients:
        await client.open()
        await client.call(1)
    assert peer.process is not None
    found = await cost(peer.process.pid, [client.call for client in clients], seconds)
    for client in clients:
        client.close()
    return found


async def of_sqs(peer: HttpPeer, connections: int, seconds: float) -> list[Cost]:
    clients = [OverHttp(peer.port) for _ in range(connections)]
    for client in clients:
        await client.open()
    await clients[0].create()
    assert peer.process is not None
    pid = peer.process.pid
    found = [
        await cost(pid, calls, seconds)
        for calls in (
            [client.send for client in clients],
            [client.receive for client in clients],
            [client.delete for client in clients],
        )
    ]
    for client in clients:
        while await client.receive(10):
            pass
        while await client.delete(10):
            pass
        client.close()
    return found


def rounds(peer: HttpPeer, floor: HttpPeer, seconds: float, number: int) -> Iterator[tuple[str, Cost]]:
    for _ in range(number):
        for connections in CONNECTIONS:
            at = f", {connections} conn."
            yield f"bare uvicorn echo{at}", asyncio.run(of_echo(floor, connections, seconds))
            yield f"Invoke{at}", asyncio.run(of_echo(peer, connections, seconds))
            steps = asyncio.run(of_sqs(peer, connections, seconds))
            for name, found in zip(("SendMessage", "ReceiveMessage", "DeleteMessage"), steps, strict=True):
                yield f"{name}{at}", found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each kind, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[Cost]] = {}
    with contextlib.ExitStack() as stack:
        peer, floor = Served(), BareUvicorn()
        for each in (peer, floor):
            each.start()
            stack.callback(each.close)
        for name, each_cost in rounds(peer, floor, options.seconds, options.rounds):
            found.setdefault(name, []).append(each_cost)
    print(f"{'':<32}{'requests/s':>12}{'server CPU':>12}   by round")
    for name, costs in found.items():
        rate, cpu = (statistics.median(column) for column in zip(*costs, strict=True))
        each_round = " ".join(f"{each.cpu:.1f}" for each in costs)
        print(f"{name:<32}{rate:>10,.0f}/s{cpu:>9.1f} µs   {each_round}")


if __name__ == "__main__":
    main()
