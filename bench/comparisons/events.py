"""Accepted events: how many a second are taken and run, beside Redis Streams and SQLite alone."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from array import array
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.harness import Effort, Series, WrongResult, interleave
from bench.http_cost import cpu_ns
from bench.machine import resident_bytes
from bench.peers.http import INVOKE, ROOT, VENVS, HttpPeer, closed_loop, free_port
from bench.peers.logs import RawSqlite, RedisStreams
from bench.report import Figure, Outcome, duration, mib, rate
from engine.hosting.archives import pack

COMMAND = "python -m bench.run --only events"
MANY = 64  # in flight at a time
VALUE = json.dumps({"message": "x" * 1009}, separators=(",", ":")).encode()  # 1 KB with its frame
QUEUED, THROTTLED, IDLE = 100_000, 300, 200
WORK = 0.005  # seconds that each of the throttled takes
SOURCE = """
import os, time
def handler(event, context):
    if "note" in event:
        with open(event["note"], "a") as file: file.write("%d\\n" % time.monotonic_ns())
    while "until" in event and not os.path.exists(event["until"]): time.sleep(0.01)
    if "seconds" in event: time.sleep(event["seconds"])
"""


class Queueing(HttpPeer):
    """stoker serve, with functions whose events wait until they are let go."""

    name = "Stoker"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir()
        self.folder = folder
        self.gate = folder / "gate"
        self.port = free_port()

    def start(self) -> None:
        command = [sys.executable, "-m", "engine.cli", "serve", "--port", str(self.port)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
        self.process = subprocess.Popen(
            [*command, "--share", str(self.folder), "--state", str(self.folder / "state")], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._until_up()

    def create(self, *names: str) -> None:
        config = Config(retries={"max_attempts": 0}, read_timeout=120)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        self.api: Any = boto3.client(
            "lambda", endpoint_url=f"http://127.0.0.1:{self.port}", config=config, **keys
        )
        (self.folder / "app.py").write_text(SOURCE)
        runtime = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        for name in names:
            self.api.create_function(
                FunctionName=name, Runtime=runtime, Role="arn:aws:iam::000000000000:role/r", Timeout=900,
                Handler="app.handler", Code={"ZipFile": pack(self.folder / "app.py")},
            )  # fmt: skip
            self.api.get_waiter("function_active_v2").wait(FunctionName=name)

    def send(self, name: str, event: Any) -> None:
        self.api.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))

    def post(self, name: str, event: Any) -> None:
        """As an event, by a client that costs little: it shares the cores with the server."""
        body = json.dumps(event)
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("POST", INVOKE.format(name=name), body, {"X-Amz-Invocation-Type": "Event"})
            if connection.getresponse().status != 202:
                raise WrongResult(f"an event of {name} was not accepted")

    def hold(self, name: str) -> None:
        """One of it runs until there is the gate; it may have no other."""
        note = self.folder / f"held-{name}"
        self.api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
        self.send(name, {"note": str(note), "until": str(self.gate)})
        while not note.exists():
            time.sleep(0.01)

    def accept(self, name: str, value: bytes, seconds: float, most: int = 0) -> Series:
        head = (
            f"POST {INVOKE.format(name=name)} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"x-amz-invocation-type: Event\r\ncontent-length: {len(value)}\r\n\r\n"
        ).encode()
        return closed_loop(self.name, self.port, head + value, b"", MANY, seconds, most)

    def invocations(self) -> int:
        return int(json.loads(self.request("GET", "/_stoker/health", None))["invocations"])

    def resident(self) -> int:
        assert self.process is not None
        return resident_bytes([self.process.pid])

    def cpu(self) -> int:
        """Nanoseconds that its process has had."""
        assert self.process is not None
        return cpu_ns(self.process.pid)

    def restart(self) -> float:
        """Killed, and begun again: seconds until it answers."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        begin = time.perf_counter()
        self.start()
        while True:
            try:
                self.invocations()
                return time.perf_counter() - begin
            except (TimeoutError, OSError):
                time.sleep(0.01)


def events(effort: Effort) -> Outcome:
    """Into a function that runs none of them, so that only accepting is measured; then all of them run."""
    out = Outcome()
    rounds, seconds = min(effort.rounds, 7), 2.0 if effort.rounds > 5 else 1.0
    folder = VENVS / f"events-{os.getpid()}"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        redis = stack.enter_context(closing(RedisStreams(folder / "redis")))
        raw = stack.enter_context(closing(RawSqlite(folder / "raw")))
        begin = time.perf_counter()
        ours = stack.enter_context(Queueing(folder / "ours"))
        empty = time.perf_counter() - begin
        ours.create("bulk", "idle", "throttled")
        ours.hold("bulk")
        ours.accept("bulk", VALUE, 60, 2_000)
        resident, queued = ours.resident(), 2_000
        costs: list[float] = []

        def accept() -> Series:
            nonlocal queued
            cpu = ours.cpu()
            series = ours.accept("bulk", VALUE, seconds)
            costs.append((ours.cpu() - cpu) / 1e3 / series.count)
            queued += series.count
            return series

        accepted = interleave(
            f"events of 1 KB, {MANY} in flight", rounds,
            {
                ours.name: accept,
                redis.name: lambda: redis.put(VALUE, MANY, seconds),
                raw.name: lambda: raw.put(VALUE, MANY, seconds),
            },
        )  # fmt: skip
        if queued < QUEUED:
            queued += ours.accept("bulk", VALUE, 300, QUEUED - queued).count
        grown = ours.resident() - resident
        again = ours.restart()
        took, starts = _run(ours, queued)
        drained = Series(array("q"), queued, int(took * 1e9))
        run = interleave(
            "events of 1 KB, run", 1, {ours.name: lambda: drained, redis.name: lambda: redis.drain(MANY)}
        )
        alone = _throttled(ours)
    out.comparisons += [accepted, run]
    for peer, target in ((redis.name, 1.0), (raw.name, 0.5)):
        out.figures.append(
            Figure(f"Events accepted/s over HTTP vs {peer}", rate(accepted.median(ours.name, "rate")),
                   rate(accepted.median(peer, "rate")), accepted.ratio(ours.name, peer, "rate"), target, "high",
                   COMMAND, "20,000/s")
        )  # fmt: skip
    out.figures.append(
        Figure(f"Events run and settled/s vs {redis.name}: read, acknowledged, deleted",
               rate(run.median(ours.name, "rate")), rate(run.median(redis.name, "rate")),
               run.ratio(ours.name, redis.name, "rate"), None, "high", COMMAND)
    )  # fmt: skip
    starts.sort()
    out.notes += [
        f"accepted, {MANY} in flight: p50 {duration(accepted.median(ours.name))}; an event took "
        f"{statistics.median(costs):.1f} µs of CPU of the server's process",
        f"{queued:,} events of 1 KB wait: memory grown by {mib(grown)}, a restart after SIGKILL {again:.2f} s, "
        f"where an empty server's start took {empty:.2f} s",
        f"an idle function's event while they run, from its Invoke to its start: p50 "
        f"{duration(starts[len(starts) // 2])}, p99 {duration(starts[int(len(starts) * 0.99)])} of {len(starts)}",
        f"{THROTTLED} events of {WORK * 1e3:.0f} ms at a reserved concurrency of 1: {alone:.2f} s",
    ]
    return out


def _run(ours: Queueing, queued: int) -> tuple[float, list[float]]:
    """Let all of them go: seconds until they have run, and the nanoseconds until an idle function's events began."""
    starts: list[float] = []
    note = ours.folder / "starts"
    ours.api.invoke(FunctionName="idle", Payload="{}")  # its worker is up, and idle
    begin, before = time.perf_counter(), ours.invocations()
    ours.gate.touch()
    ours.api.delete_function_concurrency(FunctionName="bulk")
    while (ran := ours.invocations() - before) < queued:
        if queued - ran > queued / 20 and len(starts) < IDLE:
            sent = time.monotonic_ns()
            ours.post("idle", {"note": str(note)})
            while not note.exists() or not (text := note.read_text()).endswith("\n"):
                time.sleep(0.0005)
            starts.append(float(int(text) - sent))
            note.unlink()
        else:
            time.sleep(0.01)
    return time.perf_counter() - begin, starts


def _throttled(ours: Queueing) -> float:
    """Seconds that as many events take as are one at a time."""
    ours.gate.unlink()
    ours.hold("throttled")
    ours.accept("throttled", json.dumps({"seconds": WORK}).encode(), 60, THROTTLED)
    before = ours.invocations()
    ours.gate.touch()
    begin = time.perf_counter()
    while ours.invocations() - before < THROTTLED + 1:
        time.sleep(0.005)
    return time.perf_counter() - begin
