"""Sin: runs for ever and ignores SIGTERM, until a file appears (event: that file; one to create first)."""

import os
import select
import signal
from typing import Any

signal.signal(signal.SIGTERM, signal.SIG_IGN)


def handler(event: Any, context: Any) -> Any:
    if event and "began" in event:
        with open(event["began"], "a") as file:
            file.write(f"{os.getpid()}\n")
    while not (event and "until" in event and os.path.exists(event["until"])):
        select.select([], [], [], 0.002)
    return event.get("result")
