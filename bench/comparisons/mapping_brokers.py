"""Mappings of a Kafka topic and of a RabbitMQ queue, each beside a consumer by hand with the same library.

The brokers are those that the tests have. Records are there before the time begins: the function is throttled while
they are sent, and what is measured begins when it is not any more.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.harness import Series, interleave
from bench.peers.base import Unavailable
from bench.peers.http import ROOT
from bench.report import Figure, Outcome, rate

sys.path.append(str(ROOT / "tests"))

BODY = json.dumps({"message": "x" * 85}).encode()
SIZES = {1: 1_000, 10: 5_000, 100: 20_000}  # records by the size of a batch
BROKER = "arn:aws:mq:us-east-1:000000000000:broker:bench:b-1"
FLOOR = "a consumer by hand"


@contextmanager
def secrets(user: str, password: str) -> Iterator[str]:
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


@contextmanager
def kafka_and_rabbitmq(folder: Path) -> Iterator[tuple[Any, Any]]:
    """A Kafka and a RabbitMQ. Raises Unavailable."""
    from kafka_and_rabbitmq import Kafka, Rabbit  # type: ignore[import-not-found]

    with ExitStack() as stack:
        made = Kafka(), Rabbit(folder)
        for each in made:
            stack.callback(each.close)
            try:
                each.start()
            except pytest.skip.Exception as reason:
                raise Unavailable(str(reason)) from reason
        yield made


def handler(event: Any, context: Any) -> Any:
    return len(next(iter(next(iter(each for each in event.values() if isinstance(each, dict))).values())))


def _value(body: bytes) -> str:
    return base64.b64encode(body).decode()


async def kafka_by_hand(servers: str, topic: str, size: int, count: int, before: int) -> float:
    """Seconds for `count` records after the first `before`. Batches of `size`, the handler, a commit."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=f"{topic}-hand", enable_auto_commit=False)
    await consumer.start()
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek(place, before)
    begin, left = time.perf_counter(), count
    while left:
        found = await consumer.getmany(timeout_ms=10_000, max_records=size)
        for at, records in found.items():
            shown = [
                {
                    "topic": each.topic, "partition": each.partition, "offset": each.offset,
                    "timestamp": each.timestamp, "timestampType": "CREATE_TIME", "value": _value(each.value),
                    "headers": [],
                }
                for each in records
            ]  # fmt: skip
            handler({"eventSource": "aws:kafka", "records": {f"{topic}-{at.partition}": shown}}, None)
            await consumer.commit({at: records[-1].offset + 1})
            left -= len(records)
    seconds = time.perf_counter() - begin
    await consumer.stop()
    return seconds


async def rabbit_by_hand(url: str, queue: str, size: int, count: int) -> float:
    """Seconds for `count` messages. Batches of `size`, the handler, an acknowledgement."""
    import aio_pika

    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    await channel.set_qos(max(20, 2 * size))
    came: deque[Any] = deque()
    more = asyncio.Event()

    async def take(message: Any) -> None:
        came.append(message)
        more.set()

    begin, left = time.perf_counter(), count
    await (await channel.declare_queue(queue, passive=True)).consume(take)
    while left:
        while len(came) < min(size, left):
            more.clear()
            await more.wait()
        batch = [came.popleft() for _ in range(min(size, left))]
        shown = [
            {
                "basicProperties": {"deliveryMode": each.delivery_mode, "bodySize": len(each.body)},
                "redelivered": each.redelivered, "data": _value(each.body),
            }
            for each in batch
        ]  # fmt: skip
        handler({"eventSource": "aws:rmq", "rmqMessagesByQueue": {f"{queue}::/": shown}}, None)
        await batch[-1].ack(multiple=True)
        left -= len(batch)
    seconds = time.perf_counter() - begin
    await connection.close()
    return seconds


def measured(ours: Any, kafka: Any, rabbit: Any, rounds: int, command: str, out: Outcome) -> None:
    """ours: a server, with a function `f`, that knows where the brokers are."""
    topics, queues = {}, {}
    for size in SIZES:
        kafka.create(f"batches-{size}")
        kafka.create(f"batches-{size}-hand")
        topics[size] = ours.api.create_event_source_mapping(
            FunctionName="f", Topics=[f"batches-{size}"], BatchSize=size, StartingPosition="TRIM_HORIZON",
            SelfManagedEventSource={"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [kafka.servers]}},
            SourceAccessConfigurations=[{"Type": "VPC_SUBNET", "URI": "subnet-0123456789abcdef0"}],
        )["UUID"]  # fmt: skip
        rabbit.declare(f"batches-{size}")
        rabbit.declare(f"batches-{size}-hand")
        queues[size] = ours.api.create_event_source_mapping(
            FunctionName="f", Queues=[f"batches-{size}"], BatchSize=size, EventSourceArn=BROKER,
            SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": "guest"}],
        )["UUID"]  # fmt: skip
        for uuid in (topics[size], queues[size]):
            ours.until(uuid, "Enabled")
        kafka.put(f"batches-{size}", BODY)
    while ours.invoked() < len(SIZES):  # each has its partition
        time.sleep(0.01)
    for size, count in SIZES.items():
        seen = 0

        def by_hand_of_kafka(size: int = size, count: int = count) -> Series:
            nonlocal seen
            topic = f"batches-{size}-hand"
            kafka.put(topic, *[BODY] * count)
            seconds = asyncio.run(kafka_by_hand(kafka.servers, topic, size, count, seen))
            seen += count
            return Series(array("q"), count, int(seconds * 1e9))

        def by_hand_of_rabbit(size: int = size, count: int = count) -> Series:
            rabbit.send(f"batches-{size}-hand", *[BODY] * count)
            seconds = asyncio.run(rabbit_by_hand(rabbit.url, f"batches-{size}-hand", size, count))
            return Series(array("q"), count, int(seconds * 1e9))

        for name, fill, hand in (
            ("a Kafka topic", kafka.put, by_hand_of_kafka),
            ("a RabbitMQ queue", rabbit.send, by_hand_of_rabbit),
        ):
            mapped = _mapped(ours, fill, size, count)
            found = interleave(
                f"mapping of {name}, batches of {size}", rounds, {ours.name: mapped, FLOOR: hand}
            )
            out.comparisons.append(found)
            out.figures.append(
                Figure(f"Records/s from {name} through a function, batches of {size}, vs {FLOOR}",
                       rate(found.median(ours.name, "rate")), rate(found.median(FLOOR, "rate")),
                       found.ratio(ours.name, FLOOR, "rate"), 0.7 if size == 100 else None, "high", command)
            )  # fmt: skip


def _mapped(ours: Any, fill: Callable[..., None], size: int, count: int) -> Callable[[], Series]:
    def mapped() -> Series:
        ours.api.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
        fill(f"batches-{size}", *[BODY] * count)
        before, begin = ours.invoked(), time.perf_counter()
        ours.api.delete_function_concurrency(FunctionName="f")
        while ours.invoked() < before + count:
            time.sleep(0.005)
        return Series(array("q"), count, int((time.perf_counter() - begin) * 1e9))

    return mapped
