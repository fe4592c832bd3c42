"""python -m bench.metrics: an invocation over HTTP with metrics and without: one server's CPU time and the rate, in
turns; and the instructions that tallying an outcome takes, counted by callgrind where there is valgrind."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from served import ECHO, ROLE, RUNTIME, Served, zipped

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
ROUNDS, CALLS, THREADS = 40, 1_500, 4
TALLY = """
import sys
from engine.observe.functions import FunctionMetrics
from engine.observe.lines import LogFormat
from engine.observe.metrics import Metrics
from engine.observe.outcomes import OutcomeBatch
from engine.observe.records import DeploymentInfo, InvocationRecord

info = DeploymentInfo("r", "a", "", "", "f", "arn", "$LATEST", 128, "", "", LogFormat())
records = [InvocationRecord(str(n), 6.03e6 + n, 9_000 + 7 * n, 0) for n in range(100)]
measured = FunctionMetrics(Metrics())
for _ in range(int(sys.argv[1])):
    measured(OutcomeBatch(info, records, []))
"""
BATCH, FEW, MANY = 100, 10, 1_010  # outcomes; batches of two runs, whose difference excludes the start


def cpu(pid: int) -> float:
    """Seconds, of the process's threads and not of its children: the scheduler counts in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in tasks) / 1e9


def instructions() -> float:
    """Of the tally, for each outcome of a batch."""

    def counted(batches: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            command = [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={out}",
                sys.executable,
                "-c",
                TALLY,
            ]
            subprocess.run([*command, str(batches)], check=True, capture_output=True, timeout=600,
                           env={**os.environ, "PYTHONHASHSEED": "0"})
            (total,) = [
                line for line in out.read_text().splitlines() if line.startswith(("summary:", "totals:"))
            ][:1]
            return int(total.split()[1])

    return (counted(MANY) - counted(FEW)) / (MANY - FEW) / BATCH


def calls(server: Served, number: int) -> None:
    at = urlsplit(server.url)

    def run() -> None:
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
        for _ in range(number // THREADS):
            connection.request("POST", "/2015-03-31/functions/f/invocations", b"{}")
            assert connection.getresponse().read() == b"{}"
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    took: dict[bool, list[float]] = {True: [], False: []}
    rates: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        server = Served(Path(folder) / "state", program=("-c", TOGGLED))
        server.client().create_function(
            FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
            Code={"ZipFile": zipped(**{"app.py": ECHO})},
        )  # fmt: skip
        cloudwatch, pid = server.client("cloudwatch"), server.process.pid
        calls(server, CALLS)
        for turn in range(2 * ROUNDS):
            on = turn % 4 in (0, 3)  # on, off, off, on: what drifts does so for both
            before, began = cpu(pid), time.perf_counter()
            calls(server, CALLS)
            rates[on].append(CALLS / (time.perf_counter() - began))
            cloudwatch.list_metrics(Namespace="none")  # what was counted goes to the disk within the round
            took[on].append((cpu(pid) - before) / CALLS * 1e6)
            if turn % 2 == 0:
                server.process.send_signal(signal.SIGUSR1)
        server.stop()
    for on, found in took.items():
        name, low, high = "with metrics" if on else "without", min(found), max(found)
        print(f"{name}: {statistics.median(found):.2f} µs of CPU an invocation ({low:.2f} to {high:.2f})")
    ratios = [on / off for on, off in zip(took[True], took[False], strict=True)]
    print(
        f"with metrics / without: {statistics.median(ratios):.3f} (median of {ROUNDS} rounds of {CALLS} invocations)"
    )
    faster = [on / off for on, off in zip(rates[True], rates[False], strict=True)]
    rate = statistics.median(rates[False])
    print(f"rate with metrics / without: {statistics.median(faster):.3f} ({rate:.0f}/s without)")
    if shutil.which("valgrind") is None:
        print("instructions not counted: there is no valgrind (apt-get install valgrind)")
    else:
        print(f"tally: {instructions():.0f} instructions an outcome, in batches of {BATCH} (callgrind)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
