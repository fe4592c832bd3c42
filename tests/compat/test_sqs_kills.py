"""The server is killed under load, and started again: no message that was acknowledged is lost, none that was
deleted comes back, and FIFO groups are in order with nothing twice.

STOKER_SQS_KILLS: how often (2; 20 take two minutes). STOKER_SQS_SEED: of the moments.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import Served
from support import until

KILLS = int(os.environ.get("STOKER_SQS_KILLS", "2"))
SEED = int(os.environ.get("STOKER_SQS_SEED", "42"))
GROUPS = 3
AHEAD = 50  # messages of a group that wait at most: each batch of a FIFO queue leaves one to its time-out
LOST = (OSError, http.client.HTTPException)


class Client:
    """SQS over one connection after the other. Raises LOST when there is no response."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, operation: str, **members: Any) -> dict[str, Any]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            headers = {"X-Amz-Target": f"AmazonSQS.{operation}"}
            self._connection.request("POST", "/", json.dumps(members).encode(), headers)
            response = self._connection.getresponse()
            body = response.read()
        except LOST:
            self._connection.close()
            self._connection = None
            raise
        assert response.status == 200, body
        return dict(json.loads(body or b"{}"))


class Book:
    """What was acknowledged, and what is wrong with what came."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.acknowledged: set[str] = set()
        self.received: set[str] = set()
        self.deleted: set[str] = set()
        self.last = dict.fromkeys(range(GROUPS), -1)  # of each group, the last that came for the first time
        self.wrong: list[str] = []
        self.sending = threading.Event()
        self.receiving = threading.Event()

    def came(self, body: str, fifo: bool) -> None:
        with self.lock:
            if body in self.deleted:
                self.wrong.append(f"{body} came back")
            if fifo and body not in self.received:
                group, number = map(int, body.split(":"))
                if number != self.last[group] + 1:
                    self.wrong.append(f"{body} came after {self.last[group]}")
                self.last[group] = number
            self.received.add(body)


def send(book: Book, client: Client, name: str) -> None:
    """Batches to the standard queue."""
    number = 0
    while not book.sending.is_set():
        bodies = [f"{name}-{number + each}" for each in range(5)]
        number += 5
        with contextlib.suppress(*LOST):
            entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)]
            found = client("SendMessageBatch", QueueUrl="q", Entries=entries)
            assert len(found["Successful"]) == 5
            with book.lock:
                book.acknowledged.update(bodies)


def send_in_order(book: Book, client: Client, group: int) -> None:
    """Each until it is acknowledged, to one group."""
    number = 0
    while not book.sending.is_set():
        if number - book.last[group] > AHEAD:
            book.sending.wait(0.01)
            continue
        with contextlib.suppress(*LOST):
            body = f"{group}:{number}"
            client("SendMessage", QueueUrl="f.fifo", MessageBody=body, MessageGroupId=str(group),
                   MessageDeduplicationId=body)  # fmt: skip
            number += 1
            with book.lock:
                book.acknowledged.add(body)


def receive(book: Book, client: Client, queue: str) -> None:
    """And delete, until there is nothing more."""
    empty = 0
    while not (book.receiving.is_set() and empty > 2):
        try:
            found = client("ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            messages = found.get("Messages", [])
            empty = 0 if messages else empty + 1
            for message in messages:
                book.came(message["Body"], queue.endswith(".fifo"))
            for message in messages[: max(1, len(messages) - 1)]:  # of several, one is left to its time-out
                client("DeleteMessage", QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                with book.lock:
                    book.deleted.add(message["Body"])
        except AssertionError as error:  # of a FIFO queue: its time was over
            if "expired" not in str(error):
                raise
        except LOST:
            pass


@pytest.mark.slow
@pytest.mark.promise(102, 103)
@pytest.mark.timeout(120 + 20 * KILLS)
def test_nothing_is_lost_and_nothing_comes_back(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start() -> Served:
        return Served(tmp_path / "state", "--port", str(port))

    served = start()
    client = Client(port)
    client("CreateQueue", QueueName="q", Attributes={"VisibilityTimeout": "2"})
    client("CreateQueue", QueueName="f.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "2"})
    book, failures = Book(), []

    def watched(work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(book, Client(port), *arguments)
        except BaseException as error:
            failures.append(repr(error))

    works = [(send, "a"), (send, "b"), *((send_in_order, group) for group in range(GROUPS)),
             (receive, "q"), (receive, "q"), (receive, "f.fifo")]  # fmt: skip
    threads = [threading.Thread(target=watched, args=each) for each in works]
    for thread in threads:
        thread.start()
    moments = random.Random(SEED)
    try:
        for _ in range(KILLS):
            before = len(book.acknowledged)
            until(lambda before=before: failures or len(book.acknowledged) > before + 20, 30)
            time.sleep(moments.uniform(0.0, 0.5))  # the moment of the kill
            served.process.kill()
            served.process.wait()
            served = start()
    finally:
        book.sending.set()
        book.receiving.set()
        for thread in threads:
            thread.join(90)
        working = [thread for thread in threads if thread.is_alive()]
        code = served.stop()
    print(f"{KILLS} kills: {len(book.acknowledged)} acknowledged, {len(book.deleted)} deleted, "
          f"{len(book.acknowledged - book.received)} lost, {len(book.wrong)} wrong")  # fmt: skip
    assert failures == [] and working == [] and code == 0
    assert book.wrong == []
    assert book.acknowledged - book.received == set()
    assert len(book.deleted) > 20 * KILLS
