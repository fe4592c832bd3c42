"""Row 51: while the server is killed again and again, each event that a bus accepted comes to each function behind it:
bus → queue → function, and bus → topic → three functions. What a target does not take is in its dead-letter queue.

STOKER_ROUTED=20000 STOKER_KILLS=30 python -m pytest tests/faults/test_row_51_routers.py -m soak -s: that many, and the
figures. STOKER_EVENTS_SEED: of the moments.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import REGION

from .killed import LOST, Killed

EVENTS = int(os.environ.get("STOKER_ROUTED", "4000"))
KILLS = int(os.environ.get("STOKER_KILLS", "10"))
SEED = int(os.environ.get("STOKER_EVENTS_SEED", "51"))
SENDERS, CONSUMERS, BATCH = 4, 3, 5
ACCOUNT = "000000000000"
FAILS, DROPPED = 7, 10  # each so-manyth event: "third" fails with it; it goes where nobody is, too
FUNCTIONS = ("queued", "first", "second", "third")
SOURCE = """
import json, os
NAME = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
def handler(event, context):
    for record in event["Records"]:
        detail = json.loads(record["Sns"]["Message"] if "Sns" in record else record["body"])["detail"]
        if NAME == "third" and detail["n"] % 7 == 0:
            raise ValueError("asked for")
        with open(os.path.join(detail["notes"], NAME), "ab", buffering=0) as file:
            file.write(detail["id"].encode() + b"\\n")
"""
# Dead-letter queues, and the attributes that each letter has.
DEAD = {
    "rule-dead": {
        "RULE_ARN": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/nowhere",
        "TARGET_ARN": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:gone", "ERROR_CODE": "NO_RESOURCE",
    },
    "topic-dead": {"ErrorCode": "ResourceNotFoundException"},
    "function-dead": {"ErrorCode": "200", "ErrorMessage": "asked for"},
}  # fmt: skip


class Client:
    """A service in its JSON protocol, over one connection after the other. Raises LOST when there is no response."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, target: str, **members: Any) -> dict[str, Any]:
        return self._post("/", members, {"X-Amz-Target": target})

    def invoke(self, function: str, event: Any) -> None:
        self._post(f"/2015-03-31/functions/{function}/invocations", event, {})

    def _post(self, path: str, members: Any, headers: dict[str, str]) -> dict[str, Any]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            self._connection.request("POST", path, json.dumps(members).encode(), headers)
            response = self._connection.getresponse()
            body = response.read()
        except LOST:
            self.close()
            raise
        if response.status == 503:  # it is ending, or just up
            raise http.client.HTTPException(body)
        assert response.status == 200 and "x-amz-function-error" not in response.headers, body
        return dict(json.loads(body or b"{}") or {})

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Routed(Killed):
    """A server that is killed, who puts events on its bus, and who receives from its queues."""

    def __init__(self, folder: Path) -> None:
        self.accepted: dict[str, int] = {}  # their numbers, by their ids
        self.letters: dict[str, dict[str, list[dict[str, str]]]] = {name: {} for name in DEAD}
        super().__init__(folder, SOURCE, "--environments", "8")

    def sent(self) -> int:
        return len(self.accepted)

    def build(self) -> None:
        api, events = self.served.client(), self.served.client("events")
        sns, sqs = self.served.client("sns"), self.served.client("sqs")
        for queue in ("orders", *DEAD):
            sqs.create_queue(QueueName=queue, Attributes={"VisibilityTimeout": "5"})
        for name in (*FUNCTIONS, "gone"):
            dead = {"DeadLetterConfig": {"TargetArn": arn("sqs", "function-dead")}} if name == "third" else {}
            self.create(api, name, 60, **dead)
        topic = sns.create_topic(Name="checked")["TopicArn"]
        for name in FUNCTIONS[1:]:
            sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn("lambda", f"function:{name}"))
        sns.subscribe(
            TopicArn=topic, Protocol="lambda", Endpoint=arn("lambda", "function:gone"),
            Attributes={
                "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn("sqs", "topic-dead")}),
                "FilterPolicyScope": "MessageBody", "FilterPolicy": '{"detail": {"dropped": [true]}}',
            },
        )  # fmt: skip
        dead = {"Arn": arn("sqs", "rule-dead")}
        rule(events, "queued", {}, {"Arn": arn("sqs", "orders")})
        rule(events, "published", {}, {"Arn": topic})
        nowhere = {"Arn": arn("lambda", "function:gone"), "DeadLetterConfig": dead}
        rule(events, "nowhere", {"dropped": [True]}, nowhere)
        api.delete_function(FunctionName="gone")

    # Who puts and who receives.

    def put(self) -> None:
        """Batches, until as many events were accepted as there are to be."""
        client = Client(self.port)
        while not self.over.is_set():
            with self.lock:
                count = min(BATCH, self.room)
                self.room -= count
                numbers = [next(self.numbers) for _ in range(count)]
            if not numbers:
                self.over.wait(0.002)
                continue
            details = [
                {"id": f"e{n}", "n": n, "dropped": n % DROPPED == 0, "notes": str(self.notes)}
                for n in numbers
            ]
            entries = [{"Source": "row", "DetailType": "d", "Detail": json.dumps(each)} for each in details]
            try:
                response = client("AWSEvents.PutEvents", Entries=entries)
                assert response["FailedEntryCount"] == 0, response
            except LOST:  # maybe accepted: nobody knows
                with self.lock:
                    self.room += count
                self.over.wait(0.05)
            else:
                with self.lock:
                    self.accepted.update((each["id"], each["n"]) for each in details)
        client.close()

    def consume(self) -> None:
        """From the queue to its function: a batch is deleted once the function took it."""
        client = Client(self.port)
        while not self.over.is_set():
            with contextlib.suppress(*LOST):
                messages = receive(client, "orders", wait=1)
                if messages:
                    records = [{"messageId": each["MessageId"], "body": each["Body"]} for each in messages]
                    client.invoke("queued", {"Records": records})
                    delete(client, "orders", messages)
                continue
            self.over.wait(0.05)
        client.close()

    def collect(self) -> None:
        """What is in the dead-letter queues."""
        client = Client(self.port)
        while not self.over.is_set():
            found = 0
            with contextlib.suppress(*LOST):
                for name in DEAD:
                    messages = receive(client, name)
                    for each in messages:
                        attributes = {k: v["StringValue"] for k, v in each["MessageAttributes"].items()}
                        self.letters[name].setdefault(id_of(each["Body"]), []).append(attributes)
                    if messages:
                        delete(client, name, messages)
                    found += len(messages)
            if not found:
                self.over.wait(0.2)
        client.close()

    # What came of it.

    def missing(self) -> dict[str, set[str]]:
        """By function and dead-letter queue: those of which nothing is to be seen yet."""
        fails = {id for id, n in self.accepted.items() if n % FAILS == 0}
        dropped = {id for id, n in self.accepted.items() if n % DROPPED == 0}
        due = {name: set(self.accepted) for name in FUNCTIONS}
        due["third"] = due["third"] - fails
        found = {name: ids - self.ran(name).keys() for name, ids in due.items()}
        letters = {"rule-dead": dropped, "topic-dead": dropped, "function-dead": fails}
        found |= {name: ids - self.letters[name].keys() for name, ids in letters.items()}
        return {name: ids for name, ids in found.items() if ids}


def arn(service: str, name: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def rule(events: Any, name: str, detail: dict[str, Any], target: dict[str, Any]) -> None:
    pattern = {"source": ["row"], **({"detail": detail} if detail else {})}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    assert events.put_targets(Rule=name, Targets=[{"Id": "t", **target}])["FailedEntryCount"] == 0


def receive(client: Client, queue: str, wait: int = 0) -> list[dict[str, Any]]:
    members = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": wait, "MessageAttributeNames": ["All"]}
    found = client("AmazonSQS.ReceiveMessage", QueueUrl=queue, **members)
    return list(found.get("Messages") or ())


def delete(client: Client, queue: str, messages: list[dict[str, Any]]) -> None:
    entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
    client("AmazonSQS.DeleteMessageBatch", QueueUrl=queue, Entries=entries)


def id_of(body: str) -> str:
    """Of the event that a dead letter is about: as the bus, the topic or the function had it."""
    found = json.loads(body)
    if "Records" in found:
        found = found["Records"][0]["Sns"]
    if "Message" in found:
        found = json.loads(found["Message"])
    return str(found["detail"]["id"])


@pytest.fixture
def routed(nothing_is_left: str, tmp_path: Path) -> Iterator[Routed]:
    it = Routed(tmp_path)
    yield it
    it.close()


def soak(it: Routed, events: int, kills: int) -> None:
    moments, began = random.Random(SEED), time.monotonic()
    it.build()
    with it.crowd([it.put] * SENDERS + [it.consume] * CONSUMERS + [it.collect]):
        for _ in it.lives(events, kills, moments, 300.0):
            pass
        it.settle(events, 60.0 + events / 20)
    code = it.served.stop()
    report(it, kills, time.monotonic() - began)
    assert not it.failures, it.failures
    assert code == 0
    assert it.missing() == {}
    assert it.rows(but="sqs:%") == 0  # messages that nobody received in time
    for name, attributes in DEAD.items():
        for each in itertools.chain.from_iterable(it.letters[name].values()):
            assert attributes.items() <= each.items(), (name, each)
    fails = {id for id, n in it.accepted.items() if n % FAILS == 0}
    assert not fails & it.ran("third").keys()


def report(it: Routed, kills: int, seconds: float) -> None:
    print(f"\n{len(it.accepted)} events accepted, {kills} kills, {seconds:.0f} s")
    for name in FUNCTIONS:
        ran = it.ran(name)
        twice = sum(ran.values()) - len(ran)
        print(f"  {name:13}: {len(it.accepted.keys() & ran.keys())} ran, {twice} twice")
    for name, letters in it.letters.items():
        twice = sum(map(len, letters.values())) - len(letters)
        print(f"  {name:13}: {len(it.accepted.keys() & letters.keys())} letters, {twice} twice")
    print(f"  missing: { {name: len(ids) for name, ids in it.missing().items()} or 'none' }")


@pytest.mark.promise(152)
@pytest.mark.slow
def test_row_51_each_event_comes_to_every_function_behind_the_bus(routed: Routed) -> None:
    soak(routed, 200, 3)


@pytest.mark.promise(152)
@pytest.mark.soak
@pytest.mark.timeout(900 + EVENTS // 4)
def test_row_51_soak_of_routers(routed: Routed) -> None:
    soak(routed, EVENTS, KILLS)
