"""Takes the time it is told: asleep ("sleep"), or keeping its core busy ("busy"), in seconds."""

import os
import sys
import time
from typing import Any


def handler(event: Any, context: Any) -> Any:
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "busy" in event:
        until = time.perf_counter() + event["busy"]
        while time.perf_counter() < until:
            pass
    if event.get("ask") == "process":
        return {"pid": os.getpid()}
    if event.get("ask") == "modules":
        return sorted(sys.modules)
    return event
