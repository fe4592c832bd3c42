"""`stoker rm`: deletes functions from a server."""

from __future__ import annotations

import argparse

from .client import add_endpoint, client, server_errors
from .status import OK, Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("rm", help="delete functions from a server")
    parser.add_argument("names", metavar="NAME", nargs="+")
    add_endpoint(parser)
    parser.set_defaults(run=run)


@server_errors()
def run(options: argparse.Namespace) -> int:
    api = client(options)
    for name in options.names:
        api.delete_function(FunctionName=name)
        print(f"{name} deleted")
    return OK
