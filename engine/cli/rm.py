"""`stoker rm`: deletes functions from a server."""

from __future__ import annotations

import argparse

from .client import SERVER, client, server_errors
from .status import OK, option

PARSER = {"help": "delete functions from a server"}
OPTIONS = (option("names NAME", nargs="+"), SERVER)


@server_errors()
def run(options: argparse.Namespace) -> int:
    api = client(options)
    for name in options.names:
        api.delete_function(FunctionName=name)
        print(f"{name} deleted")
    return OK
