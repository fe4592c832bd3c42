"""`stoker logs`: prints a function's log; with -f, as it grows. `stoker logs query` asks for what is in it."""

from __future__ import annotations

import argparse
import sys
import time

from . import log_query
from .client import SERVER, ServerError, client, server_errors
from .status import OK, UsageError, option
from .terminal import unguarded

_PAUSE = 0.3  # seconds between two reads of a log that is followed


PARSER = {"help": "print a function's log, or query it: logs query 'stats count(*) by level' --group NAME"}
OPTIONS = (
    option("name NAME", "a function, or a log group; or `query`"),
    option("query QUERY", "after `query`: a query of Logs Insights", nargs="?"),
    option(
        "--group NAME", "of a query: a function or log group; may be given several times", action="append"
    ),
    option("-f --follow", "go on as more is logged"),
    option("--since AGE", "not older than this: 90, 15m, 2h, 1d (of a query, default: 1h)"),
    option("--raw", "to a terminal, too, as it was written: escape sequences have their effect"),
    SERVER,
)


@server_errors()
def run(options: argparse.Namespace) -> int:
    api = client(options, "logs")
    if options.query is not None or options.group:
        if options.name != "query" or options.query is None or not options.group or options.follow:
            raise UsageError("a query is written: stoker logs query 'QUERY' --group NAME")
        return log_query.run(
            api, options.query, list(map(_group, options.group)), _seconds(options.since or "1h")
        )
    group = _group(options.name)
    start = int((time.time() - _seconds(options.since)) * 1000) if options.since else 0
    seen: set[str] = set()
    out = unguarded(sys.stdout) if options.raw else sys.stdout
    while True:
        try:
            for page in api.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start):
                for event in page["events"]:
                    if event["eventId"] not in seen:
                        seen.add(event["eventId"])
                        start = max(start, event["timestamp"])
                        print(event["message"].rstrip("\n"), file=out, flush=True)
        except api.exceptions.ResourceNotFoundException:
            if not options.follow:
                raise ServerError(f"{options.name} has logged nothing yet") from None
        if not options.follow:
            return OK
        time.sleep(_PAUSE)


def _group(name: str) -> str:
    return name if name.startswith("/") else f"/aws/lambda/{name}"


def _seconds(text: str) -> float:
    """ "90", "15m", "2h", "1d" in seconds. Raises UsageError."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = -1
    if not 0 <= seconds < time.time():  # nor what is not a number
        raise UsageError(f"--since {text}: write 90, 90s, 15m, 2h or 1d")
    return seconds
