"""Takes as many seconds as its event asks for: asleep ("sleep") or with its core busy ("busy")."""

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
    if event.get("report") == "process":
        return {"pid": os.getpid()}
    if event.get("report") == "modules":
        return sorted(sys.modules)
    return event
