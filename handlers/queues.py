"""The sample orders, initiated by a queue: those that it reports as failed stay there, the others are deleted."""

from __future__ import annotations

import json
import time

from run import EXPECTED, HERE, event_of
from server import Connect, create_mapping, create_queue

SAMPLE = "orders"
PATIENCE_S = 20.0
COUNTS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]


def run(connect: Connect) -> str:
    """Send the messages of the sample's event to a queue. What was wrong, or an empty string."""
    api, sqs = connect("lambda"), connect("sqs")
    records = json.loads(event_of(HERE / SAMPLE).read_bytes())["Records"]
    queue, arn = create_queue(sqs, SAMPLE, VisibilityTimeout="60")
    create_mapping(api, SAMPLE, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    begin = time.monotonic()
    entries = [{"Id": str(n), "MessageBody": record["body"]} for n, record in enumerate(records)]
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    wanted = len(EXPECTED[SAMPLE]["batchItemFailures"])  # they come again, the others are deleted
    left = -1
    while left != wanted and time.monotonic() < begin + PATIENCE_S:
        found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=COUNTS)["Attributes"]
        left = sum(map(int, found.values()))
    took = (time.monotonic() - begin) * 1e3
    print(f"{SAMPLE}  (event source mapping of {arn})")
    print(
        f"  {len(entries)} messages sent; after {took:.0f} ms {left} are left, which the function reported as failed"
    )
    return "" if left == wanted else f"{left} messages were left in its queue, not {wanted}"
