"""`stoker serve --workers 2` beside one process: requests a second of handlers that take 200 us, at many connections.

python -m bench.workers [--seconds S] [--rounds N] [--connections N] [--processes N]. Handlers: `busy` computes for
200 us, `sleeping` waits for as long, `echo` returns. Servers take turns within each round; ratios are of their best.

Where cores are few, the handlers' processes and the client take what the loops would need, and the rate says little
about many: so there is what a loop spends a request, too. `bound`: the rate at which the busiest process's loop would
have no time left, which is what bounds a server that has cores enough; it is counted in CPU time of that thread.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.http_cost import cpu_ns
from bench.peers.http import INVOKE, Served

SECONDS = 200e-6
HANDLERS = {
    "busy": f"from time import perf_counter\ndef handler(event, context):\n    end = perf_counter() + {SECONDS}\n"
    "    while perf_counter() < end: pass\n    return event\n",
    "sleeping": f"from time import sleep\ndef handler(event, context):\n    sleep({SECONDS})\n    return event\n",
    "echo": "def handler(event, context):\n    return event\n",
}


class Several(Served):
    """stoker serve --workers N."""

    def __init__(self, processes: int) -> None:
        super().__init__()
        self.processes = processes
        self.name = f"--workers {processes}"

    def command(self) -> list[Any]:
        return [*super().command(), "--workers", self.processes]

    def prepare(self) -> None:
        super().prepare()
        for name, source in HANDLERS.items():
            if name != "echo":
                self.deploy(name, source)

    def pids(self) -> list[int]:
        """Of the processes that accept: the first one, and those that are its children and import acceptors."""
        assert self.process is not None
        return [self.process.pid, *acceptors(self.process.pid)]


def acceptors(pid: int) -> list[int]:
    """The accepting processes that a server has started."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"http.acceptors" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


class Measured(NamedTuple):
    """rate: requests a second; p99: us; loops: CPU us a request of each process's loop; cpu: of all their threads."""

    rate: float
    p99: float
    loops: list[float]
    cpu: float

    @property
    def bound(self) -> float:
        return 1e6 / max(self.loops)


def loop_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


def measure(server: Several, handler: str, connections: int, seconds: float) -> Measured:
    server.path = INVOKE.format(name=handler)
    server.load(connections, seconds / 4)  # environments are there
    pids = server.pids()
    before = [loop_ns(pid) for pid in pids], sum(map(cpu_ns, pids))
    series = server.load(connections, seconds)
    n = series.count
    loops = [(loop_ns(pid) - was) / 1e3 / n for pid, was in zip(pids, before[0], strict=True)]
    cpu = (sum(map(cpu_ns, pids)) - before[1]) / 1e3 / n
    return Measured(n / (series.elapsed_ns / 1e9), series.quantile(0.99) / 1e3, loops, cpu)


def rounds(arguments: argparse.Namespace) -> Iterator[tuple[str, int, Measured]]:
    counts = (1, arguments.processes)
    with contextlib.ExitStack() as stack:
        servers = [Several(each) for each in counts]
        for server in servers:
            stack.enter_context(server)
        for _ in range(arguments.rounds):
            for handler in HANDLERS:
                for server in servers:
                    got = measure(server, handler, arguments.connections, arguments.seconds)
                    yield handler, server.processes, got


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    found: dict[tuple[str, int], list[Measured]] = {}
    for handler, processes, got in rounds(arguments):
        found.setdefault((handler, processes), []).append(got)
        loops = ", ".join(f"{each:.1f}" for each in got.loops)
        print(
            f"{handler:9} --workers {processes}: {got.rate:8,.0f}/s  p99 {got.p99:7,.0f} us  loops {loops} us a "
            f"request, bound {got.bound:8,.0f}/s, all threads {got.cpu:.1f} us",
            flush=True,
        )
    for handler in HANDLERS:
        one, more = (found[handler, each] for each in (1, arguments.processes))
        rate = max(each.rate for each in more) / max(each.rate for each in one)
        bound = max(each.bound for each in more) / max(each.bound for each in one)
        print(f"{handler:9} rate {rate:.2f} times one process's, bound {bound:.2f} times")


if __name__ == "__main__":
    main()
