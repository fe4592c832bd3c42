"""Calls of AWS operations: ReceiveMessage of 10 messages from a stub over loopback, by our client, boto3, aiobotocore.

One at a time and 16 in flight; requests a second, and CPU a request of the client's process. All take turns in
processes of their own; medians. aiobotocore, which wants a botocore of its own, is measured where AIOBOTOCORE_PYTHON
names a Python that has it.

python -m bench.calls [--rounds N] [--seconds S]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IN_FLIGHT = (1, 16)
ASKED = {
    "QueueUrl": "http://q/000000000000/q", "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20,
    "AttributeNames": ["All"], "MessageAttributeNames": ["All"],
}  # fmt: skip
MESSAGES = [
    {
        "MessageId": f"{n:032x}", "ReceiptHandle": f"{n:0128x}", "Body": json.dumps({"order": n, "text": "x" * 100}),
        "MD5OfBody": f"{n:032x}", "Attributes": {
            "SenderId": "000000000000", "SentTimestamp": "1764419401000", "ApproximateReceiveCount": "1",
            "ApproximateFirstReceiveTimestamp": "1764419401000",
        },
    }
    for n in range(10)
]  # fmt: skip


class Stub(asyncio.Protocol):
    """Has one response for everything."""

    BODY = json.dumps({"Messages": MESSAGES}).encode()
    RESPONSE = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: 1\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY)
    )

    def __init__(self) -> None:
        self.pending = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (at := self.pending.find(b"\r\n\r\n")) >= 0:
            head = self.pending[:at].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self.pending) < at + 4 + length:
                return
            self.pending = self.pending[at + 4 + length :]
            self.transport.write(self.RESPONSE)


async def stub() -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def flight(receive: Callable[[], Awaitable[int]], lanes: int, until: float) -> int:
    async def lane() -> int:
        count = 0
        while time.perf_counter() < until:
            assert await receive() == len(MESSAGES)
            count += 1
        return count

    return sum(await asyncio.gather(*(lane() for _ in range(lanes))))


async def ours(url: str, lanes: int, seconds: float) -> int:
    from engine.aws.clients import Clients
    from engine.aws.names import Place
    from engine.aws.registry import Registry
    from engine.aws.upstream import Upstream

    clients, place = Clients(lambda: Registry([]), Upstream(url)), Place("us-east-1", "000000000000")

    async def receive() -> int:
        return len((await clients.call("sqs", "ReceiveMessage", ASKED, place))["Messages"])

    await receive()
    count = await flight(receive, lanes, time.perf_counter() + seconds)
    await clients.aclose()
    return count


async def aiobotocore(url: str, lanes: int, seconds: float) -> int:
    from aiobotocore.session import get_session  # type: ignore[import-not-found,unused-ignore]

    async with get_session().create_client("sqs", region_name="us-east-1", endpoint_url=url) as client:

        async def receive() -> int:
            return len((await client.receive_message(**ASKED))["Messages"])

        await receive()
        return await flight(receive, lanes, time.perf_counter() + seconds)


async def boto3(url: str, lanes: int, seconds: float) -> int:
    """A thread for each."""
    import boto3 as library
    from botocore.config import Config

    config = Config(max_pool_connections=lanes, parameter_validation=False)
    client = library.client("sqs", region_name="us-east-1", endpoint_url=url, config=config)
    client.receive_message(**ASKED)
    until, counts = time.perf_counter() + seconds, [0] * lanes

    def lane(number: int) -> None:
        while time.perf_counter() < until:
            assert len(client.receive_message(**ASKED)["Messages"]) == len(MESSAGES)
            counts[number] += 1

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    return sum(counts)


PEERS = {"ours": ours, "aiobotocore": aiobotocore, "boto3": boto3}


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(python: str, peer: str, url: str, lanes: int, seconds: float) -> tuple[float, float]:
    """Requests a second, and CPU seconds a request."""
    environment = {
        **os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [python, "-m", "bench.calls", "--peer", peer, "--url", url, "--lanes", str(lanes)]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=True,
    )
    count, used = json.loads(done.stdout)
    return count / seconds, used / count


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.calls", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    for hidden in ("--peer", "--url", "--lanes"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        import uvloop

        if options.peer == "stub":
            uvloop.run(stub())
            return 0
        # What it takes to be there at all is no request's.
        lanes = int(options.lanes)
        uvloop.run(PEERS[options.peer](options.url, lanes, 0.2))
        before = cpu()
        count = uvloop.run(PEERS[options.peer](options.url, lanes, options.seconds))
        print(json.dumps([count, cpu() - before]))
        return 0
    pythons = {"ours": sys.executable, "boto3": sys.executable}
    if other := os.environ.get("AIOBOTOCORE_PYTHON"):
        pythons["aiobotocore"] = other
    serving = subprocess.Popen(
        [sys.executable, "-m", "bench.calls", "--peer", "stub"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert serving.stdout is not None
    url = f"http://127.0.0.1:{serving.stdout.readline().strip()}"
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    try:
        for _ in range(options.rounds):
            for lanes in IN_FLIGHT:
                for peer, python in pythons.items():
                    found.setdefault((peer, lanes), []).append(
                        measured(python, peer, url, lanes, options.seconds)
                    )
    finally:
        serving.terminate()
        serving.wait()
    for (peer, lanes), rounds in found.items():
        rates, used = zip(*rounds, strict=True)
        print(
            f"{peer:12} {lanes:3} in flight {statistics.median(rates):10,.0f} requests/s "
            f"{statistics.median(used) * 1e6:8,.0f} us of CPU a request"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
