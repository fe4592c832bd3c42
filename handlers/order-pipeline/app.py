"""An order's way through the functions of a shop: checked when it is placed, invoiced and shipped once it is checked,
and its buyer told of it. What could not be shipped is tried again later."""

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


def ship(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """By the queue that the topic puts checked orders into. An order that no carrier takes goes back there, until the
    queue's redrive policy takes it to the dead letters."""
    carriers, shipped, failures = json.loads(os.environ["CARRIERS"]), time.time(), []
    for record in event["Records"]:
        order = json.loads(record["body"])
        if order["country"] in carriers:
            publish("OrderShipped", {**order, "carrier": carriers[order["country"]], "shipped": shipped})
        else:
            # At once: the queue's visibility timeout is for functions that did not come to an end.
            sqs.change_message_visibility(
                QueueUrl=os.environ["QUEUE"], ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
            )
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def redrive(_event: dict[str, Any], _context: Any) -> None:
    """By a schedule: the dead letters go back to their queue, since there may be a carrier for them now."""
    sqs.start_message_move_task(SourceArn=os.environ["DEAD"])


def notify(event: dict[str, Any], _context: Any) -> None:
    """By a rule of the bus, for each order that is invoiced or shipped: a notice for its buyer."""
    notice = {"kind": event["detail-type"], **event["detail"]}
    sqs.send_message(QueueUrl=os.environ["NOTICES"], MessageBody=json.dumps(notice))
