"""Aggregates over web server access log lines that arrive as a Kinesis batch."""

import base64
import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

# The combined format; servers may append more quoted fields, which are of no interest here.
LINE = re.compile(
    r'(?P<client>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" '
    r"(?P<status>\d{3}) (?P<bytes>\d+|-)"
    r'(?: "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)")?(?: .*)?'
)
ROBOT = re.compile(r"bot\b|crawl|spider|slurp", re.IGNORECASE)
TOP = 5
# Set: the URL of a queue to which the aggregates of each batch are sent.
OUTPUT = os.environ.get("OUTPUT_QUEUE", "")
if OUTPUT:
    import boto3

    sqs = boto3.client("sqs")


@lru_cache(maxsize=4096)
def utc(stamp: str) -> datetime:
    # Many lines share a second, so most stamps have been read before.
    return datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)


@lru_cache(maxsize=4096)
def is_robot(client: str, agent: str) -> bool:
    # Either is enough: some robots name themselves, others are only betrayed by the name of their host.
    return bool(ROBOT.search(agent) or ROBOT.search(client))


def lines_of(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every line with its record's sequence number. Shippers pack several lines into a record."""
    for record in event["Records"]:
        kinesis = record["kinesis"]
        text = base64.b64decode(kinesis["data"], validate=True).decode("utf-8", "replace")
        for line in text.splitlines():
            if line.strip():
                yield kinesis["sequenceNumber"], line


def percentile(ordered: list[int], percent: int) -> int:
    """The nearest-rank percentile of sorted numbers: always one that was really measured."""
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1] if ordered else 0


def top(counts: Counter[str]) -> list[list[Any]]:
    # Ties in order of name, or equal batches could give unequal results.
    return [[name, n] for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP]]


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    received = time.time()
    result = aggregates(event)
    if OUTPUT:
        records = [record["eventID"] for record in event["Records"]]
        sqs.send_message(
            QueueUrl=OUTPUT, MessageBody=json.dumps({**result, "received": received, "records": records})
        )
    return result


def aggregates(event: dict[str, Any]) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    methods: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    clients: Counter[str] = Counter()
    seconds: Counter[datetime] = Counter()
    sizes: list[int] = []
    rejected: list[str] = []
    robots = 0
    for sequence, line in lines_of(event):
        match = LINE.fullmatch(line)
        request = match["request"].split(" ") if match else []
        try:
            if match is None or len(request) < 2:
                raise ValueError("not in the combined log format")
            moment = utc(match["time"])
        except ValueError:
            rejected.append(sequence)
            continue
        seconds[moment] += 1
        methods[request[0]] += 1
        paths[request[1].partition("?")[0]] += 1
        statuses[match["status"]] += 1
        clients[match["client"]] += 1
        sizes.append(0 if match["bytes"] == "-" else int(match["bytes"]))
        robots += is_robot(match["client"], match["agent"] or "")
    sizes.sort()
    requests = len(sizes)
    errors = sum(n for status, n in statuses.items() if status >= "400")
    return {
        "requests": requests,
        "rejected": rejected,
        "from": min(seconds).isoformat() if seconds else None,
        "to": max(seconds).isoformat() if seconds else None,
        "busiest_second": max(seconds.values(), default=0),
        "clients": len(clients),
        "robots": robots,
        "statuses": dict(sorted(statuses.items())),
        "methods": dict(sorted(methods.items())),
        "error_rate": round(errors / requests, 4) if requests else 0.0,
        "bytes": {
            "total": sum(sizes),
            "p50": percentile(sizes, 50),
            "p95": percentile(sizes, 95),
            "max": sizes[-1] if sizes else 0,
        },
        "top_paths": top(paths),
        "top_clients": top(clients),
    }
