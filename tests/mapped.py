"""Functions fed by event source mappings, and what they were invoked with."""

from __future__ import annotations

import json
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from served import ROLE, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

# Notes its event, then does what each record's text says. NOTE and GATE: paths; REPORT: the response.
SOURCE = """
import base64, json, os, time
def handler(event, context):
    with open(NOTE, "a") as file:
        file.write(json.dumps(event) + "\\n")
    bad = []
    for record in event["Records"]:
        if "kinesis" in record:
            text, id = base64.b64decode(record["kinesis"]["data"]).decode(), record["kinesis"]["sequenceNumber"]
        elif "redis" in record:
            text, id = record["redis"]["fields"]["n"], record["redis"]["id"]
        elif "nats" in record:
            text, id = base64.b64decode(record["nats"]["data"]).decode(), str(record["nats"]["sequence"])
        elif "dynamodb" in record:
            text, id = record["dynamodb"]["Keys"]["id"]["S"], record["dynamodb"]["SequenceNumber"]
        else:
            text, id = record["body"], record["messageId"]
        if text.startswith("fail") and not os.path.exists(GATE):
            raise ValueError("asked for")
        if text.startswith("bad") and not os.path.exists(GATE):
            bad.append({"itemIdentifier": id})
        while text.startswith("wait") and not os.path.exists(GATE):
            time.sleep(0.005)
    return {"batchItemFailures": bad}
"""


class Fed:
    """A function, and mappings of it."""

    def __init__(self, server: Served, folder: Path, source: str = SOURCE, **more: Any) -> None:
        self.server = server
        self.api = server.client()
        self.name = f"fed-{uuid.uuid4().hex[:12]}"
        self.note, self.gate = folder / f"{self.name}.note", folder / f"{self.name}.gate"
        self.note.touch()
        self.file = folder / "app.py"
        self.text = source.replace("NOTE", repr(str(self.note))).replace("GATE", repr(str(self.gate)))
        self.more = more
        self.create()

    def create(self) -> None:
        self.file.write_text(self.text)
        self.api.create_function(
            **{
                "FunctionName": self.name, "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler", "Timeout": 1,
                "Code": {"ZipFile": pack(self.file)}, **self.more,
            }
        )  # fmt: skip
        self.api.get_waiter("function_active_v2").wait(FunctionName=self.name, WaiterConfig={"Delay": 0})

    def map(self, source: str, **more: Any) -> str:
        """A mapping, once it is what it is to be. Its UUID."""
        made = self.api.create_event_source_mapping(FunctionName=self.name, EventSourceArn=source, **more)
        self.reaches(made["UUID"], "Enabled" if more.get("Enabled", True) else "Disabled")
        return str(made["UUID"])

    def create_own(self, source: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A mapping of a source that AWS has not, which its client has no member for."""
        api = self.server.client()

        def with_source(params: dict[str, Any], **_: Any) -> None:
            params["body"] = json.dumps({**json.loads(params["body"]), "Source": source}).encode()

        api.meta.events.register("before-call.lambda.CreateEventSourceMapping", with_source)
        return dict(api.create_event_source_mapping(FunctionName=self.name, **more))

    def map_own(self, source: dict[str, Any], **more: Any) -> str:
        """A mapping of it, once it is what it is to be. Its UUID."""
        made = self.create_own(source, **more)
        self.reaches(made["UUID"], "Enabled" if more.get("Enabled", True) else "Disabled")
        return str(made["UUID"])

    def get(self, uuid: str) -> dict[str, Any]:
        return dict(self.api.get_event_source_mapping(UUID=uuid))

    def reaches(self, uuid: str, state: str) -> None:
        until(lambda: self.get(uuid)["State"] == state, what=f"the state {state}")

    def update(self, uuid: str, **more: Any) -> None:
        self.api.update_event_source_mapping(UUID=uuid, **more)
        until(lambda: self.get(uuid)["State"] in ("Enabled", "Disabled"), what="the update")

    def result(self, uuid: str) -> str:
        return str(self.get(uuid).get("LastProcessingResult", ""))

    def count(self, name: str) -> int:
        """Of all mappings of the server."""
        with urllib.request.urlopen(f"{self.server.url}/_stoker/health") as response:
            return int(json.load(response)["mappings"].get(name, 0))

    def drop(self, uuid: str) -> None:
        self.api.delete_event_source_mapping(UUID=uuid)

        def gone() -> bool:
            try:
                self.get(uuid)
            except self.api.exceptions.ResourceNotFoundException:
                return True
            return False

        until(gone, what="the mapping's end")

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.note.read_text().splitlines() if line.endswith("}")]

    def records(self) -> list[dict[str, Any]]:
        return [record for event in self.events() for record in event["Records"]]

    def bodies(self) -> list[str]:
        return [record["body"] for record in self.records()]

    def wait(self, count: int) -> None:
        """Until so many records came."""
        until(lambda: len(self.records()) >= count, 60, f"{count} records")


def send(sqs: Any, url: str, *bodies: str, group: str = "", **more: Any) -> None:
    """In batches of ten."""
    for at in range(0, len(bodies), 10):
        entries = [
            {"Id": str(n), "MessageBody": body, **more}
            | ({"MessageGroupId": group, "MessageDeduplicationId": uuid.uuid4().hex} if group else {})
            for n, body in enumerate(bodies[at : at + 10])
        ]
        assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == len(entries)


def length(sqs: Any, url: str) -> int:
    """Of a queue: all that it has, hidden or not."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return sum(int(value) for name, value in found.items() if name.startswith("ApproximateNumberOfMessages"))
