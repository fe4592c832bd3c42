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

import pytest
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


@pytest.mark.slow
@pytest.mark.promise(410)
@pytest.mark.timeout(120 + 30 * KILLS)
def test_a_kill_loses_no_message(tmp_path: Path) -> None:
    consumed(tmp_path, KILLS, RECORDS)


@pytest.mark.soak
@pytest.mark.promise(410)
@pytest.mark.timeout(900)
def test_twenty_kills_lose_none_of_20_000_messages(tmp_path: Path) -> None:
    consumed(tmp_path, 20, 20_000)
