"""A handler with a heavy init: NumPy, and a boto3 client made from its service model."""

import os
import sys
import time
from typing import Any

import boto3
import numpy

client = boto3.client(
    "s3", region_name="us-east-1", aws_access_key_id="benchmark", aws_secret_access_key="benchmark"
)
table = numpy.arange(4096.0)
invocations = 0


def handler(event: Any, context: Any) -> Any:
    """Echoes; "sleep": after so many seconds; "report": returns facts about its process instead."""
    global invocations
    invocations += 1
    if "sleep" in event:
        time.sleep(event["sleep"])
    if event.get("report") == "process":
        return {"pid": os.getpid(), "invocations": invocations, "sum": float(table.sum())}
    if event.get("report") == "modules":
        return sorted(sys.modules)
    return event
