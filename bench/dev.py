"""From the write of a file to the first response of the new code, under `stoker dev`: of a function that imports
nothing, and of one that imports much, against what its import takes; and saves while other clients invoke it.

    python -m bench.dev
    python -m bench.dev --saves 500 --clients 4 --only load
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATH = "/2015-03-31/functions/{}/invocations"
RUNTIME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
TEMPLATE = f"""\
Transform: AWS::Serverless-2016-10-31
Globals: {{Function: {{Runtime: {RUNTIME}, Timeout: 60, MemorySize: 512, Handler: app.handler}}}}
Resources:
  Bare: {{Type: AWS::Serverless::Function, Properties: {{FunctionName: bare, CodeUri: bare}}}}
  Heavy: {{Type: AWS::Serverless::Function, Properties: {{FunctionName: heavy, CodeUri: heavy}}}}
"""
IMPORTS = {
    "bare": "",
    "heavy": "import boto3\nimport numpy\nfrom aws_lambda_powertools import Logger, Tracer\n",
}
HANDLER = "def handler(event, context):\n    return {}\n"
MOST_SECONDS = 30.0  # that a save may take


class Failed(Exception):
    """It did not come up, or a save did not become live."""


class Client:
    """One connection to a server."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def invoke(self, name: str) -> tuple[str, str]:
        """The response, and what went wrong ("": nothing)."""
        self._connection.request("POST", PATH.format(name), b"{}")
        response = self._connection.getresponse()
        body = response.read().decode()
        wrong = response.status != 200 or response.getheader("X-Amz-Function-Error") is not None
        return body, f"{response.status} {body[:200]}" if wrong else ""


@contextmanager
def project() -> Iterator[tuple[Path, int]]:
    """A folder under `stoker dev`, and its server's port."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build", ignore_cleanup_errors=True) as text:
        folder = Path(text)
        (folder / "template.yaml").write_text(TEMPLATE)
        for name in IMPORTS:
            (folder / name).mkdir()
            write(folder, name, "first")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "engine.cli", "dev", "template.yaml", "--stack", "bench"]
        with subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:  # fmt: skip
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("watching"):
                    break
            else:
                raise Failed("".join(lines))
            threading.Thread(target=process.stdout.read, daemon=True).start()
            try:
                yield folder, port
            except OSError:  # it has ended, and says why
                process.wait(10)
                raise
            finally:
                process.terminate()


def write(folder: Path, name: str, word: str) -> None:
    (folder / name / "app.py").write_text(IMPORTS[name] + HANDLER.format(repr(word)))


def saved(folder: Path, client: Client, name: str, word: str) -> float:
    """Seconds from the write to the first response of what was written."""
    wanted = json.dumps(word)
    began = time.perf_counter()
    write(folder, name, word)
    while True:
        body, wrong = client.invoke(name)
        took = time.perf_counter() - began
        if wrong or took > MOST_SECONDS:
            raise Failed(wrong or f"after {took:.0f} s it is still {body}")
        if body == wanted:
            return took


def own_import(folder: Path, name: str) -> float:
    """Seconds that its module takes to be imported, in a new interpreter each time."""
    code = "import time; began = time.perf_counter(); import app; print(time.perf_counter() - began)"
    times = [
        float(subprocess.check_output([sys.executable, "-B", "-c", code], cwd=folder / name)) for _ in range(9)
    ]  # fmt: skip
    return statistics.median(times)


def shown(what: str, times: list[float]) -> float:
    times = sorted(times)
    p50 = statistics.median(times)
    p90 = times[len(times) * 9 // 10]
    print(f"{what:<28} {len(times):>4} saves: p50 {p50 * 1e3:7.1f} ms   p90 {p90 * 1e3:7.1f} ms   "
          f"longest {times[-1] * 1e3:7.1f} ms", flush=True)  # fmt: skip
    return p50


def latency(folder: Path, port: int, name: str, saves: int) -> float:
    client = Client(port)
    for n in range(2):
        saved(folder, client, name, f"warm-up {n}")
    return shown(f"save to live, {name}", [saved(folder, client, name, f"{name} {n}") for n in range(saves)])


def load(folder: Path, port: int, saves: int, clients: int) -> None:
    """Saves, one after the other, while clients invoke the function without a pause."""
    ended = threading.Event()
    counts, wrongs = [0] * clients, []

    def work(n: int) -> None:
        client = Client(port)
        while not ended.is_set():
            _, wrong = client.invoke("bare")
            counts[n] += 1
            if wrong:
                wrongs.append(wrong)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    client = Client(port)
    began = time.perf_counter()
    times = [saved(folder, client, "bare", f"loaded {n}") for n in range(saves)]
    took = time.perf_counter() - began
    ended.set()
    for thread in threads:
        thread.join()
    shown(f"under load, {clients} clients", times)
    print(f"{sum(counts)} invocations beside them, {sum(counts) / took:,.0f} a second: {len(wrongs)} failed")
    for wrong in wrongs[:5]:
        print(f"  {wrong}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("bare", "heavy", "load"))
    parser.add_argument("--saves", type=int, default=500, help="under load (default: 500)")
    parser.add_argument("--clients", type=int, default=2, help="that make the load (default: 2)")
    parser.add_argument("--rounds", type=int, default=50, help="saves without it (default: 50)")
    options = parser.parse_args()
    with project() as (folder, port):
        if options.only in (None, "bare"):
            latency(folder, port, "bare", options.rounds)
        if options.only in (None, "heavy"):
            alone = own_import(folder, "heavy")
            p50 = latency(folder, port, "heavy", options.rounds)
            print(f"its import alone             p50 {alone * 1e3:7.1f} ms: {p50 / alone:.2f} times that")
        if options.only in (None, "load"):
            load(folder, port, options.saves, options.clients)


if __name__ == "__main__":
    main()
