"""The sample access-log, initiated by a Kinesis stream: lines are put into it, and aggregates come to a queue."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from typing import Any

from run import EXPECTED, HERE, event_of, wrong
from server import PATIENCE_S, Connect, create_mapping, create_queue, deploy, percentiles

SAMPLE = "access-log"
FUNCTION = f"{SAMPLE}-of-stream"
STREAM = "access-log"
SHARDS, BATCH, WINDOW_S = 2, 25, 1
BEFORE = 10  # records that the stream has already when the mapping is made
PACE_S = 0.05  # between two records


def run(connect: Connect) -> str:
    """Deploy the function, put the lines, and print how long they took. What was wrong, or an empty string."""
    api, kinesis, sqs = connect("lambda"), connect("kinesis"), connect("sqs")
    results, _ = create_queue(sqs, "access-log-results")
    deploy(api, HERE / SAMPLE, FUNCTION, Environment={"Variables": {"OUTPUT_QUEUE": results}})
    kinesis.create_stream(StreamName=STREAM, ShardCount=SHARDS)
    kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
    arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    records = json.loads(event_of(HERE / SAMPLE).read_bytes())["Records"]
    times: dict[str, float] = {}  # of each record's put, by its event's ID
    batches: list[dict[str, Any]] = []
    for n, record in enumerate(records):
        if n == BEFORE:
            create_mapping(
                api, FUNCTION, arn,
                StartingPosition="TRIM_HORIZON", BatchSize=BATCH, MaximumBatchingWindowInSeconds=WINDOW_S,
            )  # fmt: skip
            _receive(sqs, results, batches, n)  # the function's cold start is over
        begin = time.time()
        data = base64.b64decode(record["kinesis"]["data"])
        # Each line from a machine of its own, or one shard would have them all.
        put = kinesis.put_record(StreamName=STREAM, Data=data, PartitionKey=f"web-{n}")
        times[f"{put['ShardId']}:{put['SequenceNumber']}"] = begin
        time.sleep(PACE_S)
    _receive(sqs, results, batches, len(records))
    came = {id: batch["received"] for batch in batches for id in batch["records"]}
    if came.keys() != times.keys():
        return f"{len(came.keys() & times.keys())} of {len(times)} records came within {PATIENCE_S:g} s"
    total = _total(batches)
    print(f"{SAMPLE}  (event source mapping of {arn})\n  {json.dumps(total)}")
    took = [came[id] - begin for id, begin in list(times.items())[BEFORE:]]
    print(
        f"  from put to handler {percentiles(took)} records; in all {len(batches)} batches of up to {BATCH}, "
        f"window {WINDOW_S} s, {SHARDS} shards"
    )
    return wrong(total, EXPECTED[SAMPLE])


def _receive(sqs: Any, queue: str, found: list[dict[str, Any]], count: int) -> None:
    """What comes of each batch, until they have so many records."""
    end = time.monotonic() + PATIENCE_S
    while sum(len(each["records"]) for each in found) < count and time.monotonic() < end:
        response = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in response.get("Messages", ()):
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def _total(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """The members that can be added up: they are the same, however the records are spread over batches."""
    statuses: Counter[str] = Counter()
    for each in batches:
        statuses.update(each["statuses"])
    return {
        "requests": sum(each["requests"] for each in batches),
        "rejected": [sequence for each in batches for sequence in each["rejected"]],
        "statuses": dict(sorted(statuses.items())),
        "bytes": {
            "total": sum(each["bytes"]["total"] for each in batches),
            "max": max(each["bytes"]["max"] for each in batches),
        },
    }
