"""`stoker top`: functions as they run, a line each, anew every second."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .client import SERVER, ServerError, credentials, endpoint, server_errors
from .status import OK, UsageError, option
from .terminal import unguarded, visible

if TYPE_CHECKING:
    from rich.table import Table

PARSER = {"help": "functions as they run: rate, latencies, errors, concurrency, cold starts"}
OPTIONS = (
    option("--every SECONDS", "between two looks (default: 1)", type=float, default=1.0),
    option("--once", "print one look, over that time, and end"),
    SERVER,
)
_HEADS = (
    "FUNCTION",
    "RATE/S",
    "P50 MS",
    "P99 MS",
    "ERRORS/S",
    "THROTTLES/S",
    "RUNNING",
    "COLD",
    "INVOCATIONS",
)
_SHOWN = 50  # functions, those with the highest rates


@server_errors()
def run(options: argparse.Namespace) -> int:
    if not 0.1 <= options.every <= 3600:
        raise UsageError("--every must be from 0.1 to 3600 seconds")
    before, began = _look(options, {}), time.monotonic()
    if options.once or not sys.stdout.isatty():
        time.sleep(options.every)
        after = _look(options, before)
        _print(rows(before, after, time.monotonic() - began))
        return OK
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        raise UsageError('rich draws the table: pip install "stoker[load]", or give --once') from None
    console = Console(file=unguarded(sys.stdout))
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(options.every)
            after, ended = _look(options, before), time.monotonic()
            live.update(_table(rows(before, after, ended - began)), refresh=True)
            before, began = after, ended


def rows(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> list[list[str]]:
    """What changed between two looks: a row for each function, the busiest first."""
    found = []
    for arn, now in after["functions"].items():
        past = before["functions"].get(arn) or {}
        if past.get("invocations", 0) > now["invocations"]:  # another server answers there now
            past = {}
        took = {
            float(bound): times - past.get("took", {}).get(bound, 0)
            for bound, times in (now["took"].items() if now is not past else ())
        }
        rate = (now["invocations"] - past.get("invocations", 0)) / seconds
        errors, throttles = (
            (sum(now[name].values()) - sum(past.get(name, {}).values())) / seconds
            for name in ("errors", "throttles")
        )
        name = arn.split(":", 6)[6]
        running = after["running"].get(arn, 0)
        found.append((rate, [
            name, f"{rate:.1f}", _percentile(took, 50), _percentile(took, 99), f"{errors:.1f}", f"{throttles:.1f}",
            str(running), str(now["cold_starts"]), str(now["invocations"]),
        ]))  # fmt: skip
    found.sort(key=lambda each: (-each[0], each[1][0]))
    return [row for _, row in found[:_SHOWN]]


def _percentile(took: Mapping[float, float], percent: float) -> str:
    total = sum(took.values())
    seen = 0.0
    for bound in sorted(took):
        seen += took[bound]
        if total and seen >= total * percent / 100:
            return f"{bound:.2f}"
    return "-"


def _look(options: argparse.Namespace, before: Mapping[str, Any]) -> dict[str, Any]:
    """What there is, of which the server sends what changed since the look before. Raises ServerError."""
    from botocore.awsrequest import AWSRequest
    from botocore.httpsession import URLLib3Session

    headers = {"Accept": "application/json"}
    if known := credentials():
        headers["Authorization"] = f"Basic {base64.b64encode(':'.join(known).encode()).decode()}"
    url = f"{endpoint(options).rstrip('/')}/_stoker/metrics?since={before.get('mark', '')}"
    response = URLLib3Session(timeout=30).send(AWSRequest("GET", url, headers=headers).prepare())
    if response.status_code != 200:
        text = response.text[:300]
        with contextlib.suppress(ValueError, AttributeError):
            text = str(json.loads(text).get("message", text))
        raise ServerError(f"{response.status_code}: {text or url}")
    try:
        found: dict[str, Any] = json.loads(response.content)
    except ValueError:
        found = {}
    if not isinstance(found, dict) or not isinstance(found.get("functions"), dict):
        raise ServerError(f"{url} has no metrics: is it Stoker's server?")
    if not found.get("whole", True):
        found["functions"] = {**before["functions"], **found["functions"]}
    return found


def _table(found: list[list[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in _HEADS:
        table.add_column(head, justify="left" if head == "FUNCTION" else "right")
    for row in found:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


def _print(found: list[list[str]]) -> None:
    table = [list(_HEADS), *found]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (
            cell.ljust(w) if n == 0 else cell.rjust(w)
            for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
