"""`stoker source`: event source mappings of a server: adds, lists, removes, pauses and resumes them.

One for all that AWS has, by an ARN, and for Redis Streams and NATS JetStream, by a URL and a stream's name.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from .client import SERVER, client, server_errors
from .status import OK, UsageError, option

PARSER = {
    "help": "feed functions of a server from queues and streams",
    "description": "Event source mappings: functions that are invoked with what is in a queue or a stream.",
    "epilog": """examples:
  stoker source add orders redis://127.0.0.1:6379/0 orders --batch-size 50
  stoker source add orders nats://127.0.0.1:4222 ORDERS --subject 'orders.paid'
  stoker source add orders arn:aws:sqs:us-east-1:000000000000:orders --report-failures
  stoker source pause orders          # or resume, rm: all of a function's, or one by its id""",
}
OPTIONS = (
    option(
        "action", "add FUNCTION SOURCE [STREAM], ls [FUNCTION], rm, pause and resume FUNCTION|ID",
        choices=("add", "ls", "rm", "pause", "resume"),
    ),
    option("names NAME", "see above", nargs="*"),
    SERVER,
)  # fmt: skip
GROUPS = {
    "what add may say": (
        option("--batch-size N", "records of one event at most", type=int),
        option("--window SECONDS", "to gather a batch", type=int),
        option("--filter JSON", "a pattern that records have to match; or another one", action="append"),
        option("--report-failures", "the response says which records failed (ReportBatchItemFailures)"),
        option("--start WHERE", "TRIM_HORIZON, LATEST, or epoch seconds"),
        option("--retries N", "of a batch that fails; -1: until it does not", type=int),
        option("--max-age SECONDS", "of a record, to be tried still", type=int),
        option("--bisect", "split a batch that fails"),
        option("--parallel N", "batches at once, each subject or key in order", type=int),
        option("--on-failure ARN", "of a queue, topic or bucket for what is given up"),
        option("--disabled", "do not begin yet"),
        option("--group NAME", "Redis: the consumer group"),
        option("--consumer NAME", "the consumer's name"),
        option("--subject SUBJECT", "NATS: only messages of these"),
        option("--credentials-file FILE", "NATS: of the server's machine"),
    )
}
_TYPES = {
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "nats": "nats",
    "tls": "nats",
    "ws": "nats",
    "wss": "nats",
}
_HEADS = ("ID", "FUNCTION", "SOURCE", "STATE", "LAST RESULT")


@server_errors()
def run(options: argparse.Namespace) -> int:
    api = client(options)
    if options.action == "add":
        return _add(api, options)
    if options.action == "ls":
        return _ls(api, options.names)
    if not options.names:
        raise UsageError(f"{options.action} what? The name of a function, or the id that ls shows")
    done = {"rm": "removed", "pause": "paused", "resume": "resumed"}[options.action]
    for name in options.names:
        for mapping in _found(api, name):
            uuid = mapping["UUID"]
            if options.action == "rm":
                api.delete_event_source_mapping(UUID=uuid)
            else:
                api.update_event_source_mapping(UUID=uuid, Enabled=options.action == "resume")
            print(f"{uuid} {done}")
    return OK


def _found(api: Any, name: str) -> list[dict[str, Any]]:
    """The mapping of that id, or all of the function's. Raises UsageError when there is none."""
    mappings = _all(api)
    found = [each for each in mappings if each["UUID"] == name]
    found = found or [each for each in mappings if _function(each) == name]
    if not found:
        raise UsageError(f"{name} is neither the id of a mapping nor a function that has one")
    return found


def _all(api: Any) -> list[dict[str, Any]]:
    pages = api.get_paginator("list_event_source_mappings").paginate()
    return [each for page in pages for each in page["EventSourceMappings"]]


def _function(mapping: dict[str, Any]) -> str:
    return str(mapping["FunctionArn"].partition(":function:")[2])


def _ls(api: Any, names: list[str]) -> int:
    rows = [_HEADS]
    for each in _all(api):
        if names and _function(each) not in names:
            continue
        source = each.get("EventSourceArn") or ",".join(each.get("Topics", ()))
        rows.append(
            (each["UUID"], _function(each), source, each["State"], each.get("LastProcessingResult", ""))
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return OK


def _add(api: Any, options: argparse.Namespace) -> int:
    if len(options.names) not in (2, 3):
        raise UsageError("write: stoker source add FUNCTION ARN, or: stoker source add FUNCTION URL STREAM")
    function, where, *stream = options.names
    members: dict[str, Any] = {"FunctionName": function, **_members(options)}
    if where.startswith("arn:"):
        members["EventSourceArn"] = where
        made = api.create_event_source_mapping(**members)
    else:
        kind = _TYPES.get(where.partition(":")[0])
        if kind is None or not stream:
            raise UsageError(f"{where}: an ARN, or a URL (redis://…, nats://…) and the name of a stream")
        named = {
            "Group": options.group, "Consumer": options.consumer, "Subject": options.subject,
            "CredentialsFile": options.credentials_file,
        }  # fmt: skip
        source = {"Type": kind, "Url": where, "Stream": stream[0]}
        source |= {name: value for name, value in named.items() if value is not None}

        def with_source(params: dict[str, Any], **_: Any) -> None:
            params["body"] = json.dumps({**json.loads(params["body"]), "Source": source}).encode()

        # A member that AWS's API has not, and so its client neither.
        api.meta.events.register("before-call.lambda.CreateEventSourceMapping", with_source)
        made = api.create_event_source_mapping(**members)
    print(made["UUID"])
    return OK


def _members(options: argparse.Namespace) -> dict[str, Any]:
    members: dict[str, Any] = {
        "BatchSize": options.batch_size,
        "MaximumBatchingWindowInSeconds": options.window,
        "MaximumRetryAttempts": options.retries,
        "MaximumRecordAgeInSeconds": options.max_age,
        "BisectBatchOnFunctionError": options.bisect or None,
        "ParallelizationFactor": options.parallel,
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if options.report_failures else None,
        "Enabled": False if options.disabled else None,
    }
    if options.filter:
        members["FilterCriteria"] = {"Filters": [{"Pattern": each} for each in options.filter]}
    if options.on_failure:
        members["DestinationConfig"] = {"OnFailure": {"Destination": options.on_failure}}
    if options.start in ("TRIM_HORIZON", "LATEST"):
        members["StartingPosition"] = options.start
    elif options.start:
        try:
            members |= {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": float(options.start)}
        except ValueError:
            raise UsageError(
                f"--start {options.start}: TRIM_HORIZON, LATEST, or epoch seconds, as {time.time():.0f}"
            ) from None
    return {name: value for name, value in members.items() if value is not None}
