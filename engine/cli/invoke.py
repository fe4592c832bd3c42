"""`stoker invoke`: one function, one event; in an engine of this process, or on a server with --endpoint."""

from __future__ import annotations

import argparse
import sys

from .client import client, server_errors
from .status import FAILED, OK, UsageError, option
from .texts import read_event

_DESCRIPTION = """\
Starts the function, invokes it once and ends. The response goes to stdout; START, what the function
logged, END and REPORT go to stderr.

examples:
  stoker invoke app:handler
  stoker invoke app:handler '{"name": "Ada"}' --code handlers/echo
  stoker invoke app:handler @event.json --timeout 3 --memory 256 --env SIZE=64
  generate-event | stoker invoke app.handler - --repeat 10000

exit status:
  0  the response is on stdout
  1  the function failed: Lambda's error object is on stdout
  2  it was not invoked: a wrong argument, a bad reference, an event that is not JSON
  130, 143 and so on: ended by a signal (128 + its number)
"""


PARSER = {"help": "invoke a function on one event", "description": _DESCRIPTION}
OPTIONS = (
    option("reference REF", "module:function, or Lambda's module.function"),
    option("event EVENT", "JSON, @FILE, or - for stdin (default: {})", nargs="?"),
    option("--code DIR", "where the module is (default: the current directory)"),
    option("--name NAME", "the function's name (default: from REF)"),
    option("--memory MB", "its memory limit (default: 128)", type=int),
    option("--timeout SECONDS", "its timeout (default: 30)", type=float),
    option("--env NAME=VALUE", "an environment variable of it (repeatable)", action="append", default=[]),
    option(
        "--init {snapshot,fresh}",
        "initialise once and fork after it (default), or in the worker",
        choices=("snapshot", "fresh"),
        default="snapshot",
    ),
    option("--raw", "bytes in, bytes out: no JSON is read or written"),
    option(
        "--repeat N",
        "invoke N times more, logs left out, and print the latencies on stderr",
        type=int,
        default=0,
    ),
    option("--endpoint URL", "REF is a function deployed there"),
)


def run(options: argparse.Namespace) -> int:
    """Exit status; raises UsageError, and an EngineError that is not the function's."""
    if options.endpoint:
        return deployed(options)
    from . import embedded

    return embedded.run(options)


@server_errors()
def deployed(options: argparse.Namespace) -> int:
    """Invoke a function of a server."""
    import base64

    for name in ("code", "name", "memory", "timeout", "env", "raw", "repeat"):
        if getattr(options, name):
            raise UsageError(
                f"--{name} is for a function that runs here: leave it out, or leave --endpoint out"
            )
    response = client(options).invoke(
        FunctionName=options.reference,
        Payload=read_event("{}" if options.event is None else options.event, raw=False),
        LogType="Tail",
    )
    if response.get("LogResult"):
        print(base64.b64decode(response["LogResult"]).decode("utf-8", "replace"), end="", file=sys.stderr)
    print(response["Payload"].read().decode("utf-8", "replace"))
    return FAILED if response.get("FunctionError") else OK
