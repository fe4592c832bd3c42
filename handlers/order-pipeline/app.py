"""An order's way through four functions: checked when it is placed, invoiced once it is checked, shipped in rounds, and
its buyer told of it."""

import json
import os
import time
from typing import Any

import boto3

BUS = os.environ["BUS"]
PRICES = {"TEA-EARL-250": 890, "COFFEE-SID-1K": 2150, "POT-CAST-09": 6400, "MUG-STONE-04": 1125}  # cents

events, sns, sqs = boto3.client("events"), boto3.client("sns"), boto3.client("sqs")


class InvalidOrderError(ValueError):
    """An order that no retry will make right: it goes to the function's dead-letter queue."""


def publish(kind: str, order: dict[str, Any]) -> None:
    entry = {"EventBusName": BUS, "Source": "warehouse", "DetailType": kind, "Detail": json.dumps(order)}
    result = events.put_events(Entries=[entry])
    if result["FailedEntryCount"]:
        raise RuntimeError(result["Entries"][0]["ErrorMessage"])


def check(event: dict[str, Any], _context: Any) -> None:
    """By a rule of the bus, for each order that is placed: priced, and published on a topic."""
    order = {**event["detail"], "checked": time.time()}
    try:
        order["total"] = sum(PRICES[line["sku"]] * line["quantity"] for line in order["lines"])
    except KeyError as error:
        raise InvalidOrderError(f"order {order['id']} has no {error}") from None
    country = {"DataType": "String", "StringValue": order["country"]}
    sns.publish(
        TopicArn=os.environ["TOPIC"], Message=json.dumps(order), MessageAttributes={"country": country}
    )


def invoice(event: dict[str, Any], _context: Any) -> None:
    """By the topic, for each order that is checked."""
    for record in event["Records"]:
        order = json.loads(record["Sns"]["Message"])
        publish("OrderInvoiced", {**order, "invoiced": time.time()})


def ship(_event: dict[str, Any], _context: Any) -> dict[str, int]:
    """By a schedule: whatever the topic has put into the queue since the round before. An order that no carrier takes
    stays there, until the queue's redrive policy takes it to the dead letters."""
    carriers, queue = json.loads(os.environ["CARRIERS"]), os.environ["QUEUE"]
    done = {"shipped": 0, "left": 0}
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            order = json.loads(message["Body"])
            receipt = {"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]}
            if order["country"] in carriers:
                publish("OrderShipped", {**order, "carrier": carriers[order["country"]]})
                sqs.delete_message(**receipt)
                done["shipped"] += 1
            else:
                sqs.change_message_visibility(**receipt, VisibilityTimeout=0)
                done["left"] += 1
    return done


def notify(event: dict[str, Any], _context: Any) -> None:
    """By a rule of the bus, for each order that is invoiced or shipped: a notice for its buyer."""
    notice = {"kind": event["detail-type"], **event["detail"]}
    sqs.send_message(QueueUrl=os.environ["NOTICES"], MessageBody=json.dumps(notice))
