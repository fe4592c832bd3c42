"""Notifications on their way: a row of the queue for each configuration that an event matched, until it arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from ...aws.clients import CallFailed
from ...aws.names import Place
from ...aws.traces import CURRENT
from ...durable.queue import Leased, Queues
from ...durable.store import Step
from ...observe.records import FunctionOutput
from ...routing import retry
from ...routing.deliveries import Again, Deliveries, again
from ...routing.targets import Message, Targets
from ...routing.tracing import delivering
from .configurations import Configuration
from .records import SUBJECT, Bucket

SERVICE = "s3"  # of the queues' names
LOG_GROUP = "/aws/s3/failed-notifications"
# May S3 invoke a function on behalf of a bucket?
Permitted = Callable[[str, Bucket], bool]


class Job(msgspec.Struct, array_like=True):
    bucket: str
    partition: str  # the bucket's place
    target: str  # an ARN
    body: bytes
    trace: str = ""  # X-Amzn-Trace-Id


_encode_job = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode


class Delivery:
    def __init__(
        self,
        queues: Queues,
        targets: Targets,
        permitted: Permitted,
        log: Callable[[FunctionOutput], object],
    ) -> None:
        self._queues = queues
        self._targets = targets
        self._permitted = permitted
        self._log = log
        deliveries = Deliveries(queues, SERVICE, self._send, self._failed)
        self.start, self.close = deliveries.start, deliveries.close

    def put(
        self, bucket: Bucket, configuration: Configuration, body: bytes, also: tuple[Step, ...] = ()
    ) -> asyncio.Future[int]:
        """Done once it is durable. Raises QueueFull."""
        line = f"{SERVICE}:{bucket.place.partition}/{bucket.name}/{configuration.id}"
        job = Job(bucket.name, bucket.place.partition, configuration.arn, body, CURRENT.get())
        return self._queues.put(line, _encode_job(job), also=also)

    async def _send(self, _queue: str, row: Leased) -> None:
        job = _job(row.value)
        if ":lambda:" in job.target and not self._permitted(
            job.target, Bucket(job.bucket, Place.of(job.partition))
        ):
            text = f"s3.amazonaws.com is not authorized to invoke {job.target} for {job.bucket}"
            raise CallFailed("AccessDeniedException", text, retriable=False)
        place, waited = Place.of(job.partition), (self._queues.now() - row.first) / 1e9
        with delivering(
            self._targets.spans, job.trace, place, job.bucket, "AWS::S3", job.target, waited
        ) as trace:
            await self._targets.send(Message(job.target, job.body, subject=SUBJECT, trace=trace))

    async def _failed(self, _queue: str, row: Leased, error: Exception) -> Again | None:
        if (step := again(self._queues, row, error, retry.TARGET_MAX_AGE)) is not None:
            return step
        job = _job(row.value)
        place = Place.of(job.partition)
        text = f"[WARN] FailedNotification: {job.bucket} {job.target}: {error} Event: {job.body.decode()}\n"
        now = int(time.time() * 1e3)
        self._log(FunctionOutput(place.region, place.account, LOG_GROUP, job.bucket, now, text))
        return None
