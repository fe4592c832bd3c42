"""The server is killed while mappings consume Redis Streams and NATS: nothing is lost, and the order is kept, whatever
comes twice. Settings as of test_mapping_kills.py."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from pathlib import Path
from typing import Any

import pytest
from brokers import Nats, Redis, running
from mapped import Fed
from served import Served
from support import until

from .test_mapping_kills import KILLS, RECORDS
from .test_sqs_kills import SEED

SOURCE = """
import base64, os, time
def handler(event, context):
    time.sleep(0.005)
    bodies = ""
    for record in event["Records"]:
        if "redis" in record:
            bodies += record["redis"]["fields"]["n"] + "\\n"
        else:
            bodies += base64.b64decode(record["nats"]["data"]).decode() + "\\n"
    file = os.open(NOTE, os.O_WRONLY | os.O_APPEND)
    os.write(file, bodies.encode())
    os.close(file)
"""


def fill_redis(broker: Redis, records: int) -> None:
    client = broker.client()
    for at in range(0, records, 1000):
        pipe = client.pipeline(transaction=False)
        for n in range(at, min(records, at + 1000)):
            pipe.xadd("s", {"n": n})
        pipe.execute()


def fill_nats(broker: Nats, records: int) -> None:
    broker.stream("s")

    async def publish(js: Any) -> None:
        for at in range(0, records, 200):  # at once, and in order
            many = [js.publish("s.a", b"%d" % n) for n in range(at, min(records, at + 200))]
            await asyncio.gather(*many)

    broker.do(publish)


def killed(tmp_path: Path, broker: Redis | Nats, kind: str, kills: int, records: int) -> None:
    (fill_redis if isinstance(broker, Redis) else fill_nats)(broker, records)  # type: ignore[operator]
    served = Served(tmp_path / "state")
    fed = Fed(served, tmp_path, SOURCE)
    fed.map_own({"Type": kind, "Url": broker.url, "Stream": "s"}, BatchSize=20)

    def done() -> list[str]:
        return fed.note.read_text().split()

    moments = random.Random(SEED)
    for kill in range(1, kills + 1):
        until(lambda kill=kill: len(set(done())) >= records * kill // (kills + 2), 120, "progress")
        time.sleep(moments.uniform(0.0, 0.1))  # the moment of the kill
        served.process.kill()
        served.process.wait()
        served = Served(tmp_path / "state")
    with contextlib.suppress(BaseException):
        until(lambda: len(set(done())) >= records, 120)
    code = served.stop()
    came = done()
    first = [int(text) for text in dict.fromkeys(came)]
    lost, twice = records - len(first), len(came) - len(first)
    print(f"\n{kind}, {kills} kills: {records} records; lost {lost}, twice {twice}, "
          f"{'in' if first == sorted(first) else 'out of'} order")  # fmt: skip
    assert (code, lost, first == sorted(first)) == (0, 0, True)


@pytest.mark.slow
@pytest.mark.promise(237)
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_kill_loses_no_entry_of_redis(tmp_path: Path) -> None:
    with running(Redis(tmp_path)) as broker:
        killed(tmp_path, broker, "redis", KILLS, RECORDS)


@pytest.mark.slow
@pytest.mark.promise(237)
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_kill_loses_no_message_of_nats(tmp_path: Path) -> None:
    with running(Nats(tmp_path)) as broker:
        killed(tmp_path, broker, "nats", KILLS, RECORDS)


@pytest.mark.soak
@pytest.mark.promise(237)
@pytest.mark.timeout(900)
def test_twenty_kills_lose_none_of_20_000_entries_of_redis(tmp_path: Path) -> None:
    with running(Redis(tmp_path)) as broker:
        killed(tmp_path, broker, "redis", 20, 20_000)


@pytest.mark.soak
@pytest.mark.promise(237)
@pytest.mark.timeout(900)
def test_twenty_kills_lose_none_of_20_000_messages_of_nats(tmp_path: Path) -> None:
    with running(Nats(tmp_path)) as broker:
        killed(tmp_path, broker, "nats", 20, 20_000)
