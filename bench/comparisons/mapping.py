"""Event source mappings: records a second from a full source through a function, beside a consumer by hand; what
mappings cost that have nothing to do."""

from __future__ import annotations

import json
import os
import shutil
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from http.client import HTTPConnection
from statistics import median
from typing import Any

import boto3
from botocore.config import Config

from bench.comparisons.brokers import TEXT, Consume, Kafka, Nats, Rabbit, Redis, Source, handler
from bench.comparisons.events import Queueing
from bench.harness import Effort, Ratio, Series, WrongResult, interleave
from bench.peers.base import Unavailable
from bench.peers.http import VENVS
from bench.peers.ministack import MappedMinistack
from bench.report import Figure, Outcome, rate

ACCOUNT, REGION = "000000000000", "us-east-1"
SIZES = {1: 2_000, 10: 10_000, 100: 20_000, 1_000: 40_000}  # messages by the size of a batch
PEER = {1: 100, 10: 500, 100: 2_000, 1_000: 4_000}  # of ministack, which needs longer
HAND = 5_000  # of a loop by hand at most, which needs longer, too
TIMES = 50  # its messages a second that are aimed at, each at the size of a batch that is best for it
IDLE = 1_000
# Seconds until mappings that have nothing to do are as quiet as they get, and for which they are looked at then: what
# they do now and then, some of it each six seconds, comes several times.
QUIET, IDLE_SECONDS = 12.0, 30.0
POLLING = 50
LONE = 15  # records by themselves
BUSY = 5  # invocations of the function at a time
FLOOR = "by hand"
HANDLER = "def handler(event, context):\n    return len(event)\n"


class Fed(Queueing):
    """stoker serve, with mappings of its function `f`."""

    _looking: HTTPConnection | None = None

    def clients(self) -> None:
        config = Config(retries={"max_attempts": 0}, read_timeout=120)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
        self.queues: Any = boto3.client(
            "sqs", endpoint_url=f"http://127.0.0.1:{self.port}", config=config, **keys
        )

    def occupy(self) -> None:
        """Of `f`, whose concurrency is BUSY, as many as may run do, until `free`: its workers are there, and warm."""
        self.gate.unlink(missing_ok=True)
        notes = [self.folder / f"busy-{n}" for n in range(BUSY)]
        for note in notes:
            note.unlink(missing_ok=True)
            self.send("f", {"note": str(note), "until": str(self.gate)})
        while not all(note.exists() for note in notes):
            time.sleep(0.01)

    def free(self) -> None:
        self.gate.touch()

    def own_mapping(self, source: dict[str, str], size: int) -> str:
        """Of a source that AWS has not."""

        def with_source(params: dict[str, Any], **_: Any) -> None:
            params["body"] = json.dumps({**json.loads(params["body"]), "Source": source}).encode()

        events, hook = self.api.meta.events, "before-call.lambda.CreateEventSourceMapping"
        events.register(hook, with_source)
        made = self.api.create_event_source_mapping(FunctionName="f", BatchSize=size)
        events.unregister(hook, with_source)
        return str(made["UUID"])

    def until(self, uuid: str, state: str) -> None:
        while self.api.get_event_source_mapping(UUID=uuid)["State"] != state:
            time.sleep(0.002)

    def counted(self, name: str) -> int:
        """Over one connection: to look costs the server little."""
        if self._looking is None:
            self._looking = HTTPConnection("127.0.0.1", self.port, timeout=60)
        self._looking.request("GET", "/_stoker/health")
        return int(json.loads(self._looking.getresponse().read())["mappings"].get(name, 0))

    def close(self) -> None:
        if self._looking is not None:
            self._looking.close()
        super().close()

    def cpu(self) -> float:
        """Seconds of the server's process."""
        assert self.process is not None
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Queue:
    """A queue of the server's own; SQS over one connection, without more than it takes."""

    name = "a queue of the server"
    sizes = SIZES
    counter = "DeletedEventCount"

    def __init__(self, ours: Fed) -> None:
        self._ours = ours

    def running(self) -> nullcontext[None]:
        return nullcontext()

    def make(self, stream: str) -> None:
        self._ours.queues.create_queue(QueueName=stream, Attributes={"VisibilityTimeout": "900"})

    def map(self, ours: Fed, stream: str, size: int) -> str:
        window = {"MaximumBatchingWindowInSeconds": 1} if size > 10 else {}
        source = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{stream}"
        made = ours.api.create_event_source_mapping(
            FunctionName="f", EventSourceArn=source, BatchSize=size, **window
        )
        return str(made["UUID"])

    @contextmanager
    def _calls(self, queue: str) -> Iterator[Any]:
        with closing(HTTPConnection("127.0.0.1", self._ours.port, timeout=60)) as connection:

            def call(operation: str, **members: Any) -> dict[str, Any]:
                target = f"AmazonSQS.{operation}"
                headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}
                connection.request("POST", "/", json.dumps({"QueueUrl": queue, **members}), headers)
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    raise WrongResult(body.decode())
                return dict(json.loads(body or b"{}"))

            yield call

    def fill(self, stream: str, count: int) -> None:
        with self._calls(stream) as call:
            for at in range(0, count, 10):
                entries = [{"Id": str(n), "MessageBody": TEXT} for n in range(min(10, count - at))]
                call("SendMessageBatch", Entries=entries)

    @contextmanager
    def putting(self, stream: str) -> Iterator[Callable[[], object]]:
        with self._calls(stream) as call:
            yield lambda: call("SendMessage", MessageBody=TEXT)

    @contextmanager
    def consumer(self, stream: str) -> Iterator[Consume]:
        with self._calls(stream) as call:

            def consume(size: int, left: int) -> None:
                while left:
                    records: list[Any] = []
                    while len(records) < min(size, left):
                        most = min(10, size - len(records))
                        found = call("ReceiveMessage", MaxNumberOfMessages=most, AttributeNames=["All"])
                        if not found.get("Messages"):
                            raise WrongResult(f"{left} messages are missing")
                        records += found["Messages"]
                    handler({"Records": records}, None)
                    for at in range(0, len(records), 10):
                        entries = [
                            {"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]}
                            for n, each in enumerate(records[at : at + 10])
                        ]
                        call("DeleteMessageBatch", Entries=entries)
                    left -= len(records)

            yield consume


def mappings() -> dict[str, Callable[[Effort], Outcome]]:
    """A comparison for each kind of source, by name."""
    kinds = {"mapping": Queue, "mapping-redis": Redis, "mapping-nats": Nats, "mapping-kafka": Kafka}
    kinds["mapping-rabbitmq"] = Rabbit
    return {name: partial(_mapping, name, kind) for name, kind in kinds.items()}


def _mapping(name: str, kind: Any, effort: Effort) -> Outcome:
    out = Outcome()
    folder = VENVS / f"mapping-{os.getpid()}"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        ours = Fed(folder / "ours")
        source: Source = Queue(ours) if kind is Queue else kind(folder)
        stack.enter_context(source.running())
        stack.enter_context(closing(ours))
        ours.start()
        ours.create("f")
        ours.api.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=BUSY)
        ours.clients()
        peer = stack.enter_context(_peer(out)) if kind is Queue else None
        command = f"python -m bench.run --only {name}"
        _of_source(out, ours, source, peer, min(effort.rounds, 3), command)
        _idle(out, ours, source, IDLE if kind is Queue else POLLING, command)
    return out


@contextmanager
def _peer(out: Outcome) -> Iterator[MappedMinistack | None]:
    """None: it is not to be had."""
    with ExitStack() as stack:
        try:
            peer = stack.enter_context(MappedMinistack(HANDLER))
        except Unavailable as reason:
            out.notes.append(f"{MappedMinistack.name} is not measured: {reason}")
            peer = None
        yield peer


def _of_source(
    out: Outcome, ours: Fed, source: Source, peer: MappedMinistack | None, rounds: int, command: str
) -> None:
    """Full already: from when the function may run to the last record."""
    best = {ours.name: 0.0, peer.name if peer is not None else "": 0.0}
    for size, count in source.sizes.items():
        by_hand_count = min(count, HAND) if isinstance(source, Queue) else count
        mapped, hand = f"mapped-{size}", f"hand-{size}"
        source.make(mapped)
        source.make(hand)
        uuid = source.map(ours, mapped, size)
        ours.until(uuid, "Enabled")
        before = ours.counted(source.counter)
        source.fill(mapped, 1)
        while ours.counted(source.counter) == before:  # it polls
            time.sleep(0.01)
        cpu = {ours.name: 0.0, FLOOR: 0.0}

        def through(mapped: str = mapped, count: int = count, cpu: dict[str, float] = cpu) -> Series:
            ours.occupy()
            source.fill(mapped, count)
            before, spent, begin = ours.counted(source.counter), ours.cpu(), time.perf_counter()
            ours.free()
            while ours.counted(source.counter) < before + count:
                time.sleep(0.03)
            took = time.perf_counter() - begin
            cpu[ours.name] += ours.cpu() - spent
            return Series(array("q"), count, int(took * 1e9))

        def by_hand(
            hand: str = hand, size: int = size, count: int = by_hand_count, cpu: dict[str, float] = cpu
        ) -> Series:
            source.fill(hand, count)
            with source.consumer(hand) as consume:
                spent, begin = time.process_time(), time.perf_counter()
                consume(size, count)
                took = time.perf_counter() - begin
                cpu[FLOOR] += time.process_time() - spent
            return Series(array("q"), count, int(took * 1e9))

        subjects = {ours.name: through, FLOOR: by_hand}
        if peer is not None:
            peer.mapping(mapped, size, TEXT)
            subjects[peer.name] = partial(peer.drained, PEER[size], TEXT)
        found = interleave(f"mapping of {source.name}, batches of {size}", rounds, subjects)
        out.comparisons.append(found)
        out.figures.append(
            Figure(f"Records/s from {source.name} through a function, batches of {size}, vs {FLOOR}",
                   rate(found.median(ours.name, "rate")), rate(found.median(FLOOR, "rate")),
                   found.ratio(ours.name, FLOOR, "rate"), 0.7 if size == 100 else None, "high", command,
                   "10,000/s" if size == 100 and isinstance(source, Queue) else "")
        )  # fmt: skip
        if peer is not None:
            peer.forget()
            out.figures.append(
                Figure(f"Messages/s of {source.name} through a function, batches of {size}, vs {peer.name}",
                       rate(found.median(ours.name, "rate")), rate(found.median(peer.name, "rate")),
                       found.ratio(ours.name, peer.name, "rate"), None, "high", command)
            )  # fmt: skip
            best = {name: max(known, found.median(name, "rate")) for name, known in best.items()}
        out.notes.append(_latency(ours, source, mapped, size))
        counts = {ours.name: count, FLOOR: by_hand_count}
        each = {who: seconds / (counts[who] * rounds) * 1e6 for who, seconds in cpu.items()}
        out.notes.append(
            f"{source.name}, batches of {size}: CPU per record {each[ours.name]:.1f} µs of the server's process, "
            f"{each[FLOOR]:.1f} µs {FLOOR}"
        )
        ours.api.delete_event_source_mapping(UUID=uuid)
    if peer is not None:
        times = best[ours.name] / best[peer.name]
        out.figures.append(
            Figure(f"Messages/s of {source.name} through a function, vs {peer.name}, each with the batches best for it",
                   rate(best[ours.name]), rate(best[peer.name]), Ratio([times], times, times, times), TIMES, "high",
                   command)
        )  # fmt: skip


def _latency(ours: Fed, source: Source, mapped: str, size: int) -> str:
    """Added latency: from when one record is put to when its invocation has been counted, nothing else being there. Of
    a batch of more, what gathers it waits for its window in addition."""
    took = []
    with source.putting(mapped) as put:
        for _ in range(LONE + 1):
            before, begin = _at_rest(ours, source), time.perf_counter()
            put()
            while ours.counted(source.counter) == before:
                time.sleep(0.001)
            took.append(time.perf_counter() - begin)
    del took[0]  # what it took to connect may have put one, too
    return f"{source.name}, batches of {size}: one record alone, from the put to its end, {median(took) * 1e3:.1f} ms"


def _at_rest(ours: Fed, source: Source) -> int:
    """What is counted, once nothing more is for a moment."""
    while True:
        before = ours.counted(source.counter)
        time.sleep(0.05)
        if ours.counted(source.counter) == before:
            return before


def _idle(out: Outcome, ours: Fed, source: Source, count: int, command: str) -> None:
    """What mappings cost that have nothing to do, each of a queue or stream of its own."""
    for number in range(count):
        source.make(f"idle-{number}")
        last = source.map(ours, f"idle-{number}", 10)
    ours.until(last, "Enabled")
    aim = 1.0 if isinstance(source, Queue) else 2.0
    time.sleep(QUIET)
    before, begin = ours.cpu(), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    share = (ours.cpu() - before) / (time.perf_counter() - begin) * 100
    out.figures.append(
        Figure(f"{count:,} idle mappings of {source.name}, share of a core", f"{share:.2f} %", f"{aim:g} %",
               Ratio([share], share, share, share), aim, "low", command)
    )  # fmt: skip
