"""`stoker serve`: the Lambda API on this machine, until a signal ends it."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .status import OK, UsageError, option

if TYPE_CHECKING:
    from ..http.server import Server

_DESCRIPTION = """\
Serves the Lambda API: boto3, the AWS CLI and SAM work against it when AWS_ENDPOINT_URL names it. What is deployed
is kept in the state directory. Ends with SIGINT or SIGTERM, when what runs has ended.

examples:
  stoker serve
  stoker serve --port 0 --state /var/lib/stoker
  stoker serve --host 0.0.0.0 --auth credentials     what is signed with those keys may come in
  stoker serve --aws moto                            all other services are moto's server, started and ended with this
  stoker serve --aws real                            they are AWS's, with your credentials
  stoker serve --aws-endpoint http://127.0.0.1:5000  they are at another endpoint
"""


PARSER = {"help": "serve the Lambda API", "description": _DESCRIPTION}
OPTIONS = (
    option("--host HOST", "address to listen on (default: 127.0.0.1)", default="127.0.0.1"),
    option("--port PORT", "port, 0 for any (default: 9001)", type=int, default=9001),
    option(
        "--allow-host NAME",
        "a name that requests may be for, beside localhost and --host. Given as often as needed",
        action="append",
        default=[],
    ),
    option("--uds PATH", "a Unix socket to listen on instead"),
    option("--state DIR", "where all is kept (default: .stoker)", default=".stoker"),
    option("--region REGION", "the region in every ARN (default: us-east-1)", default="us-east-1"),
    option("--account ACCOUNT", "the account in every ARN (default: 000000000000)", default="000000000000"),
    option("--auth FILE", "credentials, as ~/.aws/credentials has them, to sign with"),
    option(
        "--aws moto|real",
        "what other AWS services are: moto's server, in memory (pip install 'stoker[aws]'), or AWS, to which requests "
        "go signed with your credentials",
        choices=("moto", "real"),
    ),
    option("--aws-endpoint URL", "where requests for other AWS services are passed on to"),
    option(
        "--bucket NAME=directory:///PATH",
        "an S3 bucket that is a folder of this machine: what comes into it is told of as uploads are (pip install "
        "'stoker[watch]'). Given as often as needed",
        action="append",
        default=[],
    ),
    option(
        "--python [RUNTIME=]PATH|VERSION",
        "another interpreter, for functions of its version, or of the runtime that it stands in for: the path of one "
        "that has msgspec and cffi, or a version (3.12), which is prepared as `stoker python add` does. Given as often "
        "as needed; those that were prepared, and those of python3.11 to python3.14 on the PATH that have both, are "
        "found without",
        action="append",
        default=[],
    ),
    option(
        "--pass-env NAME",
        "a variable of the server's environment that functions see. Given as often as needed",
        action="append",
        default=[],
    ),
    option(
        "--sandbox auto|on|off",
        "functions see a file system of their own, as on Lambda: where the machine can (default), always, never",
        choices=("auto", "on", "off"),
        default="auto",
    ),
    option(
        "--share DIR",
        "a directory that functions in sandboxes see, too, and may write to. Given as often as needed",
        action="append",
        default=[],
    ),
    option(
        "--inflight MB",
        "bytes of requests and responses that clients may make the server hold, all together; beyond it reading stops, "
        "then 503 (default: 256)",
        type=int,
        default=256,
    ),
    option(
        "--max-connections N",
        "beyond them the one idle for longest is closed, then 503 (default: 1024, or half the limit of descriptors)",
        type=int,
    ),
    option(
        "--strict",
        "function URLs of AuthType NONE need the policy that AWS asks for (default: one line says that it lacks)",
        action="store_true",
    ),
    option(
        "--strict-imports",
        "functions import what their packages and layers, AWS's runtime (boto3) and the standard library have, and "
        "nothing else that is installed here",
        action="store_true",
    ),
    option(
        "--no-metrics",
        "keep none of AWS's metrics (AWS/Lambda, AWS/SQS, ...), only those that are put or taken from logs",
        action="store_false",
        dest="metrics",
    ),
    option(
        "--otlp URL",
        "an OpenTelemetry receiver (http://127.0.0.1:4318) that gets all metrics, and spans of every invocation unless "
        "its caller has decided against (pip install 'stoker[otel]')",
    ),
    option(
        "--workers N|auto",
        "processes that accept connections, each with functions' environments of its own (default: 1; auto: half of "
        "the physical cores)",
        default="1",
    ),
    option("--environments N", "of one version at most, in each process (default: 64)", type=int, default=64),
    option(
        "--queue-bytes BYTES",
        "of events and messages that wait on the disk; beyond it requests get a 429 (default: 1 GiB)",
        type=int,
        default=1 << 30,
    ),
    option(
        "--retry-delays SECONDS,SECONDS",
        "before the second and third attempt of an event that failed (default: AWS's 60,120)",
        default="60,120",
    ),
)
TRAITS = {"own_signals": True}  # its event loop handles them


def run(options: argparse.Namespace) -> int:
    """Serve. Raises EngineError when it cannot start."""
    from dataclasses import fields

    from ..control.cores import physical

    try:
        from ..http.options import Options
        from ..http.server import Server
    except ImportError as error:
        raise UsageError(f'{error.name} is missing: pip install "stoker[serve]"') from None
    try:
        delays = tuple(float(text) for text in options.retry_delays.split(","))
    except ValueError:
        raise UsageError(f"--retry-delays {options.retry_delays}: write seconds, as in 60,120") from None
    try:
        workers = max(1, physical() // 2) if options.workers == "auto" else int(options.workers)
    except ValueError:
        raise UsageError(f"--workers {options.workers}: write a number, or auto") from None
    values = {field.name: getattr(options, field.name) for field in fields(Options)}
    values["state"] = Path(options.state).resolve()
    values["auth"] = Path(options.auth) if options.auth else None
    values |= {
        "retry_delays": delays,
        "workers": workers,
        "python": tuple(options.python),
        "bucket": tuple(options.bucket),
        "allow_host": tuple(options.allow_host),
        "pass_env": tuple(options.pass_env),
        "share": tuple(os.path.abspath(path) for path in options.share),
    }
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # there is no standard error
        faulthandler.enable(all_threads=False)  # what ends a process by a signal says where
    try:
        Server(Options(**values), report=_report).run(_ready)
    except OSError as error:
        if error.filename is None or not Path(os.fsdecode(error.filename)).is_relative_to(values["state"]):
            raise
        raise UsageError(f"--state {options.state}: {error.filename}: {error.strerror}") from None
    print("stoker: stopped", file=sys.stderr)
    return OK


def _report(line: str) -> None:
    print(f"stoker: {line}", file=sys.stderr, flush=True)


def _ready(server: Server) -> None:
    url, options = server.url, server.options
    where = f"unix:{options.uds}" if options.uds else url
    print(f"stoker: serving the Lambda API on {where}", flush=True)
    print(f"  state      {options.state}", file=sys.stderr)
    if options.aws:
        where = (
            "moto's server, in memory"
            if options.aws == "moto"
            else "AWS, with your credentials: whoever calls here uses them"
        )
        print(f"  other AWS  {where}", file=sys.stderr)
    if not options.uds:
        print(f"  console    {server.console}", file=sys.stderr)
        print(f"  try        export AWS_ENDPOINT_URL={url}", file=sys.stderr)
        print("             stoker deploy handlers/echo && aws lambda list-functions", file=sys.stderr)
