"""`stoker metrics`: a function's last hour, a line for each minute that had invocations."""

from __future__ import annotations

import argparse
import datetime
from typing import Any

from .client import SERVER, client, server_errors
from .status import OK, UsageError, option

PARSER = {"help": "a function's metrics of the last hour"}
OPTIONS = (
    option("name", "the function's name", metavar="NAME"),
    option("--minutes N", "so many, instead of 60", type=int, default=60),
    SERVER,
)
_COLUMNS = (
    ("INVOCATIONS", "Invocations", "Sum"), ("ERRORS", "Errors", "Sum"), ("THROTTLES", "Throttles", "Sum"),
    ("P50 MS", "Duration", "p50"), ("P99 MS", "Duration", "p99"), ("MAX MS", "Duration", "Maximum"),
    ("CONCURRENT", "ConcurrentExecutions", "Maximum"),
)  # fmt: skip


@server_errors()
def run(options: argparse.Namespace) -> int:
    if not 1 <= options.minutes <= 1440:
        raise UsageError("--minutes must be from 1 to 1440")
    client(options).get_function_configuration(FunctionName=options.name)
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
    of = [{"Name": "FunctionName", "Value": options.name}]
    queries = [
        {"Id": f"m{n}", "MetricStat": {
            "Metric": {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": of}, "Period": 60, "Stat": stat}}
        for n, (_, metric, stat) in enumerate(_COLUMNS)
    ]  # fmt: skip
    results = client(options, "cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=end - datetime.timedelta(minutes=options.minutes), EndTime=end
    )["MetricDataResults"]
    rows: dict[Any, list[str]] = {}
    for n, result in enumerate(results):
        for at, value in zip(result["Timestamps"], result["Values"], strict=True):
            row = rows.setdefault(at, ["-"] * len(_COLUMNS))
            row[n] = f"{value:.2f}" if _COLUMNS[n][0].endswith("MS") else f"{value:.0f}"
    table = [["MINUTE", *(head for head, _, _ in _COLUMNS)]]
    table += [[f"{at.astimezone():%H:%M}", *rows[at]] for at in sorted(rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    if not rows:
        print(f"no invocation of {options.name} in the last {options.minutes} minutes")
    return OK
