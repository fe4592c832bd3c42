"""python -m bench.metrics: an invocation over HTTP with metrics and without: the server's CPU time and the rate, in
turns; and the instructions that tallying an outcome takes, counted by callgrind where there is valgrind."""

from __future__ import annotations

import http.client
import shutil
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

OFF = """
import sys
from engine.http import server
from engine.observe.functions import FunctionMetrics

async def nothing(*_):
    pass

FunctionMetrics.__call__ = lambda self, batch: None
server.sample = nothing
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
records = [InvocationRecord(str(n), 6e6 + n, 9_000 + 7 * n, 0) for n in range(100)]
measured = FunctionMetrics(Metrics())
for _ in range(int(sys.argv[1])):
    measured(OutcomeBatch(info, records, []))
"""
BATCH, FEW, MANY = (
    100,
    10,
    110,
)  # outcomes of a batch; batches of the two runs, whose difference excludes the start


def cpu(pid: int) -> float:
    """Seconds, of the process's threads and not of its children: the scheduler counts in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in tasks) / 1e9


def started(folder: Path, *program: str) -> Served:
    server = Served(folder / "state", **({"program": program} if program else {}))
    server.client().create_function(
        FunctionName="f",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": zipped(**{"app.py": ECHO})},
    )
    return server


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
            subprocess.run([*command, str(batches)], check=True, capture_output=True, timeout=600)
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
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        servers = {"with metrics": started(Path(one)), "without": started(Path(other), "-c", OFF)}
        for server in servers.values():
            calls(server, CALLS)
        took: dict[str, list[float]] = {name: [] for name in servers}
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for turn in range(ROUNDS):
            for name, server in list(servers.items())[:: 1 if turn % 2 else -1]:
                before, began = cpu(server.process.pid), time.perf_counter()
                calls(server, CALLS)
                rates[name].append(CALLS / (time.perf_counter() - began))
                took[name].append((cpu(server.process.pid) - before) / CALLS * 1e6)
        for server in servers.values():
            server.stop()
    for name, found in took.items():
        low, high = min(found), max(found)
        print(f"{name}: {statistics.median(found):.2f} µs of CPU an invocation ({low:.2f} to {high:.2f})")
    ratios = [on / off for on, off in zip(took["with metrics"], took["without"], strict=True)]
    print(
        f"with metrics / without: {statistics.median(ratios):.3f} (median of {ROUNDS} rounds of {CALLS} invocations)"
    )
    faster = [on / off for on, off in zip(rates["with metrics"], rates["without"], strict=True)]
    print(
        f"rate with metrics / without: {statistics.median(faster):.3f} ({statistics.median(rates['without']):.0f}/s)"
    )
    if shutil.which("valgrind") is None:
        print("instructions not counted: there is no valgrind (apt-get install valgrind)")
    else:
        print(f"tally: {instructions():.0f} instructions an outcome, in batches of {BATCH} (callgrind)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
