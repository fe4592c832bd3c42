"""Sin: forks without end, its children too (event: a session for each?, a file to count in, how many at most)."""

import mmap
import os
import signal
from typing import Any


def handler(event: Any, context: Any) -> Any:
    sessions, path, most = event
    with open(path, "w+b") as file:
        file.truncate(8)
        count = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    while True:
        if count[0] >= most:  # a test that fails must not take the machine with it
            signal.pause()
        count[0] += 1
        if not os.fork() and sessions:
            os.setsid()
