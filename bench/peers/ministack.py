"""MiniStack, an emulator of AWS that pip installs: its queues, and its mappings of them, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.harness import Series
from bench.peers.base import Unavailable
from bench.peers.http import HttpPeer, environment, free_port
from engine.hosting.archives import pack

VERSION = "1.5.33"
_PATIENCE = 120.0  # seconds without a message less after which it is given up


class MiniStack(HttpPeer):
    """With a function `f` of this source, which runs in processes that it keeps (LAMBDA_EXECUTOR=local)."""

    name = "MiniStack"

    def __init__(self, folder: Path, source: str) -> None:
        """Raises Unavailable."""
        super().__init__()
        self._python = environment("ministack", [f"ministack=={VERSION}"])
        folder.mkdir()
        self._folder, self._source = folder, source

    def start(self) -> None:
        self.port = free_port()
        own = {"GATEWAY_PORT": str(self.port), "BIND_HOST": "127.0.0.1", "LAMBDA_EXECUTOR": "local"}
        self.process = subprocess.Popen(
            [str(self._python), "-m", "ministack"], cwd=self._folder, env={**os.environ, **own},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._until_up()
        self.api, self.queues = self._client("lambda"), self._client("sqs")
        (self._folder / "app.py").write_text(self._source)
        self.api.create_function(
            FunctionName="f", Runtime=f"python{sys.version_info[0]}.{sys.version_info[1]}", Timeout=60,
            Role="arn:aws:iam::000000000000:role/r", Handler="app.handler",
            Code={"ZipFile": pack(self._folder / "app.py")},
        )  # fmt: skip
        self.api.get_waiter("function_active_v2").wait(FunctionName="f")

    def _client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        config = Config(retries={"max_attempts": 0}, read_timeout=120)
        return boto3.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", config=config, **keys)

    def mapping(self, queue: str, size: int, body: str) -> None:
        """One that has had a message, of a queue of that name."""
        self._url = self.queues.create_queue(QueueName=queue, Attributes={"VisibilityTimeout": "900"})[
            "QueueUrl"
        ]
        window = {"MaximumBatchingWindowInSeconds": 1} if size > 10 else {}
        self._mapping = self.api.create_event_source_mapping(
            FunctionName="f", EventSourceArn=f"arn:aws:sqs:us-east-1:000000000000:{queue}", BatchSize=size, **window
        )["UUID"]  # fmt: skip
        self.drained(1, body)

    def forget(self) -> None:
        """That mapping is no more."""
        self.api.delete_event_source_mapping(UUID=self._mapping)

    def drained(self, count: int, body: str) -> Series:
        """So many messages, from when the mapping is enabled to when the queue is empty."""
        self.api.update_event_source_mapping(UUID=self._mapping, Enabled=False)
        for at in range(0, count, 10):
            entries = [{"Id": str(n), "MessageBody": body} for n in range(min(10, count - at))]
            self.queues.send_message_batch(QueueUrl=self._url, Entries=entries)
        begin = moved = time.perf_counter()
        self.api.update_event_source_mapping(UUID=self._mapping, Enabled=True)
        left = count
        while left:
            time.sleep(0.02)
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            found = self.queues.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
            now, before = time.perf_counter(), left
            left = sum(int(found[name]) for name in names)
            if left < before:
                moved = now
            elif now > moved + _PATIENCE:
                raise Unavailable(f"{self.name} does not empty a queue: {left} of {count} messages are left")
        return Series(array("q"), count, int((time.perf_counter() - begin) * 1e9))
