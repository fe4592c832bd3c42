"""Sin: is killed with SIGKILL while it runs (event: a file to note the attempt in, or nothing)."""

import os
import signal
from typing import Any


def handler(event: Any, context: Any) -> Any:
    if event:
        with open(event, "a") as file:
            file.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)
