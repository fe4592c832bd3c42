"""Event source mappings: messages a second from a queue of the server through a function, beside a loop by hand."""

from __future__ import annotations

import json
import os
import shutil
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.comparisons import brokers
from bench.comparisons.events import Queueing
from bench.comparisons.mapping_brokers import BROKER, kafka_and_rabbitmq, measured, secrets
from bench.harness import Effort, Ratio, Series, WrongResult, interleave
from bench.peers.base import Unavailable
from bench.peers.http import VENVS
from bench.report import Figure, Outcome, rate

COMMAND = "python -m bench.run --only mapping"
ACCOUNT, REGION = "000000000000", "us-east-1"
BODY = json.dumps({"message": "x" * 85})
SIZES = {1: 1_500, 10: 6_000, 100: 10_000}  # messages by the size of a batch
IDLE, IDLE_SECONDS = 1_000, 5.0
POLLING = 50
FLOOR = "a loop by hand"


class Fed(Queueing):
    """stoker serve, with mappings."""

    def clients(self) -> None:
        config = Config(retries={"max_attempts": 0}, read_timeout=120)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
        self.queues: Any = boto3.client(
            "sqs", endpoint_url=f"http://127.0.0.1:{self.port}", config=config, **keys
        )

    def queue(self, name: str) -> str:
        """Its ARN."""
        self.queues.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "900"})
        return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"

    def mapping(self, name: str, source: str, size: int, enabled: bool) -> str:
        window = {"MaximumBatchingWindowInSeconds": 1} if size > 10 else {}
        made = self.api.create_event_source_mapping(
            FunctionName=name, EventSourceArn=source, BatchSize=size, Enabled=enabled, **window
        )
        return str(made["UUID"])

    def own_mapping(self, name: str, source: dict[str, str], size: int, enabled: bool = False) -> str:
        """Of a source that AWS has not."""

        def with_source(params: dict[str, Any], **_: Any) -> None:
            params["body"] = json.dumps({**json.loads(params["body"]), "Source": source}).encode()

        events, hook = self.api.meta.events, "before-call.lambda.CreateEventSourceMapping"
        events.register(hook, with_source)
        made = self.api.create_event_source_mapping(FunctionName=name, BatchSize=size, Enabled=enabled)
        events.unregister(hook, with_source)
        return str(made["UUID"])

    def until(self, uuid: str, state: str) -> None:
        while self.api.get_event_source_mapping(UUID=uuid)["State"] != state:
            time.sleep(0.002)

    def counted(self, name: str) -> int:
        return int(json.loads(self.request("GET", "/_stoker/health", None))["mappings"].get(name, 0))

    def deleted(self) -> int:
        return self.counted("DeletedEventCount")

    def invoked(self) -> int:
        return self.counted("InvokedEventCount")

    def cpu(self) -> float:
        """Seconds of the server's process."""
        assert self.process is not None
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """SQS over one connection, without more than it takes."""

    def __init__(self, port: int, queue: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.queue = queue

    def close(self) -> None:
        self.connection.close()

    def __call__(self, operation: str, **members: Any) -> dict[str, Any]:
        headers = {"X-Amz-Target": f"AmazonSQS.{operation}", "Content-Type": "application/x-amz-json-1.0"}
        self.connection.request("POST", "/", json.dumps({"QueueUrl": self.queue, **members}), headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise WrongResult(body.decode())
        return dict(json.loads(body or b"{}"))

    def fill(self, count: int) -> None:
        for at in range(0, count, 10):
            entries = [{"Id": str(n), "MessageBody": BODY} for n in range(min(10, count - at))]
            self("SendMessageBatch", Entries=entries)

    def consume(self, size: int, count: int) -> None:
        """Receive a batch, call the handler, delete the batch, until there were so many."""
        left = count
        while left:
            records = []
            while len(records) < min(size, left):
                most = min(10, size - len(records))
                found = self("ReceiveMessage", MaxNumberOfMessages=most, AttributeNames=["All"]).get(
                    "Messages"
                )
                if not found:
                    raise WrongResult(f"{left} messages are missing")
                records += found
            handler({"Records": records}, None)
            for at in range(0, len(records), 10):
                entries = [
                    {"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]}
                    for n, each in enumerate(records[at : at + 10])
                ]
                self("DeleteMessageBatch", Entries=entries)
            left -= len(records)


def handler(event: Any, context: Any) -> Any:
    return len(event["Records"])


def _series(count: int, begin: float) -> Series:
    return Series(array("q"), count, int((time.perf_counter() - begin) * 1e9))


def mapping(effort: Effort) -> Outcome:
    """Queues that are full already: from the mapping's start to the last deletion."""
    out = Outcome()
    rounds = min(effort.rounds, 3)
    folder = VENVS / f"mapping-{os.getpid()}"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        ours = stack.enter_context(closing(Fed(folder / "ours")))
        ours.start()
        ours.create("f")
        ours.clients()
        for size, count in SIZES.items():
            source = ours.queue(f"q{size}")
            uuid = ours.mapping("f", source, size, enabled=False)
            client = stack.enter_context(closing(Client(ours.port, f"q{size}")))
            out.comparisons.append(_compared(ours, client, uuid, size, count, rounds))
            comparison = out.comparisons[-1]
            out.figures.append(
                Figure(f"Messages/s from a queue of the server through a function, batches of {size}, vs {FLOOR}",
                       rate(comparison.median(ours.name, "rate")), rate(comparison.median(FLOOR, "rate")),
                       comparison.ratio(ours.name, FLOOR, "rate"), 0.7 if size == 100 else None, "high", COMMAND,
                       "10,000/s" if size == 100 else "")
            )  # fmt: skip
        for kind in (brokers.Redis, brokers.Nats):
            _of_broker(out, ours, kind(folder / kind.name), rounds)
        share = _idle(ours)
    folder.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            _with_brokers(folder, rounds, out)
        except Unavailable as reason:
            out.notes.append(f"no brokers: {reason}")
    out.figures.append(
        Figure(f"{IDLE:,} idle mappings of queues of the server, share of a core", f"{share * 100:.2f} %", "1 %",
               Ratio([share * 100], share * 100, share * 100, share * 100), 1.0, "low", COMMAND)
    )  # fmt: skip
    return out


def _of_broker(out: Outcome, ours: Fed, broker: brokers.Redis | brokers.Nats, rounds: int) -> None:
    with broker.running:
        for size, count in brokers.SIZES.items():
            two = brokers.contenders(ours, broker, size, count)
            floor = next(name for name in two if name != ours.name)
            comparison = interleave(f"mapping of {broker.name}, batches of {size}", rounds, two)
            out.comparisons.append(comparison)
            out.figures.append(
                Figure(f"Records/s from {broker.name} through a function, batches of {size}, vs {floor}",
                       rate(comparison.median(ours.name, "rate")), rate(comparison.median(floor, "rate")),
                       comparison.ratio(ours.name, floor, "rate"), 0.7 if size == 100 else None, "high", COMMAND)
            )  # fmt: skip
        _idle_of(out, ours, broker)


def _idle_of(out: Outcome, ours: Fed, broker: brokers.Redis | brokers.Nats) -> None:
    """What mappings cost that wait in long polls, each of a stream of its own."""
    made = []
    for number in range(POLLING):
        broker.make(f"idle-{number}")
        source = {"Type": broker.name, "Url": broker.url, "Stream": f"idle-{number}"}
        made.append(ours.own_mapping("f", source, 10, enabled=True))
    ours.until(made[-1], "Enabled")
    share = min(_shares(ours))
    for uuid in made:
        ours.api.delete_event_source_mapping(UUID=uuid)
    out.figures.append(
        Figure(f"{POLLING} idle mappings of {broker.name}, share of a core", f"{share * 100:.2f} %", "2 %",
               Ratio([share * 100], share * 100, share * 100, share * 100), 2.0, "low", COMMAND)
    )  # fmt: skip


def _with_brokers(folder: Path, rounds: int, out: Outcome) -> None:
    with ExitStack() as stack:
        (folder / "rabbit").mkdir()
        kafka, rabbit = stack.enter_context(kafka_and_rabbitmq(folder / "rabbit"))
        os.environ["AWS_ENDPOINT_URL_SECRETSMANAGER"] = stack.enter_context(secrets("guest", "guest"))
        os.environ["STOKER_BROKERS"] = f"{BROKER}={rabbit.address}"
        ours = stack.enter_context(closing(Fed(folder / "brokers")))
        ours.start()
        ours.create("f")
        measured(ours, kafka, rabbit, rounds, COMMAND, out)


def _compared(ours: Fed, client: Client, uuid: str, size: int, count: int, rounds: int) -> Any:
    def mapped() -> Series:
        client.fill(count)
        before, begin = ours.deleted(), time.perf_counter()
        ours.api.update_event_source_mapping(UUID=uuid, Enabled=True)
        while ours.deleted() < before + count:
            time.sleep(0.005)
        series = _series(count, begin)
        ours.until(uuid, "Enabled")
        ours.api.update_event_source_mapping(UUID=uuid, Enabled=False)
        ours.until(uuid, "Disabled")
        return series

    def by_hand() -> Series:
        client.fill(count)
        begin = time.perf_counter()
        client.consume(size, count)
        return _series(count, begin)

    return interleave(f"mapping, batches of {size}", rounds, {ours.name: mapped, FLOOR: by_hand})


def _idle(ours: Fed) -> float:
    """What a thousand mappings cost that have nothing to do: the share of a core."""
    last = ""
    for number in range(IDLE):
        last = ours.mapping("f", ours.queue(f"idle{number}"), 10, enabled=True)
    ours.until(last, "Enabled")
    shares = sorted(_shares(ours))
    return shares[0]


def _shares(ours: Fed) -> Iterator[float]:
    """The server's share of a core, measured a few times: what the deploys left behind is over by then."""
    for _ in range(3):
        before, begin = ours.cpu(), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        yield (ours.cpu() - before) / (time.perf_counter() - begin)
