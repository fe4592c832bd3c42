"""python handlers/served.py: a server of its own, every sample deployed to it, invoked by boto3, and initiated by what
it is made for.

With --stay the server goes on, until Ctrl-C, and what to try is printed.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pipeline
import queues
import streams
import tables
import uploads
import urls
from run import EXPECTED, HERE, duration, event_of, short, wrong
from server import client, deploy, has_moto, start

CALLS = 200
INITIATIONS = [
    (uploads.SAMPLE, uploads.run),
    (urls.SAMPLE, urls.run),
    (queues.SAMPLE, queues.run),
    (pipeline.SAMPLE, pipeline.run),
]
WITH_MOTO = [(streams.SAMPLE, streams.run), (tables.SAMPLE, tables.run)]  # by Kinesis and DynamoDB


def invoke(api: Any, sample: Path) -> str:
    """Invoke one sample on its real input. What was wrong, or an empty string."""
    event = event_of(sample).read_bytes()
    response = api.invoke(FunctionName=sample.name, Payload=event, LogType="Tail")
    payload = response["Payload"].read()
    log = base64.b64decode(response["LogResult"]).decode()
    print(f"{sample.name}  (boto3, {len(event):,} bytes)\n  {short(payload.decode())}")
    print(f"  {log[log.rindex('REPORT RequestId:') :].strip()}")
    if "FunctionError" in response:
        return f"it failed: {payload.decode()}"
    took = []
    for _ in range(CALLS):
        begin = time.perf_counter_ns()
        api.invoke(FunctionName=sample.name, Payload=event)["Payload"].read()
        took.append(time.perf_counter_ns() - begin)
    took.sort()
    print(
        f"  boto3 p50 {duration(took[CALLS // 2])}, p99 {duration(took[CALLS * 99 // 100])} over {CALLS} invocations"
    )
    return wrong(json.loads(payload), EXPECTED[sample.name])


def logged(logs: Any, name: str) -> str:
    """Read a function's log back. What was wrong with it, or an empty string."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        lines = [event["message"] for page in pages for event in page["events"]]
        if sum(line.startswith("REPORT") for line in lines) > CALLS:
            print(f"  its log: {len(lines):,} events, the last: {short(lines[-1].strip())}")
            return ""
    return "its log is not whole"


def stay(url: str, server: subprocess.Popen[str]) -> int:
    print(f"""
The server goes on. In another shell:

  export AWS_ENDPOINT_URL={url} AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_DEFAULT_REGION=us-east-1
  aws lambda list-functions
  aws lambda invoke --function-name echo --cli-binary-format raw-in-base64-out --payload '{{"n": 1}}' /dev/stdout
  curl -d '{{"n": 1}}' {url}/2015-03-31/functions/echo/invocations
  .venv/bin/stoker logs echo --endpoint {url} -f

Ctrl-C ends it.""")
    try:
        return server.wait()
    except KeyboardInterrupt:
        return server.wait()


def main() -> int:
    faults: set[str] = set()
    moto = has_moto()
    with tempfile.TemporaryDirectory(dir=os.environ.get("STOKER_RUN_DIR")) as folder:
        options = uploads.option(Path(folder)) + (["--aws", "moto"] if moto else [])
        server, url = start(Path(folder), *options)
        try:
            print(f"serving on {url}, state in {folder}\n")
            connect = functools.partial(client, url=url)
            api, logs = connect("lambda"), connect("logs")
            for name in EXPECTED:
                deploy(api, HERE / name)
            for name in EXPECTED:
                if fault := invoke(api, HERE / name) or logged(logs, name):
                    faults.add(name)
                    print(f"  WRONG: {fault}")
                print(flush=True)
            for name, run in INITIATIONS + (WITH_MOTO if moto else []):
                try:
                    fault = run(connect)
                except TimeoutError as error:
                    fault = str(error)
                if fault:
                    faults.add(name)
                    print(f"  WRONG: {fault}")
                print(flush=True)
            total = len(EXPECTED.keys() | {name for name, _ in INITIATIONS})
            print(f"{total - len(faults)} of {total} samples answered as they should, deployed by boto3")
            if not moto:
                names = " and ".join(name for name, _ in WITH_MOTO)
                print(
                    f"not initiated by streams, for which moto is needed (pip install 'stoker[aws]'): {names}"
                )
            if "--stay" in sys.argv:
                return stay(url, server)
        finally:
            server.terminate()
            status = server.wait(30)
        print(f"the server ended with status {status}")
    return 1 if faults or status else 0


if __name__ == "__main__":
    sys.exit(main())
