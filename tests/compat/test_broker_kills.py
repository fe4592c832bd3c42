"""The server is killed while mappings of Kafka and RabbitMQ consume, from brokers that are not: nothing is lost.

STOKER_MAPPING_KILLS and STOKER_MAPPING_RECORDS: how often, and how many records of each (2 and 400; the soak tests
have 20 and 20,000). STOKER_SQS_SEED: of the moments.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from brokered import BROKER, BrokerFed, secret
from clients import moto_server
from kafka_and_rabbitmq import Kafka, Rabbit
from served import REGION, Served
from support import until

from .test_sqs_kills import SEED

KILLS = int(os.environ.get("STOKER_MAPPING_KILLS", "2"))
RECORDS = int(os.environ.get("STOKER_MAPPING_RECORDS", "400"))
PARTITIONS = 4
NOTING = """
import base64, os, time
def handler(event, context):
    time.sleep(0.005)
    lists = (event.get("records") or event["rmqMessagesByQueue"]).values()
    texts = [base64.b64decode(each.get("value") or each["data"]).decode() for each in sum(lists, [])]
    file = os.open(NOTE, os.O_WRONLY | os.O_APPEND)
    os.write(file, "".join(text + "\\n" for text in texts).encode())
    os.close(file)
"""


def killed(what: str, start: Callable[[], Served], fed: BrokerFed, kills: int, sent: list[str]) -> list[str]:
    """Its texts in the order in which they first came."""

    def done() -> list[str]:
        return fed.note.read_text().split()

    served, moments, records = fed.server, random.Random(SEED), len(sent)
    for kill in range(1, kills + 1):
        until(lambda kill=kill: len(set(done())) >= records * kill // (kills + 2), 120, "progress")
        time.sleep(moments.uniform(0.0, 0.05))  # the moment of the kill
        served.process.kill()
        served.process.wait()
        served = start()
    with contextlib.suppress(BaseException):
        until(lambda: len(set(done())) >= records, 120)
    code = served.stop()
    came = done()
    first = list(dict.fromkeys(came))
    keys: dict[str, list[int]] = {}
    for each in first:
        key, _, number = each.partition(":")
        keys.setdefault(key, []).append(int(number))
    disordered = [key for key, numbers in keys.items() if numbers != sorted(numbers)]
    lost = set(sent) - set(came)
    print(f"\n{what}, {kills} kills: {records} records; lost {len(lost)}, twice {len(came) - len(first)}, "
          f"out of order {disordered}")  # fmt: skip
    assert (code, lost) == (0, set())
    return disordered


def topic(tmp_path: Path, kills: int, records: int) -> None:
    kafka = Kafka()
    kafka.start()

    def start() -> Served:
        return Served(tmp_path / "state")

    try:
        kafka.create("killed", PARTITIONS)
        sent = [f"{number % PARTITIONS}:{number // PARTITIONS}" for number in range(records)]
        for partition in range(PARTITIONS):
            kafka.put("killed", *sent[partition::PARTITIONS], partition=partition)
        fed = BrokerFed(start(), tmp_path, NOTING)
        fed.topic(kafka.servers, "killed", BatchSize=20, MaximumBatchingWindowInSeconds=0)
        assert killed("Kafka", start, fed, kills, sent) == []
    finally:
        kafka.close()


def queue(tmp_path: Path, kills: int, records: int) -> None:
    with moto_server() as moto, pytest.MonkeyPatch.context() as patch:
        (tmp_path / "rabbit").mkdir()
        rabbit = Rabbit(tmp_path / "rabbit")
        rabbit.start()
        patch.setenv("STOKER_BROKERS", f"{BROKER}={rabbit.address}")

        def start() -> Served:
            return Served(tmp_path / "state", "--aws-endpoint", moto)

        try:
            rabbit.declare("killed")
            sent = [f"0:{number}" for number in range(records)]
            for at in range(0, records, 1000):
                rabbit.send("killed", *sent[at : at + 1000])
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            secrets = boto3.client("secretsmanager", endpoint_url=moto, region_name=REGION, **keys)
            guest = secret(secrets, "guest", username="guest", password="guest")
            fed = BrokerFed(start(), tmp_path, NOTING)
            fed.queue("killed", guest, BatchSize=20, MaximumBatchingWindowInSeconds=0)
            assert killed("RabbitMQ", start, fed, kills, sent) == []
        finally:
            rabbit.close()


@pytest.mark.promise(250)
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_kill_loses_no_record_of_a_topic(tmp_path: Path) -> None:
    topic(tmp_path, KILLS, RECORDS)


@pytest.mark.promise(250)
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_kill_loses_no_message_of_a_broker(tmp_path: Path) -> None:
    queue(tmp_path, KILLS, RECORDS)


@pytest.mark.soak
@pytest.mark.promise(250)
@pytest.mark.timeout(900)
def test_twenty_kills_lose_none_of_20_000_records_of_a_topic(tmp_path: Path) -> None:
    topic(tmp_path, 20, 20_000)


@pytest.mark.soak
@pytest.mark.promise(250)
@pytest.mark.timeout(900)
def test_twenty_kills_lose_none_of_20_000_messages_of_a_broker(tmp_path: Path) -> None:
    queue(tmp_path, 20, 20_000)
