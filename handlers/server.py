"""A server of the samples' own, and what those have in common that are deployed to it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from run import HERE, duration

from engine.hosting.archives import pack

ROLE = "arn:aws:iam::000000000000:role/sample"
PATIENCE_S = 60.0

Connect = Callable[[str], Any]  # a service's client


def has_moto() -> bool:
    """Is there what Kinesis and DynamoDB are emulated by?"""
    return all(importlib.util.find_spec(name) is not None for name in ("moto", "flask", "flask_cors"))


def start(folder: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """A server on a free port. Its process, and its URL."""
    command = [sys.executable, "-m", "engine.cli", "serve", "--port", "0", "--state", str(folder / "state")]
    server = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
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


def deploy(api: Any, sample: Path, name: str = "", handler: str = "handler", **more: Any) -> str:
    """Create a function of a sample, and wait until it is active. Its ARN."""
    made = api.create_function(
        **{
            "FunctionName": name or sample.name, "Runtime": f"python{sys.version_info[0]}.{sys.version_info[1]}",
            "Role": ROLE, "Handler": f"app.{handler}", "Code": {"ZipFile": pack(sample)}, "MemorySize": 256,
            "Timeout": 30, **more,
        }
    )  # fmt: skip
    api.get_waiter("function_active_v2").wait(FunctionName=made["FunctionName"])
    arn: str = made["FunctionArn"]
    return arn


def create_queue(sqs: Any, name: str, **attributes: str) -> tuple[str, str]:
    """Its URL and ARN."""
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, found["Attributes"]["QueueArn"]


def create_mapping(api: Any, function: str, source: str, **more: Any) -> None:
    """An event source mapping, once it is enabled."""
    made = api.create_event_source_mapping(FunctionName=function, EventSourceArn=source, **more)

    def enabled() -> bool:
        return bool(api.get_event_source_mapping(UUID=made["UUID"])["State"] == "Enabled")

    until(enabled, "the event source mapping")


def until(condition: Callable[[], bool], what: str) -> None:
    """Raises TimeoutError."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s in vain for {what}")
        time.sleep(0.01)


def percentiles(seconds: Sequence[float]) -> str:
    took = sorted(seconds)
    p50, p99 = (duration(took[len(took) * percent // 100] * 1e9) for percent in (50, 99))
    return f"p50 {p50}, p99 {p99} over {len(took)}"
