"""`stoker delete`: deletes a stack, and the resources that it made."""

from __future__ import annotations

import argparse

from . import stacks
from .client import SERVER, server_errors
from .status import FAILED, OK, option

PARSER = {"help": "delete a stack from a server"}
OPTIONS = (option("stack STACK", "its name"), SERVER)


@server_errors()
def run(options: argparse.Namespace) -> int:
    api = stacks.connect(options)
    found = stacks.stack(api, options.stack)
    if found is None:
        print(f"{options.stack} is no stack")
        return FAILED
    stacks.run(api, found["StackId"], api.delete_stack, StackName=options.stack)
    print(f"{options.stack} deleted")
    return OK
