"""A handler that waits for a debugger before its first event: of a function with a variable STOKER_DEBUG, a port.

The wait is in the worker and within the invocation, since a debugger's threads would not survive a fork. Hosting knows
the variable, too: such a function has one worker, and no timeout.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from .handler import Handler

VARIABLE = "STOKER_DEBUG"
_HOST = "127.0.0.1"
_PAUSE = 0.05  # seconds between two looks at whether the port is free: the worker of older code may have it


def waiting(handler: Handler) -> Handler:
    """The handler itself, if nobody asked for more."""
    port = os.environ.get(VARIABLE, "")
    if not port.isdecimal():
        return handler
    attached = False

    def handle(event: Any, context: Any) -> Any:
        nonlocal attached
        if not attached:
            _attach(int(port))
            attached = True
        return handler(event, context)

    return handle


def _attach(port: int) -> None:
    import debugpy

    while not _free(port):
        time.sleep(_PAUSE)
    debugpy.listen((_HOST, port), in_process_debug_adapter=True)
    debugpy.wait_for_client()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True
