"""Functions fed from Kafka and RabbitMQ, and what they were invoked with."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mapped import Fed
from served import REGION, Served

# Notes its event, then does what each record's text says. NOTE and GATE: paths.
SOURCE = """
import base64, json, os, time
def handler(event, context):
    with open(NOTE, "a") as file:
        file.write(json.dumps(event) + "\\n")
    bad = []
    for name, records in (event.get("records") or event["rmqMessagesByQueue"]).items():
        for record in records:
            text = base64.b64decode(record.get("value") or record.get("data") or "")[:4].decode("utf-8", "replace")
            if text == "fail" and not os.path.exists(GATE):
                raise ValueError("asked for")
            if text.startswith("bad") and not os.path.exists(GATE):
                bad.append({"itemIdentifier": {"partition": name, "offset": record["offset"]}})
            while text == "wait" and not os.path.exists(GATE):
                time.sleep(0.005)
    return {"batchItemFailures": bad}
"""
BROKER = f"arn:aws:mq:{REGION}:000000000000:broker:rabbit:b-1"
OPEN = [{"Type": "VPC_SUBNET", "URI": "subnet-0123456789abcdef0"}]  # a Kafka that asks nobody for anything


class BrokerFed(Fed):
    """A function, and mappings of it."""

    def __init__(self, server: Served, folder: Path, source: str = SOURCE, **more: Any) -> None:
        super().__init__(server, folder, source, **{"Timeout": 10, **more})

    def topic(self, servers: str, topic: str, **more: Any) -> str:
        """A mapping of a Kafka of one's own, on its way. Its UUID."""
        endpoints = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers.split(",")}}
        asked = {"SourceAccessConfigurations": OPEN, "StartingPosition": "TRIM_HORIZON", **more}
        made = self.api.create_event_source_mapping(
            FunctionName=self.name, SelfManagedEventSource=endpoints, Topics=[topic], **asked
        )
        return str(made["UUID"])

    def queue(self, queue: str, secret: str, vhost: str = "/", **more: Any) -> str:
        """A mapping of a RabbitMQ, once it is what it is to be. Its UUID."""
        access = [{"Type": "BASIC_AUTH", "URI": secret}, {"Type": "VIRTUAL_HOST", "URI": vhost}]
        return self.map(BROKER, Queues=[queue], SourceAccessConfigurations=access, **more)

    def records(self) -> list[dict[str, Any]]:
        return [record for event in self.events() for record in records(event)]

    def texts(self) -> list[str]:
        return [text(record) for record in self.records()]

    def batches(self) -> list[list[str]]:
        return [[text(record) for record in records(event)] for event in self.events()]


def records(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in (event.get("records") or event["rmqMessagesByQueue"]).values():
        yield from each


def text(record: dict[str, Any]) -> str:
    return base64.b64decode(record.get("value") or record.get("data") or "").decode("utf-8", "replace")


def secret(client: Any, name: str, **members: str) -> str:
    """A secret's ARN."""
    return str(client.create_secret(Name=name, SecretString=json.dumps(members))["ARN"])
