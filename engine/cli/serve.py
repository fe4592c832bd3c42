"""`stoker serve`: the Lambda API on this machine, until it is told to stop."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .main import OK, UsageError

if TYPE_CHECKING:
    from ..http.server import Server


def run(options: argparse.Namespace) -> int:
    """Serve. Raises EngineError when it cannot start."""
    try:
        from ..http.server import Options, Server
    except ImportError as error:
        raise UsageError(f'{error.name} is missing: pip install "stoker[serve]"') from None
    try:
        delays = tuple(float(text) for text in options.retry_delays.split(","))
    except ValueError:
        raise UsageError(f"--retry-delays {options.retry_delays}: write seconds, as in 60,120") from None
    chosen = Options(
        host=options.host,
        port=options.port,
        uds=options.uds,
        state=Path(options.state).resolve(),
        region=options.region,
        account=options.account,
        auth=Path(options.auth) if options.auth else None,
        aws_endpoint=options.aws_endpoint,
        workers=options.workers,
        retry_delays=delays,
        python=tuple(options.python or ()),
    )
    Server(chosen).run(_ready)
    print("stoker: stopped", file=sys.stderr)
    return OK


def _ready(server: Server) -> None:
    url, options = server.url, server.options
    where = f"unix:{options.uds}" if options.uds else url
    print(f"stoker: serving the Lambda API on {where}", flush=True)
    print(f"  state      {options.state}", file=sys.stderr)
    if not options.uds:
        print(f"  try        export AWS_ENDPOINT_URL={url}", file=sys.stderr)
        print("             stoker deploy handlers/echo && aws lambda list-functions", file=sys.stderr)
