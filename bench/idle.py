"""Mappings that have nothing to do: what 50 of queues elsewhere cost, and 50 of streams, against moto's server.

The server's own CPU, and moto's beside it, over a time in which no record comes; a queue's long poll lasts 20 s, a
shard is read every three seconds by then. Moto closes each connection, so that each read has to make one. Its server is
the one that `make prepare` installs, or that of the Python which MOTO_PYTHON names.

python -m bench.idle [--mappings N] [--seconds S]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from engine.hosting.archives import pack
from engine.sources.streams.shard import QUIET

ROOT = Path(__file__).resolve().parents[1]
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
ACCOUNT = "123456789012"  # moto's
MOST = 2.0  # percent of a core that is aimed at


def started(
    command: list[str], pattern: str, log: Path, **variables: str
) -> tuple[subprocess.Popen[bytes], str]:
    """A server, and its URL. log: has its output, of which a pipe that nobody reads would have room for little."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), **variables}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=ROOT)
    while process.poll() is None:
        if found := re.search(pattern, log.read_text()):
            return process, found[1]
        time.sleep(0.05)
    raise SystemExit(f"{command[1:]} did not start")


def client(service: str, url: str) -> Any:
    return boto3.client(service, endpoint_url=url, config=Config(retries={"max_attempts": 3}), **KEYS)


def cpu(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def queue(url: str, name: str) -> str:
    """A new one's ARN."""
    client("sqs", url).create_queue(QueueName=name)
    return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"


def stream(url: str, name: str) -> str:
    """A new one's ARN, once it can be read."""
    kinesis = client("kinesis", url)
    kinesis.create_stream(StreamName=name, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    return f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{name}"


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.idle", description=__doc__)
    parser.add_argument("--mappings", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=45.0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    python = os.environ.get("MOTO_PYTHON") or str(ROOT / "build/clients/moto/bin/python")
    moto, behind = started(
        [python, "-m", "moto.server", "-p", "0"], r"Running on (http://127\S+)\s", folder / "moto"
    )
    serve = [sys.executable, "-m", "engine.cli", "serve", "--port", "0", "--state", str(folder / "state")]
    server, url = started(
        serve, r"(http://\S+)\s", folder / "log", AWS_ENDPOINT_URL_SQS=behind, AWS_ENDPOINT_URL_KINESIS=behind
    )
    try:
        functions = client("lambda", url)
        (folder / "app.py").write_text("def handler(event, context):\n    pass\n")
        functions.create_function(
            FunctionName="f", Runtime=f"python{sys.version_info[0]}.{sys.version_info[1]}", Handler="app.handler",
            Role="arn:aws:iam::000000000000:role/r", Code={"ZipFile": pack(folder / "app.py")},
        )  # fmt: skip
        functions.get_waiter("function_active_v2").wait(FunctionName="f")
        kept = True
        for service, made in (("queues", queue), ("streams", stream)):
            mappings = []
            for n in range(options.mappings):
                source = made(behind, f"s{n}")
                position = {} if ":sqs:" in source else {"StartingPosition": "LATEST"}
                mappings.append(
                    functions.create_event_source_mapping(FunctionName="f", EventSourceArn=source, **position)
                )
            time.sleep(QUIET + 2.0 if made is stream else 2.0)  # they poll as they do when nothing comes
            before, theirs, begin = cpu(server), cpu(moto), time.perf_counter()
            time.sleep(options.seconds)
            took = time.perf_counter() - begin
            share = (cpu(server) - before) / took * 100
            print(
                f"{options.mappings} idle mappings of {service} elsewhere, {took:.0f} s: {share:.2f} % of a core "
                f"(at most {MOST:g} %), moto's server {(cpu(moto) - theirs) / took * 100:.1f} %",
                flush=True,
            )
            kept = kept and share < MOST
            for mapping in mappings:
                functions.delete_event_source_mapping(UUID=mapping["UUID"])
        return 0 if kept else 1
    finally:
        for process in (server, moto):
            process.terminate()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
