"""Many functions deployed: what a thousand cost the server and its clients."""

from __future__ import annotations

import http.client
import json
import os
import time
from array import array
from contextlib import ExitStack
from pathlib import Path

from bench.harness import Effort, Ratio, Series, interleave
from bench.peers.http import EVENT, INVOKE, Served
from bench.report import Figure, Outcome, duration

COMMAND = "python -m bench.run --only catalog"
FEW, MANY = 10, 1000
CALLS = 200
REQUESTS = {
    "list": ("GET", "/2015-03-31/functions?MaxItems=10", None),
    "get": ("GET", "/2015-03-31/functions/f-5", None),
    "invoke": ("POST", INVOKE.format(name="f-5"), EVENT),
}


class Crowd(Served):
    """A server with this many functions."""

    def __init__(self, functions: int) -> None:
        super().__init__()
        self.name = f"{functions} functions"
        self.functions = functions

    def prepare(self) -> None:
        for number in range(self.functions):
            self.deploy(f"f-{number}")
        self.deploy("echo")

    def calls(self, what: str) -> Series:
        method, path, body = REQUESTS[what]
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        samples = array("q")
        for _ in range(CALLS):
            begin = time.perf_counter_ns()
            connection.request(method, path, body)
            response = connection.getresponse()
            data = response.read()
            samples.append(time.perf_counter_ns() - begin)
            assert response.status == 200, data
        connection.close()
        return Series(samples, CALLS, sum(samples))

    def resident(self) -> int:
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def restart(self) -> float:
        """Seconds from the start of a process to its first response."""
        state, kept = self.state, f"{self.state}-kept"
        os.rename(state, kept)
        super().close()
        os.rename(kept, state)
        begin = time.perf_counter()
        self.start_again()
        return time.perf_counter() - begin

    def start_again(self) -> None:
        prepare, self.prepare = self.prepare, lambda: None  # type: ignore[method-assign]
        try:
            self.start()
        finally:
            self.prepare = prepare  # type: ignore[method-assign]

    def ready(self) -> None:
        assert json.loads(self.request("GET", "/2015-03-31/functions/f-5", None))


def catalog(effort: Effort) -> Outcome:
    """list, get and invoke with ten functions and with a thousand; a restart; memory."""
    rounds = min(effort.rounds, 7)
    with ExitStack() as stack:
        few, many = Crowd(FEW), Crowd(MANY)
        stack.enter_context(few)
        begin = time.perf_counter()
        stack.enter_context(many)
        deployed = time.perf_counter() - begin
        comparisons = {
            what: interleave(
                f"catalog-{what}",
                rounds,
                {few.name: lambda w=what: few.calls(w), many.name: lambda w=what: many.calls(w)},
            )
            for what in REQUESTS
        }
        each = (many.resident() - few.resident()) / (MANY - FEW)
        seconds = many.restart()
        many.ready()
        figures = [
            Figure(
                f"{what} with {MANY} functions vs with {FEW}, p50",
                duration(c.median(many.name)), duration(c.median(few.name)),
                c.ratio(many.name, few.name, want="low"), 1.3, "low", COMMAND,
            )
            for what, c in comparisons.items()
        ]  # fmt: skip
        share = seconds / 3.0
        figures.append(
            Figure(f"restart with {MANY} functions", duration(seconds * 1e9), "3 s",
                   Ratio([share], share, share, share), 1.0, "low", COMMAND)
        )  # fmt: skip
    return Outcome(
        list(comparisons.values()),
        figures,
        [
            f"memory of a server per idle function deployed: {each / 1024:.1f} KiB",
            f"{MANY} functions deployed one after the other: {deployed:.1f} s",
        ],
    )
