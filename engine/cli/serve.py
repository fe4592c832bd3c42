"""`stoker serve`: the Lambda API on this machine, until a signal ends it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from .status import OK, Commands, UsageError

if TYPE_CHECKING:
    from ..http.server import Server

_DESCRIPTION = """\
Serves the Lambda API: boto3, the AWS CLI and SAM work against it when AWS_ENDPOINT_URL names it. What is deployed
is kept in the state directory. Ends with SIGINT or SIGTERM, when what runs has ended.

examples:
  stoker serve
  stoker serve --port 0 --state /var/lib/stoker
  stoker serve --host 0.0.0.0 --auth credentials     what is signed with those keys may come in
  stoker serve --aws-endpoint http://127.0.0.1:5000  all other services are passed on, to moto's server say
"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve the Lambda API",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=9001, help="port, 0 for any (default: 9001)")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that requests may be for, beside localhost and --host. Given as often as needed",
    )
    parser.add_argument("--uds", metavar="PATH", help="a Unix socket to listen on instead")
    parser.add_argument(
        "--state", metavar="DIR", default=".stoker", help="where all is kept (default: .stoker)"
    )
    parser.add_argument("--region", default="us-east-1", help="the region in every ARN (default: us-east-1)")
    parser.add_argument(
        "--account", default="000000000000", help="the account in every ARN (default: 000000000000)"
    )
    parser.add_argument(
        "--auth", metavar="FILE", help="credentials, as ~/.aws/credentials has them, to sign with"
    )
    parser.add_argument(
        "--aws-endpoint", metavar="URL", help="where requests for other AWS services are passed on to"
    )
    parser.add_argument(
        "--python",
        metavar="PATH",
        action="append",
        help="another interpreter, for functions of its version: one with msgspec and cffi. Given as often as needed; "
        "python3.11 to python3.14 on the PATH are found without",
    )
    parser.add_argument("--workers", type=int, default=64, help="of one version at most (default: 64)")
    parser.add_argument(
        "--retry-delays",
        metavar="SECONDS,SECONDS",
        default="60,120",
        help="before the second and third attempt of an event that failed (default: AWS's 60,120)",
    )
    parser.set_defaults(run=run, own_signals=True)  # its event loop handles them


def run(options: argparse.Namespace) -> int:
    """Serve. Raises EngineError when it cannot start."""
    from pathlib import Path

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
        allow_hosts=tuple(options.allow_host),
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
