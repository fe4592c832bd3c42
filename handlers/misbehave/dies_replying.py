"""Sin: is killed in the middle of its reply (event: "reserved" or "committed", and the reply)."""

import json
import os
import signal
from typing import Any

from _lane import mine, reserve
from engine._native import lib


def handler(event: Any, context: Any) -> Any:
    stage, result = event
    if stage == "fine":
        return result
    lane = mine()
    reserve(lane, json.dumps(result).encode())
    if stage == "committed":  # but the doorbell is not rung
        lib.stk_worker_commit(lane)
    os.kill(os.getpid(), signal.SIGKILL)
    return None
