"""python handlers/pipeline.py URL: the sample order-pipeline, deployed to a server, and orders sent through it.

Everything is made by boto3 as it would be on AWS: a bus with two rules, a topic with a function and a queue subscribed,
a queue with dead letters and their redrive, schedules, and permissions for whom each function is invoked by.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from engine.hosting.archives import pack

SAMPLE = Path(__file__).resolve().parent / "order-pipeline"
ROLE = "arn:aws:iam::000000000000:role/sample"
BUS = "orders"
CARRIERS = {"DE": "Post", "FR": "Poste", "NL": "Post"}
STRANDED = "CH"  # no carrier goes there at first
SKUS = ["TEA-EARL-250", "COFFEE-SID-1K", "POT-CAST-09", "MUG-STONE-04"]
ORDERS, PACE = 200, 0.05  # an order each so many seconds
PATIENCE = 60.0  # seconds


class Pipeline:
    def __init__(self, url: str) -> None:
        keys = {"aws_access_key_id": "sample", "aws_secret_access_key": "sample", "region_name": "us-east-1"}
        config = Config(retries={"max_attempts": 0})

        def client(service: str) -> Any:
            return boto3.client(service, endpoint_url=url, config=config, **keys)

        self.api, self.events, self.sns = client("lambda"), client("events"), client("sns")
        self.sqs, self.scheduler = client("sqs"), client("scheduler")
        self.kept: dict[str, list[dict[str, Any]]] = {}  # notices, by their kind

    def build(self) -> None:
        """What the sample needs, each part once those that it names are there."""
        self.events.create_event_bus(Name=BUS)
        self.topic = self.sns.create_topic(Name="orders-checked")["TopicArn"]
        self.dead, dead_arn = self._queue("orders-to-ship-dead")
        redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": "2"}
        self.queue, queue_arn = self._queue("orders-to-ship", RedrivePolicy=json.dumps(redrive))
        self.notices, _ = self._queue("notices")
        _, failed = self._queue("orders-failed")
        self.variables = {
            "BUS": BUS, "TOPIC": self.topic, "QUEUE": self.queue, "NOTICES": self.notices,
            "CARRIERS": json.dumps(CARRIERS),
        }  # fmt: skip
        code = pack(SAMPLE)
        check = self._function("check", code, failed)
        self.ship = self._function("ship", code, failed)
        invoice = self._function("invoice", code, failed)
        notify = self._function("notify", code, failed)
        self._rule("placed", {"source": ["shop"], "detail-type": ["OrderPlaced"]}, check)
        self._rule("done", {"source": ["warehouse"], "detail-type": [{"prefix": "Order"}]}, notify)
        self._allow("invoice", "sns.amazonaws.com", self.topic)
        self.sns.subscribe(TopicArn=self.topic, Protocol="lambda", Endpoint=invoice)
        raw = {"RawMessageDelivery": "true"}
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue_arn, Attributes=raw)

    def _queue(self, name: str, **attributes: str) -> tuple[str, str]:
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        named = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, named["Attributes"]["QueueArn"]

    def _function(self, name: str, code: bytes, failed: str) -> str:
        made = self.api.create_function(
            FunctionName=name, Handler=f"app.{name}", Code={"ZipFile": code}, Role=ROLE, MemorySize=256, Timeout=30,
            Runtime=f"python{sys.version_info[0]}.{sys.version_info[1]}",
            Environment={"Variables": self.variables}, DeadLetterConfig={"TargetArn": failed},
        )  # fmt: skip
        self.api.get_waiter("function_active_v2").wait(FunctionName=name)
        arn: str = made["FunctionArn"]
        return arn

    def _allow(self, function: str, service: str, source: str) -> None:
        self.api.add_permission(
            FunctionName=function, StatementId="sample", Action="lambda:InvokeFunction", Principal=service,
            SourceArn=source,
        )  # fmt: skip

    def _rule(self, name: str, pattern: dict[str, Any], function: str) -> None:
        rule = self.events.put_rule(Name=name, EventBusName=BUS, EventPattern=json.dumps(pattern))["RuleArn"]
        self._allow(function.rpartition(":")[2], "events.amazonaws.com", rule)
        target = {"Id": "function", "Arn": function}
        self.events.put_targets(Rule=name, EventBusName=BUS, Targets=[target])

    def place(self, order: dict[str, Any]) -> None:
        order = {**order, "placed": time.time()}
        entry = {
            "EventBusName": BUS,
            "Source": "shop",
            "DetailType": "OrderPlaced",
            "Detail": json.dumps(order),
        }
        result = self.events.put_events(Entries=[entry])
        assert result["FailedEntryCount"] == 0, result

    def round(self, name: str) -> None:
        """A round of shipping, in a second."""
        due = datetime.now(UTC) + timedelta(seconds=1)
        self.scheduler.create_schedule(
            Name=name, ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})", FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": self.ship, "RoleArn": ROLE}, ActionAfterCompletion="DELETE",
        )  # fmt: skip

    def received(self, count: int, kind: str) -> list[dict[str, Any]]:
        """So many notices of a kind; others are left for later."""
        found: dict[int, dict[str, Any]] = {}

        def enough() -> bool:
            response = self.sqs.receive_message(
                QueueUrl=self.notices, MaxNumberOfMessages=10, WaitTimeSeconds=1
            )
            for message in response.get("Messages", ()):
                notice = json.loads(message["Body"])
                self.sqs.delete_message(QueueUrl=self.notices, ReceiptHandle=message["ReceiptHandle"])
                self.kept.setdefault(notice["kind"], []).append(notice)
            found.update((each["id"], each) for each in self.kept.get(kind, ()))
            return len(found) >= count

        until(enough, f"{count} times {kind}")
        return list(found.values())

    def waiting(self, queue: str) -> int:
        name = "ApproximateNumberOfMessages"
        found = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
        return int(found["Attributes"][name])

    def run(self, count: int) -> None:
        chance = random.Random(1)
        begin = time.monotonic()
        for id in range(count):
            time.sleep(max(0.0, begin + id * PACE - time.monotonic()))
            lines = [{"sku": chance.choice(SKUS), "quantity": chance.randint(1, 9)}]
            country = STRANDED if id == count // 2 else chance.choice(sorted(CARRIERS))
            self.place({"id": id, "country": country, "lines": lines})
        invoiced = self.received(count, "OrderInvoiced")
        for name, member in (
            ("check, by the bus", "checked"),
            ("invoice, by bus, check and topic", "invoiced"),
        ):
            took = sorted(each[member] - each["placed"] for each in invoiced)
            p50, p99 = (1e3 * took[len(took) * percent // 100] for percent in (50, 99))
            print(
                f"  from put to the handler of {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms over {count} orders"
            )
        until(lambda: self.waiting(self.queue) == count, "the orders to ship")
        self.round("first-round")
        self.received(count - 1, "OrderShipped")
        until(lambda: self.waiting(self.dead) == 1, "the dead letter")
        print(f"  {count - 1} orders shipped by a schedule; one that no carrier takes is a dead letter")
        variables = {**self.variables, "CARRIERS": json.dumps({**CARRIERS, STRANDED: "Post"})}
        self.api.update_function_configuration(FunctionName="ship", Environment={"Variables": variables})
        self.api.get_waiter("function_updated_v2").wait(FunctionName="ship")
        dead = self.sqs.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])
        self.sqs.start_message_move_task(SourceArn=dead["Attributes"]["QueueArn"])
        until(lambda: self.waiting(self.queue) == 1, "the redrive")
        self.round("second-round")
        last = [each for each in self.received(count, "OrderShipped") if each["country"] == STRANDED]
        print(
            f"  a carrier was found, the dead letter redriven: order {last[0]['id']} went by {last[0]['carrier']}"
        )


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE:.0f} s in vain for {what}")
        time.sleep(0.01)


def run(url: str, count: int = ORDERS) -> str:
    """What was wrong, or an empty string."""
    print(f"order-pipeline  (boto3, {count} orders, {1 / PACE:.0f} a second)")
    pipeline = Pipeline(url)
    try:
        pipeline.build()
        pipeline.run(count)
    except (AssertionError, TimeoutError) as error:
        return str(error)
    return ""


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(sys.argv[1], *map(int, sys.argv[2:])) or 0)
