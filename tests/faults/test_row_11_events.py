"""Row 11, with row 8: while the server is killed again and again, each accepted event runs, or stands where its
function has such events end: in a queue of moto's, by message.

STOKER_EVENTS=20000 python -m pytest tests/faults/test_row_11_events.py -m soak -s: that many, with a kill for each 400
(or STOKER_KILLS), and the figures. STOKER_EVENTS_SEED: of the moments.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from clients import moto_server
from served import REGION

from .conftest import wait_until
from .killed import LOST, Killed

EVENTS = int(os.environ.get("STOKER_EVENTS", "4000"))
KILLS = int(os.environ.get("STOKER_KILLS", EVENTS // 400))
SEED = int(os.environ.get("STOKER_EVENTS_SEED", "11"))
SENDERS = 16
# Of each of moto's queues, so that what comes is taken as fast as it is sent: moto looks at a whole queue each
# time that one more comes, so a queue that grows becomes ever slower.
RECEIVERS = 8
MOTO_ACCOUNT = "123456789012"
SOURCE = """
import os, time
NAME = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
def handler(event, context):
    with open(os.path.join(event["notes"], NAME), "ab", buffering=0) as file:
        file.write(event["id"].encode() + b"\\n")
    if NAME == "slow":
        time.sleep(0.2)
    if NAME == "throttled":
        while not os.path.exists(os.path.join(event["notes"], "go")): time.sleep(0.01)
    if NAME == "crashing":
        if event["n"] % 2: os._exit(1)
        raise ValueError("asked for")
"""
# Where the events of each function stand in the end; "": none is told. A throttled one's only if it never ran.
ENDS = {"throttled": "failures", "crashing": "dead-letters", "slow": "successes", "plain": "", "other": ""}
ATTEMPTS = {"crashing": 3}  # of one that ends
REASONS = {
    "failures": {"EventAgeExceeded", "ZeroReservedConcurrency"},
    "dead-letters": {"asked for", "exit status 1"},
    "successes": {"Success"},
}


class Inbox:
    """A queue of moto's, and the messages that came to it, by event: why each."""

    def __init__(self, url: str, name: str) -> None:
        self._api = boto3.client(
            "sqs", endpoint_url=url, region_name=REGION, aws_access_key_id=MOTO_ACCOUNT,
            aws_secret_access_key="test",
        )  # fmt: skip
        self._url = self._api.create_queue(QueueName=name)["QueueUrl"]
        self.arn = f"arn:aws:sqs:{REGION}:{MOTO_ACCOUNT}:{name}"
        self.reasons: dict[str, list[str]] = {}

    def receive(self) -> int:
        """What is there, up to ten messages. How many."""
        found = self._api.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        messages = found.get("Messages", [])
        for message in messages:
            event, reason = read(message)
            self.reasons.setdefault(event, []).append(reason)
        if messages:
            entries = [
                {"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)
            ]
            self._api.delete_message_batch(QueueUrl=self._url, Entries=entries)
        return len(messages)

    def close(self) -> None:
        self._api.close()


def read(message: dict[str, Any]) -> tuple[str, str]:
    """Which event a message is about, and why it is here."""
    body = json.loads(message["Body"])
    if "requestContext" in body:
        return body["requestPayload"]["id"], body["requestContext"]["condition"]
    text = message["MessageAttributes"]["ErrorMessage"]["StringValue"]
    return body["id"], next((reason for reason in REASONS["dead-letters"] if reason in text), text)


class Soak(Killed):
    """A server that is killed, who sends to it, and who receives what it delivers."""

    def __init__(self, folder: Path, moto: str) -> None:
        self.inboxes = {name: Inbox(moto, name) for name in ENDS.values() if name}
        self.accepted: dict[str, set[str]] = {name: set() for name in ENDS}
        super().__init__(folder, SOURCE, "--environments", "32")

    def sent(self) -> int:
        return sum(map(len, self.accepted.values()))

    def deploy(self) -> None:
        api = self.served.client()
        for name, end in ENDS.items():
            dead = {"DeadLetterConfig": {"TargetArn": self.inboxes[end].arn}} if end == "dead-letters" else {}
            self.create(api, name, 900, **dead)
        for name, half in (("throttled", "OnFailure"), ("slow", "OnSuccess")):
            api.put_function_event_invoke_config(
                FunctionName=name, MaximumEventAgeInSeconds=60,
                DestinationConfig={half: {"Destination": self.inboxes[ENDS[name]].arn}},
            )  # fmt: skip
        api.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=1)
        api.close()

    def close_throttled(self) -> None:
        api = self.served.client()
        api.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
        api.close()

    def send(self) -> None:
        """Events to one function after the other, until as many were accepted as there are to be."""
        connection = None
        while not self.over.is_set():
            with self.lock:
                number = next(self.numbers) if self.room else None
                self.room -= number is not None
            if number is None:
                self.over.wait(0.002)
                continue
            name = list(ENDS)[number % len(ENDS)]
            event = {"id": f"e{number}", "n": number, "notes": str(self.notes)}
            path, headers = f"/2015-03-31/functions/{name}/invocations", {"X-Amz-Invocation-Type": "Event"}
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("POST", path, json.dumps(event).encode(), headers)
                response = connection.getresponse()
                response.read()
                assert response.status == 202, response.status
            except LOST:  # maybe accepted: nobody knows
                connection.close()
                connection = None
                with self.lock:
                    self.room += 1
                self.over.wait(0.05)
            else:
                with self.lock:
                    self.accepted[name].add(event["id"])
        if connection is not None:
            connection.close()

    def receive(self, inbox: Inbox) -> None:
        while not self.over.is_set():
            with contextlib.suppress(ReadTimeoutError):  # moto is slow: they come once more
                if not inbox.receive():  # not by long polls: they would keep moto from what is sent to it
                    self.over.wait(0.5)

    def close(self) -> None:
        for inbox in self.inboxes.values():
            inbox.close()
        super().close()

    def missing(self) -> dict[str, set[str]]:
        """By function: those of which nothing is to be seen yet."""
        found: dict[str, set[str]] = {}
        for name, end in ENDS.items():
            ran = self.ran(name).keys()
            told = self.inboxes[end].reasons.keys() if end else ran
            seen = ran | told if name == "throttled" else ran & told
            if lost := self.accepted[name] - seen:
                found[name] = lost
        return found


@pytest.fixture
def soaking(nothing_is_left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Soak]:
    with moto_server(keep=False) as moto:  # see nothing_is_left
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", moto)
        it = Soak(tmp_path, moto)
        yield it
        it.close()


def soak(it: Soak, events: int, kills: int) -> None:
    moments, began = random.Random(SEED), time.monotonic()
    it.deploy()
    works = [it.send] * SENDERS + [partial(it.receive, each) for each in it.inboxes.values()] * RECEIVERS
    with it.crowd(works):
        for life in it.lives(events, kills, moments, 120.0):
            if life == kills * 2 // 3:  # until then one of it runs for ever; from now on none may
                it.close_throttled()
        open(it.notes / "go", "w").close()
        it.settle(events, 60.0 + events / 10)
        # What was done, but not settled at a kill, is done once more.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: it.failures or it.over.wait(0.2) or not it.rows(), 60.0 + events / 10)
    code = it.served.stop()
    for inbox in it.inboxes.values():
        while inbox.receive():
            pass
    report(it, kills, time.monotonic() - began)
    assert not it.failures, it.failures
    assert code == 0
    assert it.missing() == {}
    assert it.rows() == 0
    for name, end in ENDS.items():
        others = [inbox for other, inbox in it.inboxes.items() if other != end]
        assert not [id for id in it.accepted[name] for inbox in others if id in inbox.reasons], name
    for name, inbox in it.inboxes.items():
        assert {reason for reasons in inbox.reasons.values() for reason in reasons} <= REASONS[name]
        assert not [id for id, reasons in inbox.reasons.items() if len(set(reasons)) > 1], "two reasons"


def report(it: Soak, kills: int, seconds: float) -> None:
    print(f"\n{it.sent()} events accepted, {kills} kills, {seconds:.0f} s; {it.rows()} rows are left")
    for name, end in ENDS.items():
        accepted, ran = it.accepted[name], it.ran(name)
        twice = sum(max(0, count - ATTEMPTS.get(name, 1)) for count in ran.values())
        line = f"  {name:9}: {len(accepted)} accepted, {len(accepted & ran.keys())} ran, {twice} runs twice"
        if end:
            reasons = it.inboxes[end].reasons
            line += f"; in {end}: {len(accepted & reasons.keys())}"
            line += f" {dict(Counter(each[0] for each in reasons.values()))}"
            line += f", {sum(len(each) - 1 for each in reasons.values())} messages twice"
        print(f"{line}; {len(it.missing().get(name, ()))} missing")


@pytest.mark.promise(105)
@pytest.mark.slow
def test_row_11_every_accepted_event_ran_or_is_where_such_events_end(soaking: Soak) -> None:
    soak(soaking, 400, 3)


@pytest.mark.promise(105)
@pytest.mark.soak
@pytest.mark.timeout(900 + EVENTS // 4)
def test_row_11_soak_of_events(soaking: Soak) -> None:
    soak(soaking, EVENTS, KILLS)
