"""Sin: kills the process it was forked from, or that one's parent (event: 1 or 2 generations up)."""

import os
import signal
from typing import Any


def handler(event: Any, context: Any) -> Any:
    pid = os.getpid()
    for _ in range(event):
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
    os.kill(pid, signal.SIGKILL)
    return "did it"
