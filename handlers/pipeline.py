"""python handlers/pipeline.py URL: the sample order-pipeline, deployed to a server, and orders sent through it.

Everything is made by boto3 as it would be on AWS: a bus with two rules, a topic with a function and a queue subscribed,
an event source mapping of that queue, dead letters and a schedule for their redrive, and permissions for whom each
function is invoked by.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from run import HERE
from server import ROLE, Connect, client, create_mapping, create_queue, deploy, percentiles, until

SAMPLE = "order-pipeline"
BUS = "orders"
CARRIERS = {"DE": "Post", "FR": "Poste", "NL": "Post"}
STRANDED = "CH"  # no carrier goes there at first
SKUS = ["TEA-EARL-250", "COFFEE-SID-1K", "POT-CAST-09", "MUG-STONE-04"]
ORDERS, PACE = 200, 0.05  # an order each so many seconds


class Pipeline:
    def __init__(self, connect: Connect) -> None:
        self.api, self.events, self.sns = connect("lambda"), connect("events"), connect("sns")
        self.sqs, self.scheduler = connect("sqs"), connect("scheduler")
        self.kept: dict[str, list[dict[str, Any]]] = {}  # notices, by their kind

    def build(self) -> None:
        """What the sample needs, each part once those that it names are there."""
        self.events.create_event_bus(Name=BUS)
        self.topic = self.sns.create_topic(Name="orders-checked")["TopicArn"]
        self.dead, self.dead_arn = create_queue(self.sqs, "orders-to-ship-dead")
        redrive = json.dumps({"deadLetterTargetArn": self.dead_arn, "maxReceiveCount": "2"})
        queue, queue_arn = create_queue(self.sqs, "orders-to-ship", RedrivePolicy=redrive)
        self.notices, _ = create_queue(self.sqs, "notices")
        _, self.failed = create_queue(self.sqs, "orders-failed")
        self.variables = {
            "BUS": BUS, "TOPIC": self.topic, "QUEUE": queue, "DEAD": self.dead_arn, "NOTICES": self.notices,
            "CARRIERS": json.dumps(CARRIERS),
        }  # fmt: skip
        check, invoice = self._function("check"), self._function("invoice")
        ship, notify = self._function("ship"), self._function("notify")
        self.redrive = self._function("redrive")
        self._rule("placed", {"source": ["shop"], "detail-type": ["OrderPlaced"]}, check)
        self._rule("done", {"source": ["warehouse"], "detail-type": [{"prefix": "Order"}]}, notify)
        self._allow("invoice", "sns.amazonaws.com", self.topic)
        self.sns.subscribe(TopicArn=self.topic, Protocol="lambda", Endpoint=invoice)
        raw = {"RawMessageDelivery": "true"}
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue_arn, Attributes=raw)
        create_mapping(self.api, ship, queue_arn, FunctionResponseTypes=["ReportBatchItemFailures"])

    def _function(self, name: str) -> str:
        return deploy(
            self.api, HERE / SAMPLE, name, name,
            Environment={"Variables": self.variables}, DeadLetterConfig={"TargetArn": self.failed},
        )  # fmt: skip

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

    def schedule_redrive(self) -> None:
        """In a second."""
        due = datetime.now(UTC) + timedelta(seconds=1)
        self.scheduler.create_schedule(
            Name="redrive", ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})", FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": self.redrive, "RoleArn": ROLE}, ActionAfterCompletion="DELETE",
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
        invoiced, shipped = self.received(count, "OrderInvoiced"), self.received(count - 1, "OrderShipped")
        for name, notices, member in (
            ("check, by the bus", invoiced, "checked"),
            ("invoice, by bus, check and topic", invoiced, "invoiced"),
            ("ship, by bus, check, topic and queue", shipped, "shipped"),
        ):
            took = percentiles([each[member] - each["placed"] for each in notices])
            print(f"  from put to the handler of {name}: {took} orders")
        until(lambda: self.waiting(self.dead) == 1, "the dead letter")
        print(f"  {count - 1} orders shipped; one that no carrier takes is a dead letter")
        variables = {**self.variables, "CARRIERS": json.dumps({**CARRIERS, STRANDED: "Post"})}
        self.api.update_function_configuration(FunctionName="ship", Environment={"Variables": variables})
        self.api.get_waiter("function_updated_v2").wait(FunctionName="ship")
        self.schedule_redrive()
        shipped = self.received(count, "OrderShipped")
        last = next(each for each in shipped if each["country"] == STRANDED)
        print(
            f"  a carrier was found, a schedule redrove the dead letter: order {last['id']} went by {last['carrier']}"
        )


def run(connect: Connect, count: int = ORDERS) -> str:
    """Build it, and send so many orders. What was wrong, or an empty string."""
    print(f"{SAMPLE}  (boto3, {count} orders, {1 / PACE:.0f} a second)")
    pipeline = Pipeline(connect)
    try:
        pipeline.build()
        pipeline.run(count)
    except (AssertionError, TimeoutError) as error:
        return str(error)
    return ""


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(functools.partial(client, url=sys.argv[1]), *map(int, sys.argv[2:])) or 0)
