"""What tests put on buses and topics, and what comes of it: in queues, functions and logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from served import REGION, Served
from support import until

ACCOUNT = "000000000000"
NOTES = """
import json, os
def handler(event, context):
    with open(os.environ["NOTE"], "a") as file:
        file.write(json.dumps(event) + "\\n")
"""


def queue(sqs: Any, name: str, **attributes: str) -> tuple[str, str]:
    """Its URL and ARN."""
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def received(sqs: Any, url: str, count: int = 1) -> list[dict[str, Any]]:
    """The next messages, deleted."""
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        more = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"],
            AttributeNames=["All"],
        ).get("Messages", [])  # fmt: skip
        for each in more:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        found.extend(more)
        return len(found) >= count

    until(enough, 60, f"{count} messages")
    assert len(found) == count, found
    return found


def logged(server: Served, group: str, text: str, seconds: float = 60) -> None:
    """Waits until the log group has an event with that text."""

    def there() -> bool:
        try:
            found = server.client("logs").filter_log_events(logGroupName=group)
        except ClientError:
            return False
        return any(text in each["message"] for each in found["events"])

    until(there, seconds, "the log")


def refused(call: Callable[..., Any], **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**members)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


# Buses.


def rule(events: Any, name: str, *targets: dict[str, Any], bus: str = "default", **pattern: Any) -> str:
    """A rule for events of this source. Its ARN."""
    pattern = {"source": [name], **pattern}
    arn: str = events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))["RuleArn"]
    result = events.put_targets(
        Rule=name, EventBusName=bus, Targets=[{"Id": str(n), **each} for n, each in enumerate(targets)]
    )
    assert result["FailedEntryCount"] == 0, result
    return arn


def entry(name: str, detail: Any = None, **more: Any) -> dict[str, Any]:
    return {"Source": name, "DetailType": "test", "Detail": json.dumps(detail or {}), **more}


def put(events: Any, *entries: dict[str, Any]) -> list[str]:
    result = events.put_events(Entries=list(entries))
    assert result["FailedEntryCount"] == 0, result
    return [each["EventId"] for each in result["Entries"]]


# Topics.


def topic(sns: Any, name: str, **attributes: str) -> str:
    arn: str = sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]
    return arn


def subscribed(sns: Any, topic: str, protocol: str, endpoint: str, **attributes: str) -> str:
    made = sns.subscribe(
        TopicArn=topic, Protocol=protocol, Endpoint=endpoint, Attributes=attributes, ReturnSubscriptionArn=True
    )  # fmt: skip
    arn: str = made["SubscriptionArn"]
    return arn
