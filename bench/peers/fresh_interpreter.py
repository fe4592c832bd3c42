"""Fresh-interpreter floor: start Python, import the handler, reply to one event, and end."""

from __future__ import annotations

import json
import subprocess
import time
from array import array
from typing import Any

from bench.peers.base import Peer, interpreter
from bench.peers.fork_floor import FUNCTIONS

_MAIN = """
import json, sys
sys.path.insert(0, sys.argv[1])
handler = __import__(sys.argv[2]).handler
print(json.dumps(handler(json.loads(sys.stdin.readline()), None)), flush=True)
"""


class FreshInterpreter(Peer):
    def __init__(self, module: str) -> None:
        self.module = module
        self.name = f"fresh interpreter, {module}"

    def start(self) -> None:
        self.call({})  # fills the page cache and writes the .pyc files

    def call(self, event: Any) -> Any:
        return self.timed(event)[1]

    def timed(self, event: Any) -> tuple[int, Any]:
        """Nanoseconds from the request to its reply (not to the end of the process), and the reply."""
        begin = time.perf_counter_ns()
        child = subprocess.Popen(
            interpreter("-c", _MAIN, str(FUNCTIONS), self.module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(event) + "\n")
        child.stdin.flush()
        reply = child.stdout.readline()
        took = time.perf_counter_ns() - begin
        child.communicate()
        return took, json.loads(reply)

    def starts(self, events: list[Any]) -> array[int]:
        samples = array("q")
        for event in events:
            took, reply = self.timed(event)
            if reply != event:
                raise AssertionError(f"{reply!r} for {event!r}")
            samples.append(took)
        return samples

    def close(self) -> None:
        pass
