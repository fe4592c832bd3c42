"""A bus: from PutEvents to the function's handler, and events a second to ten targets, beside moto's server.

python -m bench.bus [--events N] [--rounds N]. Latencies are of one event at a time, from before it is put until its
handler runs, by the machine's monotonic clock: over HTTP (durable: a server's events always are), and on an embedded
engine's bus, durable in a state directory and accepted in memory. Rates are of PutEvents with ten entries each over
four connections, on a bus whose ten rules have a queue each: how many events a second are accepted, and how many have
come to all ten queues. moto's server (MOTO_PYTHON says where; left out where there is none) has no functions without
Docker, and keeps everything in memory; of it, which has errors for several at once, one connection is measured.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.sqs import ROOT, free_port, running
from engine import Engine
from engine.hosting.archives import pack

TARGETS, BATCH, CONNECTIONS = 10, 10, 4
MOTO_EVENTS = 50  # it takes its time
PATIENCE = 120.0  # seconds
SOURCE = """
import time
def handler(event, context):
    now = time.monotonic_ns()
    event = event.get("detail", event)
    with open(event["note"], "a") as file:
        file.write("%d\\n" % (now - event["at"]))
"""


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("a delivery did not come")
        time.sleep(0.0005)


def latencies(put: Callable[[dict[str, Any]], object], note: Path, count: int) -> list[float]:
    """Milliseconds, sorted; the first ones, which start the function, left out."""
    note.touch()
    for n in range(count + 10):
        size = note.stat().st_size
        put({"at": time.monotonic_ns(), "note": str(note), "n": n})
        until(lambda size=size: note.stat().st_size > size)  # type: ignore[misc]
    return sorted(int(line) / 1e6 for line in note.read_text().splitlines()[10:])


class Bus:
    """EventBridge, by as little client as can be."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def put(self, *details: dict[str, Any]) -> None:
        entries = [{"Source": "bench", "DetailType": "d", "Detail": json.dumps(each)} for each in details]
        scope = "Credential=test/20260101/us-east-1/events/aws4_request, SignedHeaders=host, Signature=0"
        headers = {
            "X-Amz-Target": "AWSEvents.PutEvents", "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 {scope}",
        }  # fmt: skip
        self._connection.request("POST", "/", json.dumps({"Entries": entries}), headers)
        response = self._connection.getresponse()
        body = json.loads(response.read())
        if response.status != 200 or body["FailedEntryCount"]:
            raise RuntimeError(f"not accepted: {response.status} {body}")


def client(service: str, port: int) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    config = Config(retries={"max_attempts": 0}, read_timeout=120)
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", config=config, **keys)


def rates(port: int, connections: int, count: int) -> tuple[float, float]:
    """Events a second: accepted, and come to all queues."""
    sqs, events = client("sqs", port), client("events", port)
    urls, run = [], f"r{time.monotonic_ns()}"
    for n in range(TARGETS):
        url = sqs.create_queue(QueueName=f"{run}-{n}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["bench"], "detail": {"run": [run]}}
        events.put_rule(Name=f"{run}-{n}", EventPattern=json.dumps(pattern))
        events.put_targets(Rule=f"{run}-{n}", Targets=[{"Id": "q", "Arn": arn}])
        urls.append(url)

    def send(at: int) -> None:
        bus = Bus(port)
        for n in range(at, count // BATCH, connections):
            bus.put(*({"run": run, "n": n * BATCH + k} for k in range(BATCH)))

    def waiting(url: str) -> int:
        name = "ApproximateNumberOfMessages"
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(found["Attributes"][name])

    begin = time.perf_counter()
    with ThreadPoolExecutor(connections) as threads:
        list(threads.map(send, range(connections)))
    accepted = time.perf_counter() - begin
    until(lambda: all(waiting(url) >= count for url in urls))
    return count / accepted, count / (time.perf_counter() - begin)


def served(port: int, folder: Path) -> Callable[[dict[str, Any]], object]:
    """A function behind a rule; what puts an event for it."""
    (folder / "app.py").write_text(SOURCE)
    api, events = client("lambda", port), client("events", port)
    arn = api.create_function(
        FunctionName="timed", Runtime=f"python{sys.version_info[0]}.{sys.version_info[1]}", Handler="app.handler",
        Role="arn:aws:iam::000000000000:role/r", Code={"ZipFile": pack(folder / "app.py")},
    )["FunctionArn"]  # fmt: skip
    api.get_waiter("function_active_v2").wait(FunctionName="timed")
    events.put_rule(Name="timed", EventPattern='{"source": ["bench"], "detail": {"at": [{"exists": true}]}}')
    events.put_targets(Rule="timed", Targets=[{"Id": "f", "Arn": arn}])
    return Bus(port).put


def embedded(folder: Path, state: Path | None, count: int) -> list[float]:
    with Engine(state=state, logs=False) as engine:
        function = engine.function("app:handler", code=folder)
        engine.on({"at": [{"exists": True}]}, function)
        return latencies(engine.bus().put, folder / f"note-{state is None}-{time.monotonic_ns()}", count)


def shown(name: str, runs: list[list[float]]) -> None:
    p50, p99 = (statistics.median(run[len(run) * percent // 100] for run in runs) for percent in (50, 99))
    print(f"{name:<62} p50 {p50:8.2f} ms   p99 {p99:8.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1000, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count, found = options.events, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        command = [sys.executable, "-m", "engine.cli", "serve", "--port", str(port), "--state", f"{folder}/s"]
        with running([*command, "--share", name], port, folder):
            put = served(port, folder)
            runs = [latencies(put, folder / f"note{n}", count) for n in range(options.rounds)]
            shown("PutEvents over HTTP to the function's handler, durable", runs)
            found["stoker"] = [rates(port, CONNECTIONS, count) for _ in range(options.rounds)]
            found["stoker, 1 connection"] = [rates(port, 1, count) for _ in range(options.rounds)]
        for n in range(options.rounds):
            os.makedirs(folder / f"state{n}")
        durable = [embedded(folder, folder / f"state{n}", count) for n in range(options.rounds)]
        shown("engine.bus().put to the function's handler, durable", durable)
        memory = [embedded(folder, None, count) for _ in range(options.rounds)]
        shown("engine.bus().put to the function's handler, in memory", memory)
        moto = os.environ.get("MOTO_PYTHON") or str(ROOT / "build/clients/moto/bin/python")
        if Path(moto).exists():
            port = free_port()
            with running([moto, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port, folder):
                few = min(count, MOTO_EVENTS)
                found["moto's server, 1 connection"] = [rates(port, 1, few) for _ in range(options.rounds)]
    for name, each in found.items():
        accepted, come = (statistics.median(column) for column in zip(*each, strict=True))
        print(
            f"{name:<32} accepted {accepted:8,.0f} events/s   come to all {TARGETS} targets {come:8,.0f} events/s"
        )


if __name__ == "__main__":
    main()
