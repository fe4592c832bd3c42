"""`stoker logs query`: a query of Logs Insights, and what it finds as a table."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

from .client import ServerError
from .status import OK

_PAUSE = 0.05  # seconds between two looks at a query that runs


def run(api: Any, query: str, groups: list[str], seconds: float) -> int:
    """Of the last so many seconds. Raises ServerError."""
    now = time.time()
    started = api.start_query(
        logGroupNames=groups, startTime=int(now - seconds), endTime=int(now) + 1, queryString=query
    )
    number: str = started["queryId"]
    found: dict[str, Any] = {"status": "Scheduled"}
    try:
        while found["status"] in ("Scheduled", "Running"):
            time.sleep(_PAUSE)
            found = api.get_query_results(queryId=number)
    except BaseException:
        with contextlib.suppress(Exception):  # nobody waits for it any more
            api.stop_query(queryId=number)
        raise
    if found["status"] != "Complete":
        raise ServerError(f"the query's status is {found['status']}")
    rows = [{each["field"]: each["value"] for each in row} for row in found["results"]]
    while "nextToken" in found:
        found = api.get_query_results(queryId=number, nextToken=found["nextToken"])
        rows += [{each["field"]: each["value"] for each in row} for row in found["results"]]
    for line in table(rows):
        print(line)
    about = found["statistics"]
    print(f"{about['recordsMatched']:.0f} of {about['recordsScanned']:.0f} events matched", file=sys.stderr)
    return OK


def table(rows: list[dict[str, str]]) -> list[str]:
    """A line of names, and one for each row; of no rows, none."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "@ptr"]
    if not names:
        return []
    lines = [names, *([_line(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _line(value: str) -> str:
    return value.rstrip("\n").replace("\n", "\\n").replace("\r", "\\r").replace("\t", " ")
