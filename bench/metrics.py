"""python -m bench.metrics: an invocation over HTTP with metrics and without. One server's CPU time and rate, in turns
of a moment; what it takes to put the metrics on the disk, which it does every few seconds; and the instructions of a
count and of an invocation's whole way through the server, by callgrind where there is valgrind."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from served import ECHO, ROLE, RUNTIME, Served, zipped

from engine.load.generate.http_client import Client, HttpResponse
from engine.observe.outcomes import FLUSH_SECONDS
from engine.services.cloudwatch.keeper import FLUSH

TOGGLED = """
import signal, sys
from engine.observe.functions import FunctionMetrics

on, call, sampled = True, FunctionMetrics.__call__, FunctionMetrics.sampled

def toggle(*_):
    global on
    on = not on

FunctionMetrics.__call__ = lambda self, batch: call(self, batch) if on else None
FunctionMetrics.sampled = lambda self, *what: sampled(self, *what) if on else None
signal.signal(signal.SIGUSR1, toggle)
from engine.cli.main import main
sys.exit(main())
"""
# valgrind has no pidfd_open: the server opens that of itself only, which it is given.
UNDER_VALGRIND = """
import os
fd = int(os.environ.pop("PIDFD"))
os.pidfd_open = lambda pid: os.dup(fd)
from engine.cli.main import main
main()
"""
VALGRIND = """#!{python}
import os, sys
fd = os.pidfd_open(os.getpid())
os.set_inheritable(fd, True)
os.environ |= {{"PIDFD": str(fd), "PYTHONHASHSEED": "0"}}
os.execvp("valgrind", ["valgrind", "--tool=callgrind", "--callgrind-out-file={out}", "{python}", *sys.argv[1:]])
"""
ROUNDS, CALLS, AT_ONCE = 150, 1_000, 8
FLUSHES = 20
TALLY = """
import struct, sys
from engine.observe.functions import FunctionMetrics
from engine.observe.lines import LogFormat
from engine.observe.metrics import Metrics
from engine.observe.outcomes import OutcomeBatch, QuietOnes
from engine.observe.records import DeploymentInfo

info = DeploymentInfo("r", "a", "", "", "f", "arn", "$LATEST", 128, "", "", LogFormat())
quiet = QuietOnes(b"", b"".join(struct.pack("qq", 6_030_000_000 + 1_000 * n, 9_000 + 7 * n) for n in range(100)))
measured = FunctionMetrics(Metrics())
for _ in range(int(sys.argv[1])):
    measured(OutcomeBatch(info, [], [], quiet=[quiet]))
"""
BATCH, FEW, MANY = 100, 10, 1_010  # outcomes; batches of two runs, whose difference excludes the start
DUMPS, COUNTED = 5, 400  # of callgrind's counts, each after so many invocations


def cpu(pid: int) -> float:
    """Seconds, of the process's threads and not of its children: the scheduler counts in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in tasks) / 1e9


def total(out: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def instructions_of_a_count() -> float:
    """For each outcome of a batch."""

    def counted(batches: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out")
            command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable]
            subprocess.run(
                [*command, "-c", TALLY, str(batches)],
                check=True, capture_output=True, timeout=600, env={**os.environ, "PYTHONHASHSEED": "0"},
            )  # fmt: skip
            return total(out)

    return (counted(MANY) - counted(FEW)) / (MANY - FEW) / BATCH


def instructions_of_an_invocation() -> float:
    """Of the server's process, from the request to the response, with metrics."""
    with tempfile.TemporaryDirectory() as folder:
        out, program = Path(folder, "out"), Path(folder, "python")
        program.write_text(VALGRIND.format(python=sys.executable, out=out))
        program.chmod(0o755)
        server = Served(Path(folder, "state"), program=("-c", UNDER_VALGRIND), python=str(program))
        create(server)
        found = []
        for dump in range(1, DUMPS + 1):
            uvloop.run(calls(server.url, COUNTED))
            subprocess.run(
                ["callgrind_control", "--dump", str(server.process.pid)], check=True, capture_output=True
            )
            found.append(total(Path(f"{out}.{dump}")) / COUNTED)
        server.stop()
    return statistics.median(found[1:])  # the first has the start


def create(server: Served) -> None:
    server.client().create_function(
        FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": zipped(**{"app.py": ECHO})},
    )  # fmt: skip
    uvloop.run(calls(server.url, 100))


async def calls(url: str, number: int) -> None:
    """So many, a few at once. Raises RuntimeError."""
    client = Client(url)
    head = client.request("POST", "/2015-03-31/functions/f/invocations", {})
    ended = asyncio.get_running_loop().create_future()
    left, begun = number, 0

    def done(response: HttpResponse | str) -> None:
        nonlocal left
        left -= 1
        if (isinstance(response, str) or response.body != b"{}") and not ended.done():
            ended.set_exception(RuntimeError(str(response)))
        elif begun < number:
            send()
        elif left == 0 and not ended.done():
            ended.set_result(None)

    def send() -> None:
        nonlocal begun
        begun += 1
        client.send(head, b"{}", done)

    for _ in range(min(AT_ONCE, number)):
        send()
    await ended
    await client.close()


def in_turns(server: Served, rounds: int, measured: Callable[[bool], None]) -> None:
    """On, off, off, on: what drifts does so for both. The server begins and ends with metrics on."""
    for turn in range(2 * rounds):
        measured(turn % 4 in (0, 3))
        if turn % 2 == 0:
            server.process.send_signal(signal.SIGUSR1)


def main() -> int:
    took: dict[bool, list[float]] = {True: [], False: []}
    rates: dict[bool, list[float]] = {True: [], False: []}
    flushes: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        server = Served(Path(folder) / "state", program=("-c", TOGGLED))
        create(server)
        cloudwatch, pid = server.client("cloudwatch"), server.process.pid

        def turn(on: bool) -> None:
            before, began = cpu(pid), time.perf_counter()
            uvloop.run(calls(server.url, CALLS))
            rates[on].append(CALLS / (time.perf_counter() - began))
            time.sleep(2 * FLUSH_SECONDS)  # the last outcomes are counted within the round
            took[on].append((cpu(pid) - before) / CALLS * 1e6)

        def flush(on: bool) -> None:
            uvloop.run(calls(server.url, CALLS))
            time.sleep(2 * FLUSH_SECONDS)
            before = cpu(pid)
            cloudwatch.list_metrics(Namespace="none")  # what was counted goes to the disk for it
            flushes[on].append(cpu(pid) - before)

        in_turns(server, ROUNDS, turn)
        in_turns(server, FLUSHES, flush)
        server.stop()
    for on, found in took.items():
        name, quarters = "with metrics" if on else "without", statistics.quantiles(found, n=4)
        print(
            f"{name}: {quarters[1]:.2f} µs of CPU an invocation (quartiles {quarters[0]:.2f}, {quarters[2]:.2f})"
        )
    ratios = statistics.quantiles([on / off for on, off in zip(took[True], took[False], strict=True)], n=4)
    each = f"of {ROUNDS} rounds of {CALLS} invocations"
    print(
        f"CPU with metrics / without: {ratios[1]:.3f} (median {each}; quartiles {ratios[0]:.3f}, {ratios[2]:.3f})"
    )
    faster = statistics.quantiles([on / off for on, off in zip(rates[True], rates[False], strict=True)], n=4)
    rate = statistics.median(rates[False])
    print(
        f"rate with metrics / without: {faster[1]:.3f} (quartiles {faster[0]:.3f}, {faster[2]:.3f}; "
        f"{rate:,.0f}/s without)"
    )
    more = statistics.median(flushes[True]) - statistics.median(flushes[False])
    print(f"to the disk: {more * 1e3:.2f} ms of CPU, each {FLUSH:.0f} s: {more / FLUSH:.2%} of a core")
    if shutil.which("valgrind") is None:
        print("instructions not counted: there is no valgrind (apt-get install valgrind)")
        return 0
    count, whole = instructions_of_a_count(), instructions_of_an_invocation()
    print(
        f"instructions (callgrind): {count:,.0f} to count an outcome, in batches of {BATCH}; {whole:,.0f} of an "
        f"invocation in the server: {count / whole:.1%}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
