"""Pipes of a test, and the functions that they invoke."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delivered import ACCOUNT
from mapped import Fed
from served import REGION, ROLE, Served
from support import until

# Notes its event; fails while there is no gate, or reports, as the bodies say; responds as RESPONSE says.
FUNCTION = """
import json, os
def handler(event, context):
    with open(NOTE, "a") as file:
        file.write(json.dumps({"event": event}) + "\\n")
    bad = []
    for record in event:
        text = record.get("body", "") if isinstance(record, dict) else ""
        if text.startswith("fail") and not os.path.exists(GATE):
            raise ValueError("asked for")
        if text.startswith("bad") and not os.path.exists(GATE):
            bad.append({"itemIdentifier": record["messageId"]})
    return RESPONSE
"""
REPORT = '{"batchItemFailures": bad}'


class Piped:
    """Pipes of one test."""

    def __init__(self, server: Served, folder: Path, name: str) -> None:
        self.server, self.folder, self.name = server, folder, name
        self.api = server.client("pipes")
        self.names: list[str] = []

    def function(self, response: str = REPORT) -> Fed:
        return Fed(self.server, self.folder, FUNCTION.replace("RESPONSE", response))

    def arn(self, function: Fed) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}"

    def pipe(self, source: str, target: str, state: str = "RUNNING", **more: Any) -> str:
        name = f"{self.name}-{len(self.names)}"[-64:]
        self.names.append(name)
        self.api.create_pipe(Name=name, Source=source, Target=target, RoleArn=ROLE, **more)
        self.reaches(name, state)
        return name

    def reaches(self, name: str, state: str) -> None:
        until(lambda: self.api.describe_pipe(Name=name)["CurrentState"] == state, 60, state)

    def close(self) -> None:
        for name in self.names:
            try:
                until(
                    lambda name=name: self.api.describe_pipe(Name=name)["CurrentState"] in STILL,
                    60,
                    "a still pipe",
                )
                self.api.delete_pipe(Name=name)
            except self.api.exceptions.NotFoundException:
                continue
            until(lambda name=name: gone(self.api, name), 60, "the pipe's end")


STILL = ("RUNNING", "STOPPED", "CREATE_FAILED", "UPDATE_FAILED", "START_FAILED")


def gone(api: Any, name: str) -> bool:
    try:
        api.describe_pipe(Name=name)
    except api.exceptions.NotFoundException:
        return True
    return False


def batches(fed: Fed) -> list[Any]:
    return [each["event"] for each in fed.events()]


def bodies(fed: Fed) -> list[str]:
    return [record["body"] for batch in batches(fed) for record in batch]
