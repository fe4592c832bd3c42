"""python handlers/served.py: a server of its own, every sample deployed to it and invoked by boto3, then stopped.

With --stay the server goes on, until Ctrl-C, and what to try is printed.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pipeline
import uploads
from botocore.config import Config
from run import EXPECTED, HERE, duration, event_of, short, wrong

from engine.hosting.archives import pack

BY_URL = "http-api"  # the sample that is made for HTTP
BY_QUEUE = "orders"  # and the one that is made for a queue
CALLS = 200
ROLE = "arn:aws:iam::000000000000:role/sample"


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A server on a free port. Its process, and its URL."""
    command = [sys.executable, "-m", "engine.cli", "serve", "--port", "0", "--state", str(folder / "state")]
    command += uploads.option(folder)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    assert server.stdout is not None
    line = server.stdout.readline()
    if "http" not in line:
        raise SystemExit(f"the server did not start: {line}")
    return server, line.split()[-1]


def client(service: str, url: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="sample",
        aws_secret_access_key="sample", config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip


def deploy(api: Any, sample: Path) -> None:
    api.create_function(
        FunctionName=sample.name,
        Runtime=f"python{sys.version_info[0]}.{sys.version_info[1]}",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": pack(sample)},
        MemorySize=256,
        Timeout=30,
    )
    api.get_waiter("function_active_v2").wait(FunctionName=sample.name)


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


def by_url(api: Any, sample: Path) -> str:
    """Send the request that its event describes to the function's own URL. What was wrong, or an empty string."""
    url = api.create_function_url_config(FunctionName=sample.name, AuthType="NONE")["FunctionUrl"]
    event = json.loads(event_of(sample).read_bytes())
    http = event["requestContext"]["http"]
    body = event.get("body") or ""
    data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    query = f"?{event['rawQueryString']}" if event.get("rawQueryString") else ""
    request = urllib.request.Request(
        url.rstrip("/") + event["rawPath"] + query,
        data or None,
        {"content-type": event["headers"].get("content-type", "application/json")},
        method=http["method"],
    )
    with urllib.request.urlopen(request) as response:
        text = response.read().decode()
        print(f"{sample.name}  ({http['method']} {url})\n  {response.status} {short(text)}")
        return (
            ""
            if response.status == EXPECTED[sample.name]["statusCode"]
            else f"the status at its URL was {response.status}"
        )


def by_queue(api: Any, sqs: Any, sample: Path) -> str:
    """Send the messages of its event to a queue, with an event source mapping. What was wrong, or an empty string."""
    records = json.loads(event_of(sample).read_bytes())["Records"]
    queue = sqs.create_queue(QueueName=sample.name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    api.create_event_source_mapping(
        FunctionName=sample.name, EventSourceArn=arn, FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    begin = time.monotonic()
    entries = [{"Id": str(n), "MessageBody": record["body"]} for n, record in enumerate(records)]
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    wanted = len(EXPECTED[sample.name]["batchItemFailures"])  # they come again, the others are deleted
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = -1
    while left != wanted and time.monotonic() < begin + 20:
        found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        left = sum(map(int, found.values()))
    took = (time.monotonic() - begin) * 1e3
    print(f"{sample.name}  (event source mapping of {arn})")
    print(
        f"  {len(entries)} messages sent; after {took:.0f} ms {left} are left, which the function reported as failed"
    )
    return "" if left == wanted else f"{left} messages were left in its queue, not {wanted}"


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
    faults: list[str] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("STOKER_RUN_DIR")) as folder:
        server, url = start(Path(folder))
        try:
            print(f"serving on {url}, state in {folder}\n")
            api, logs = client("lambda", url), client("logs", url)
            for name in EXPECTED:
                deploy(api, HERE / name)
            for name in EXPECTED:
                fault = invoke(api, HERE / name) or logged(logs, name)
                if fault:
                    faults.append(name)
                    print(f"  WRONG: {fault}")
                print(flush=True)
            if fault := uploads.run(api, client("s3", url)):
                faults.append(uploads.SAMPLE)
                print(f"  WRONG: {fault}")
            print(flush=True)
            fault = by_url(api, HERE / BY_URL)
            if fault:
                faults.append(BY_URL)
                print(f"  WRONG: {fault}")
            fault = by_queue(api, client("sqs", url), HERE / BY_QUEUE)
            if fault:
                faults.append(BY_QUEUE)
                print(f"  WRONG: {fault}")
            print(flush=True)
            fault = pipeline.run(url)
            if fault:
                faults.append("order-pipeline")
                print(f"  WRONG: {fault}")
            print(flush=True)
            total = len(EXPECTED) + 1
            print(f"{total - len(faults)} of {total} samples answered as they should, deployed by boto3")
            if "--stay" in sys.argv:
                return stay(url, server)
        finally:
            server.terminate()
            status = server.wait(30)
        print(f"the server ended with status {status}")
    return 1 if faults or status else 0


if __name__ == "__main__":
    sys.exit(main())
