"""Sin: makes its template's first forks fail (environment SIN_TIMES: how many, SIN_ERRNO: how; SIN_NOTE: a file)."""

import os
import time
from typing import Any

fork, left, number = os.fork, int(os.environ["SIN_TIMES"]), int(os.environ["SIN_ERRNO"])


def failing() -> int:
    global left
    with open(os.environ["SIN_NOTE"], "a") as file:
        file.write(f"{time.monotonic()}\n")
    if left:
        left -= 1
        raise OSError(number, os.strerror(number))
    return fork()


os.fork = failing


def handler(event: Any, context: Any) -> Any:
    return event
