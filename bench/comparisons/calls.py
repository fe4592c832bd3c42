"""Functions that call functions: by the lane in an embedded engine, by the Unix socket in a server."""

from __future__ import annotations

import http.client
import json
from array import array
from collections.abc import Iterable
from contextlib import ExitStack, closing

from bench.functions.calling import calls as requests
from bench.harness import Comparison, Effort, Series, interleave, make_events, time_calls
from bench.peers.http import EVENT, INVOKE, Served
from bench.report import Figure, Outcome, latency
from bench.subject import FUNCTIONS, Stoker, options

COMMAND = "python -m bench.run --only calls"
INSIDE, OUTSIDE = "context.invoke in a handler", "Function.invoke outside"
BY_SOCKET, BY_TCP = "from a function, by the socket", "from outside, by TCP"


def series(samples: Iterable[int]) -> Series:
    made = array("q", samples)
    return Series(made, len(made), sum(made))


class Calling(Served):
    """A server with echo, and a function that calls it."""

    def prepare(self) -> None:
        super().prepare()
        self.deploy("calling", (FUNCTIONS / "calling.py").read_text(), "app.by_socket")

    def outside(self, number: int) -> Series:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port)) as connection:
            return series(requests(connection, self.path, EVENT, number))

    def inside(self, number: int) -> Series:
        event = {"path": self.path, "body": EVENT.decode(), "calls": number}
        return series(
            json.loads(self.request("POST", INVOKE.format(name="calling"), json.dumps(event).encode()))
        )


def calls(effort: Effort) -> Outcome:
    """The callee is echo, and the caller waits for nothing else; both ways in turn."""
    number = effort.calls // 5
    events = make_events(number)
    with ExitStack() as stack:
        stoker, served = Stoker(), Calling()
        stack.enter_context(stoker)
        echo = stoker.function.name
        caller = stoker.engine.function("calling:by_lane", name="calling", **options())

        def inside(count: int = number) -> Series:
            return series(caller.invoke({"name": echo, "calls": count}))

        inside(effort.warmup // 5)
        embedded = interleave(
            "calls by the lane", effort.rounds,
            {OUTSIDE: lambda: time_calls(stoker.call, events, warmup=effort.warmup // 5), INSIDE: inside},
        )  # fmt: skip
        stoker.close()
        stack.enter_context(served)
        few = min(number, 1000)
        served.inside(few)
        http_ = interleave(
            "calls over HTTP", min(effort.rounds, 7),
            {BY_TCP: lambda: served.outside(few), BY_SOCKET: lambda: served.inside(few)},
        )  # fmt: skip

    def figure(
        name: str, comparison: Comparison, ours: str, theirs: str, target: float | None, aim: str = ""
    ) -> Figure:
        ratio = comparison.ratio(ours, theirs, want="low")
        return Figure(
            name, latency(comparison, ours), latency(comparison, theirs), ratio, target, "low", COMMAND, aim
        )

    return Outcome(
        [embedded, http_],
        [
            figure(
                "context.invoke p50 vs Function.invoke from outside", embedded, INSIDE, OUTSIDE, None, "3x"
            ),
            figure("Invoke p50 from a function vs from outside", http_, BY_SOCKET, BY_TCP, 1.5),
        ],
    )
