"""An embedded engine's functions consume queues and streams."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from brokers import Nats, Redis, running
from served import REGION, ROOT, Served
from support import until

import engine as face
from engine import AsyncEngine, Engine, FunctionNotFound, InvalidConfiguration
from engine.consume import Source, dynamodb, kinesis, nats, redis, sqs

# Notes its records, and fails as they say. NOTE: a path.
SOURCE = """
import base64, json, os
def handler(event, context):
    bad, texts = [], []
    for record in event["Records"]:
        if "redis" in record:
            text, id = record["redis"]["fields"]["n"], record["redis"]["id"]
        elif "nats" in record:
            text, id = base64.b64decode(record["nats"]["data"]).decode(), str(record["nats"]["sequence"])
        elif "kinesis" in record:
            text, id = base64.b64decode(record["kinesis"]["data"]).decode(), record["kinesis"]["sequenceNumber"]
        else:
            text, id = record["body"], record["messageId"]
        texts.append(text)
        if text.startswith("bad"):
            bad.append({"itemIdentifier": id})
    file = os.open(NOTE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, json.dumps(texts).encode() + b"\\n")
    os.close(file)
    if "fail" in texts:
        raise ValueError("asked for")
    return {"batchItemFailures": bad}
"""


class Noted:
    """A function's code, and what it was invoked with."""

    def __init__(self, folder: Path) -> None:
        self.note = folder / "note"
        self.note.touch()
        self.code = folder / "noting"
        self.code.mkdir()
        (self.code / "app.py").write_text(SOURCE.replace("NOTE", repr(str(self.note))))

    def function(self, engine: Engine, **more: Any) -> Any:
        return engine.function("app:handler", code=self.code, name="noted", **more)

    def batches(self) -> list[list[str]]:
        return [json.loads(line) for line in self.note.read_text().splitlines() if line.endswith("]")]

    def texts(self) -> list[str]:
        return [text for batch in self.batches() for text in batch]

    def wait(self, count: int) -> None:
        until(lambda: len(self.texts()) >= count, what=f"{count} records")


class Stream:
    """A broker's, as tests fill it."""

    def __init__(self, source: Source, put: Callable[..., Any]) -> None:
        self.source, self.put = source, put


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running(Redis(tmp_path_factory.mktemp("redis"))) as broker:
        yield broker


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    with running(Nats(tmp_path_factory.mktemp("nats"))) as broker:
        yield broker


@pytest.fixture(params=["redis", "nats"])
def stream(request: pytest.FixtureRequest, name: str) -> Stream:
    if request.param == "redis":
        broker = request.getfixturevalue("redis_server")
        client = broker.client()

        def add(*texts: str) -> None:
            for text in texts:
                client.xadd(name, {"n": text})

        return Stream(redis(broker.url, name), add)
    broker = request.getfixturevalue("nats_server")
    broker.stream(name)
    return Stream(nats(broker.url, name), lambda *texts: broker.publish(name, *texts))


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    return Noted(tmp_path)


@pytest.mark.promise(238)
def test_it_pauses_resumes_and_goes_on_in_the_next_program(
    stream: Stream, noted: Noted, tmp_path: Path
) -> None:
    stream.put("a", "b", "c")
    with Engine(state=tmp_path / "state") as engine:
        consumption = engine.consume(noted.function(engine), stream.source, batch_size=2)
        noted.wait(3)
        assert noted.batches()[0] == ["a", "b"]
        consumption.pause()
        assert consumption.stats()["state"] == "paused"
        stream.put("d")
        consumption.resume()
        noted.wait(4)
        until(lambda: consumption.stats().get("InvokedEventCount") == 4, what="the count")
        stats = consumption.stats()
        assert (stats["state"], stats["result"], stats["PolledEventCount"]) == ("running", "OK", 4)
        with pytest.raises(InvalidConfiguration, match="consumes that already"):
            engine.consume("noted", stream.source)
        consumption.close()
        assert consumption.stats()["state"] == "closed"
        assert repr(consumption) == "<Consumption closed>"
    stream.put("e")
    with Engine(state=tmp_path / "state") as engine:
        engine.consume(noted.function(engine), stream.source)
        noted.wait(5)
    assert noted.texts() == ["a", "b", "c", "d", "e"]


@pytest.mark.promise(238)
def test_failures_filters_and_dead_letters(stream: Stream, noted: Noted) -> None:
    stream.put("a", "fail", "bad", "no", "b")
    field = "fields" if stream.source.kind == "redis" else "data"
    anything = [{"anything-but": "no"}]
    pattern = {field: {"n": anything} if field == "fields" else anything}
    with Engine() as engine:
        consumption = engine.consume(
            noted.function(engine), stream.source, retries=1, bisect=True, report_failures=True, filters=[pattern],
            dead_letters="dead",
        )  # fmt: skip
        dead = engine.queue("dead")
        letters = []
        while len(letters) < 2:
            for message in dead.receive(1, wait=30):
                letters.append(message.value)
                dead.delete(message)
        until(lambda: consumption.stats().get("DroppedEventCount") == 2, what="both to be given up")
        stream.put("c")
        until(lambda: "c" in noted.texts(), what="what comes after them")
        assert consumption.stats()["FilteredOutEventCount"] == 1
    assert [each["requestContext"]["condition"] for each in letters] == ["RetryAttemptsExhausted"] * 2
    assert [each["requestContext"]["functionArn"] for each in letters] == ["noted"] * 2
    kind = stream.source.kind
    given = [letter["payload"]["Records"][0][kind] for letter in letters]
    found = [
        each["fields"]["n"] if kind == "redis" else base64.b64decode(each["data"]).decode() for each in given
    ]
    assert (found, "no" in noted.texts()) == (["fail", "bad"], False)


@pytest.mark.promise(238)
def test_in_the_callers_loop(stream: Stream, noted: Noted) -> None:
    stream.put(*map(str, range(50)))

    async def main() -> None:
        async with AsyncEngine() as engine:
            function = await engine.function("app:handler", code=noted.code, name="noted")
            consumption = await engine.consume(function, stream.source, batch_size=10)
            while consumption.stats().get("InvokedEventCount") != 50:
                await asyncio.sleep(0.002)
            await consumption.pause()
            await consumption.resume()

    asyncio.run(main())
    assert noted.texts() == [*map(str, range(50))]


@pytest.mark.promise(239)
def test_a_queue_by_its_url(server: Served, sqs_client: Any, noted: Noted, name: str) -> None:
    url = sqs_client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    for text in ("a", "bad", "b"):
        sqs_client.send_message(QueueUrl=url, MessageBody=text)

    def left() -> int:
        found = sqs_client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])

    with Engine() as engine:
        engine.consume(noted.function(engine, concurrency=2), sqs(url), report_failures=True)
        until(lambda: left() == 1 and noted.texts().count("bad") > 1, what="another attempt")
    assert (noted.texts().count("a"), noted.texts().count("b")) == (1, 1)


@pytest.fixture
def sqs_client(server: Served) -> Any:
    return server.client("sqs")


@pytest.mark.promise(239)
def test_a_kinesis_stream_goes_on_at_its_checkpoint(
    moto: str, noted: Noted, tmp_path: Path, name: str
) -> None:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
    client = boto3.client("kinesis", endpoint_url=moto, **keys)
    client.create_stream(StreamName=name, ShardCount=1)
    until(
        lambda: (
            client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"]
            == "ACTIVE"
        )
    )
    source = kinesis(name, endpoint=moto)

    def put(*texts: str) -> None:
        for text in texts:
            client.put_record(StreamName=name, Data=text.encode(), PartitionKey="k")

    put("a", "b")
    for count, more in (2, "c"), (3, "d"):
        with Engine(state=tmp_path / "state") as engine:
            consumption = engine.consume(noted.function(engine), source)
            noted.wait(count)
            until(lambda: consumption.stats()["result"] == "OK", what="OK")  # noqa: B023
        put(more)
    assert noted.texts() == ["a", "b", "c"]


PROGRAM = """
import sys, time
from engine import Engine
from engine.consume import Source
import json
state, code, source = sys.argv[1:]
with Engine(state=state) as engine:
    function = engine.function("app:handler", code=code, name="noted")
    engine.consume(function, Source(**json.loads(source)), batch_size=10)
    print("consuming", flush=True)
    time.sleep(600)
"""


@pytest.mark.promise(238)
def test_a_program_that_is_killed_loses_nothing_and_keeps_the_order(
    stream: Stream, noted: Noted, tmp_path: Path
) -> None:
    stream.put(*map(str, range(300)))
    source = {"kind": stream.source.kind, "options": dict(stream.source.options)}
    arguments = [str(tmp_path / "state"), str(noted.code), json.dumps(source)]
    moments = random.Random(1)
    for count in (50, 150, 300):
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )
        until(lambda: len(set(noted.texts())) >= count, what="progress")  # noqa: B023
        time.sleep(moments.uniform(0.0, 0.02) if count < 300 else 0.0)  # the moment of the kill
        program.send_signal(signal.SIGKILL)
        program.wait()
    first = [*dict.fromkeys(noted.texts())]
    assert first == [*map(str, range(300))]


@pytest.mark.promise(240)
def test_what_cannot_be_is_said_at_once(redis_server: Redis, noted: Noted) -> None:
    right = redis(redis_server.url, "s")
    with Engine() as engine:
        function = noted.function(engine)
        with pytest.raises(FunctionNotFound):
            engine.consume("other", right)
        for wrong, words in (
            ({"batch_size": 0}, "batch_size=0: a number, 1 or more"), ({"start": "NOW"}, "TRIM_HORIZON, LATEST"),
            ({"concurrency": 3}, "concurrency is for sqs, not for redis"), ({"colour": 1}, "consume has no colour"),
            ({"tumbling": 5.0}, "tumbling is for kinesis, dynamodb, not for redis"),
            ({"filters": [{"fields": {"n": []}}]}, "Event pattern is not valid"),
        ):  # fmt: skip
            with pytest.raises(InvalidConfiguration, match=words):
                engine.consume(function, right, **wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidConfiguration, match="redis://HOST:PORT/DATABASE"):
            engine.consume(function, redis("http://x", "s"))
        for kind, url in (sqs, "http://localhost"), (dynamodb, "orders"):
            with pytest.raises(InvalidConfiguration):
                kind(url)
        # A source that is not there is waited for.
        consumption = engine.consume(function, right)
        assert consumption.stats()["result"].startswith("PROBLEM: Event source not found: ")
        redis_server.client().xadd("s", {"n": "a"})
        noted.wait(1)


@pytest.mark.promise(240)
def test_naming_sources_loads_nothing() -> None:
    code = (
        "import sys; from engine.consume import kafka, rabbitmq, redis;"
        "redis('redis://x', 's'); kafka('x:1', 't'); rabbitmq('amqp://x', 'q');"
        "names = 'asyncio', 'ssl', 'botocore', 'httpcore', 'redis', 'nats', 'aiokafka', 'aiormq', 'aio_pika';"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)},
                          check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert {"Consumption", "AsyncConsumption"} <= set(dir(face))
