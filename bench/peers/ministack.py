"""The mappings of ministack, of queues of its own, to a function that it keeps warm."""

from __future__ import annotations

import time
from array import array
from typing import Any

import boto3
from botocore.config import Config

from bench.harness import Series
from bench.peers.base import Unavailable
from bench.peers.http import Ministack

_PATIENCE = 120.0  # seconds without a message less after which it is given up


class MappedMinistack(Ministack):
    """With a function `f` of this source."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source

    def prepare(self) -> None:
        super().prepare()
        self.deploy("f", self._source)
        self.api, self.queues = self._client("lambda"), self._client("sqs")
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
