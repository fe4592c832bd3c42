"""`stoker ls`: a line for each function of a server."""

from __future__ import annotations

import argparse

from .client import SERVER, client, server_errors
from .status import OK

PARSER = {"help": "list the functions of a server"}
OPTIONS = (SERVER,)
_HEADS = ("NAME", "RUNTIME", "MEMORY", "TIMEOUT", "CODE", "MODIFIED")


@server_errors()
def run(options: argparse.Namespace) -> int:
    rows = [_HEADS]
    for page in client(options).get_paginator("list_functions").paginate():
        for each in page["Functions"]:
            rows.append(
                (each["FunctionName"], each.get("Runtime", ""), f"{each['MemorySize']} MB", f"{each['Timeout']} s",
                 f"{each['CodeSize']} B", each["LastModified"])
            )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return OK
