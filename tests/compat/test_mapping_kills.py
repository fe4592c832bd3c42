"""The server is killed while mappings consume: no message is lost, and groups are in order, whatever comes twice.

STOKER_MAPPING_KILLS and STOKER_MAPPING_RECORDS: how often, and how many messages of each queue (3 and 600; the soak
test has 20 and 20,000). STOKER_SQS_SEED: of the moments.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from clients import moto_server
from mapped import Fed
from served import Served
from support import until

from .test_sqs_kills import LOST, SEED, Client

KILLS = int(os.environ.get("STOKER_MAPPING_KILLS", "3"))
RECORDS = int(os.environ.get("STOKER_MAPPING_RECORDS", "600"))
GROUPS = 8
SOURCE = """
import os
def handler(event, context):
    bodies = "".join(record["body"] + "\\n" for record in event["Records"])
    file = os.open(NOTE, os.O_WRONLY | os.O_APPEND)
    os.write(file, bodies.encode())
    os.close(file)
"""
STREAMED = """
import base64, os, time
def handler(event, context):
    time.sleep(0.005)
    bodies = "".join(base64.b64decode(record["kinesis"]["data"]).decode() + "\\n" for record in event["Records"])
    file = os.open(NOTE, os.O_WRONLY | os.O_APPEND)
    os.write(file, bodies.encode())
    os.close(file)
"""


def send(port: int, queue: str, bodies: list[str], group: str, failures: list[str]) -> None:
    """Each until it is acknowledged, so that one may be sent twice to a standard queue."""
    client = Client(port)
    for at in range(0, len(bodies), 10):
        entries = [
            {"Id": str(n), "MessageBody": body}
            | ({"MessageGroupId": group, "MessageDeduplicationId": body} if group else {})
            for n, body in enumerate(bodies[at : at + 10])
        ]
        while True:
            try:
                assert not client("SendMessageBatch", QueueUrl=queue, Entries=entries)["Failed"]
                break
            except LOST:
                time.sleep(0.02)
            except Exception as error:
                failures.append(repr(error))
                return


def consumed(tmp_path: Path, kills: int, records: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start() -> Served:
        return Served(tmp_path / "state", "--port", str(port))

    served = start()
    client = Client(port)
    client("CreateQueue", QueueName="q", Attributes={"VisibilityTimeout": "2"})
    client("CreateQueue", QueueName="f.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "2"})
    standard, fifo = (Fed(served, tmp_path, SOURCE) for _ in range(2))
    standard.map("arn:aws:sqs:us-east-1:000000000000:q")
    fifo.map("arn:aws:sqs:us-east-1:000000000000:f.fifo")
    plain = [f"m{n}" for n in range(records)]
    grouped = {str(g): [f"{g}:{n}" for n in range(records // GROUPS)] for g in range(GROUPS)}
    failures: list[str] = []
    work = [("q", plain[half::2], "") for half in range(2)]
    work += [("f.fifo", bodies, group) for group, bodies in grouped.items()]
    threads = [threading.Thread(target=send, args=(port, *each, failures)) for each in work]
    for thread in threads:
        thread.start()

    def done(fed: Fed) -> list[str]:
        return fed.note.read_text().split()

    def progress() -> int:
        return len(set(done(standard))) + len(set(done(fifo)))

    moments = random.Random(SEED)
    total = records + len(grouped) * len(grouped["0"])
    try:
        for kill in range(1, kills + 1):
            until(lambda kill=kill: failures or progress() >= total * kill // (kills + 2), 120, "progress")
            time.sleep(moments.uniform(0.0, 0.2))  # the moment of the kill
            served.process.kill()
            served.process.wait()
            served = start()
        for thread in threads:
            thread.join(120)
        with contextlib.suppress(BaseException):
            until(lambda: progress() >= total, 120)
    finally:
        code = served.stop()
    came = {"q": done(standard), "f.fifo": done(fifo)}
    twice = {name: len(bodies) - len(set(bodies)) for name, bodies in came.items()}
    lost = {
        "q": set(plain) - set(came["q"]),
        "f.fifo": {b for each in grouped.values() for b in each} - set(came["f.fifo"]),
    }
    first: dict[str, list[int]] = {}
    for body in dict.fromkeys(came["f.fifo"]):
        group, _, number = body.partition(":")
        first.setdefault(group, []).append(int(number))
    disordered = [group for group, numbers in first.items() if numbers != sorted(numbers)]
    print(
        f"\n{kills} kills: {records} messages and {total - records} in {GROUPS} groups; lost "
        f"{sum(map(len, lost.values()))}, twice {twice}, groups out of order {disordered}"
    )
    assert (failures, code) == ([], 0)
    assert lost == {"q": set(), "f.fifo": set()}
    assert disordered == []


def streamed(tmp_path: Path, kills: int, records: int) -> None:
    """A stream of two shards, in moto's server, which is not killed."""
    with moto_server() as moto:
        kinesis: Any = boto3.client(
            "kinesis", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip
        kinesis.create_stream(StreamName="s", ShardCount=2)
        described = kinesis.describe_stream(StreamName="s")["StreamDescription"]
        state = tmp_path / "state"
        served = Served(state, "--aws-endpoint", moto)
        fed = Fed(served, tmp_path, STREAMED)
        fed.map(
            described["StreamARN"], StartingPosition="TRIM_HORIZON", ParallelizationFactor=3, BatchSize=20
        )
        numbers: dict[str, int] = {}
        sent = []
        for n in range(records):
            key = str(n % GROUPS)
            sent.append(f"{key}:{numbers.setdefault(key, 0)}")
            numbers[key] += 1
        for at in range(0, records, 500):
            entries = [{"Data": body.encode(), "PartitionKey": body[0]} for body in sent[at : at + 500]]
            assert kinesis.put_records(StreamName="s", Records=entries)["FailedRecordCount"] == 0

        def done() -> list[str]:
            return fed.note.read_text().split()

        moments = random.Random(SEED)
        for kill in range(1, kills + 1):
            until(lambda kill=kill: len(set(done())) >= records * kill // (kills + 2), 120, "progress")
            time.sleep(moments.uniform(0.0, 0.1))  # the moment of the kill
            served.process.kill()
            served.process.wait()
            served = Served(state, "--aws-endpoint", moto)
        with contextlib.suppress(BaseException):
            until(lambda: len(set(done())) >= records, 120)
        code = served.stop()
    came = done()
    first: dict[str, list[int]] = {}
    for body in dict.fromkeys(came):
        key, _, number = body.partition(":")
        first.setdefault(key, []).append(int(number))
    disordered = [key for key, order in first.items() if order != sorted(order)]
    lost, twice = set(sent) - set(came), len(came) - len(set(came))
    print(f"\n{kills} kills: {records} records of {GROUPS} keys; lost {len(lost)}, twice {twice}, "
          f"keys out of order {disordered}")  # fmt: skip
    assert (code, lost, disordered) == (0, set(), [])


@pytest.mark.slow
@pytest.mark.promise(163)
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_kill_loses_no_record_of_a_stream(tmp_path: Path) -> None:
    streamed(tmp_path, KILLS, RECORDS)


@pytest.mark.soak
@pytest.mark.promise(163)
@pytest.mark.timeout(900)
def test_twenty_kills_lose_none_of_20_000_records(tmp_path: Path) -> None:
    streamed(tmp_path, 20, 20_000)


@pytest.mark.slow
@pytest.mark.promise(163)
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_kill_loses_no_message(tmp_path: Path) -> None:
    consumed(tmp_path, KILLS, RECORDS)


@pytest.mark.soak
@pytest.mark.promise(163)
@pytest.mark.timeout(900)
def test_twenty_kills_lose_none_of_20_000_messages(tmp_path: Path) -> None:
    consumed(tmp_path, 20, 20_000)
