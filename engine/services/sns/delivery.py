"""Deliveries to subscriptions: a row of the queue for each that a message is for, until it arrives, or is given up:
then to the subscription's dead-letter queue, or into the log."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ... import wire
from ...aws.clients import CallFailed
from ...aws.names import Place
from ...durable.queue import Leased, Queues
from ...durable.store import Step
from ...observe.records import FunctionOutput
from ...routing import retry
from ...routing.deliveries import AT_ONCE, Again, Deliveries
from ...routing.targets import Message, Targets
from ...routing.tracing import delivering
from .catalog import Topic
from .measuring import TopicMetrics
from .notifications import NOTIFICATION, Published, envelope, function_event
from .posts import Posts
from .retries import MANAGED, delay, effective

SERVICE = "sns"  # of the queues' names
DEAD_AGE = 14 * 86_400.0  # seconds that a dead letter is tried
ERROR_CHARACTERS = 1024
_HTTP = ("http", "https")


class Job(msgspec.Struct, array_like=True):
    """subscription: its ARN; protocol, endpoint, attributes: as they were when the message came; policy: the topic's
    delivery policy, as JSON."""

    subscription: str
    protocol: str
    endpoint: str
    attributes: dict[str, str]
    policy: str | None
    message: Published

    @property
    def raw(self) -> bool:
        wanted = self.attributes.get("RawMessageDelivery", "").lower() == "true"
        return wanted and self.message.kind == NOTIFICATION


class Standing(msgspec.Struct, array_like=True):
    """A delivery's failures, and, once it is given up, its dead letter's attributes."""

    failures: int = 0
    dead: dict[str, str] | None = None


_encode_job = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode
_encode_standing = msgspec.msgpack.Encoder().encode
_standing = msgspec.msgpack.Decoder(Standing).decode


class Delivery:
    """Belongs to the event loop."""

    def __init__(
        self,
        queues: Queues,
        targets: Targets,
        log: Callable[[FunctionOutput], object],
        base: Callable[[], str],
        metrics: TopicMetrics,
    ) -> None:
        """base: the URL that messages' links begin with."""
        self.metrics = metrics
        self._queues = queues
        self._targets = targets
        self._log = log
        self._base = base
        self._posts = Posts()
        deliveries = Deliveries(
            queues, SERVICE, self._send, self._failed, at_once=_at_once, measure=self._measure
        )
        self.start, self.close = deliveries.start, deliveries.close

    async def aclose(self) -> None:
        self.close()
        await self._posts.aclose()

    def put(
        self,
        topic: Topic,
        id: str,
        subscription: Mapping[str, Any],
        policy: str | None,
        message: Published,
        also: Sequence[Step] = (),
    ) -> asyncio.Future[int]:
        """Done once the delivery to a subscription is durable. policy: the topic's. Raises QueueFull."""
        line = f"{SERVICE}:{topic.place.partition}/{topic.name}/{id}"
        if topic.fifo:
            line += f"/{message.group}"
        job = Job(
            topic.subscription(id), subscription["Protocol"], subscription["Endpoint"],
            subscription["Attributes"], policy, message,
        )  # fmt: skip
        return self._queues.put(line, _encode_job(job), also=also)

    async def _send(self, _queue: str, row: Leased) -> None:
        job, standing = _job(row.value), _standing(row.meta) if row.meta else Standing()
        message = job.message
        raw = message.body(job.protocol).encode("utf-8", "replace")
        body = raw if job.raw else envelope(message, job.subscription, job.protocol, self._base())
        if standing.dead is not None:
            attributes = {name: ("String", text or " ") for name, text in standing.dead.items()}
            arn = json.loads(job.attributes["RedrivePolicy"])["deadLetterTargetArn"]
            await self._targets.send(_to_queue(arn, body, attributes, message))
            return
        place, topic = Place(*message.topic.split(":")[3:5]), message.topic.rpartition(":")[2]
        waited = (self._queues.now() - row.first) / 1e9
        with delivering(
            self._targets.spans, message.trace, place, topic, "AWS::SNS", job.endpoint, waited
        ) as trace:
            message.trace = trace
            await self._deliver(job, body)

    async def _deliver(self, job: Job, body: bytes) -> None:
        message = job.message
        if job.protocol in _HTTP:
            policy = effective(job.policy, job.attributes.get("DeliveryPolicy"))
            await self._posts.send(job.endpoint, body, message, job.subscription, policy, raw=job.raw)
        elif job.protocol == "lambda":
            event = function_event(message, job.subscription, self._base())
            await self._targets.send(Message(job.endpoint, event, trace=message.trace))
        else:
            attributes = message.attributes if job.raw else {}
            await self._targets.send(_to_queue(job.endpoint, body, attributes, message))

    async def _failed(self, queue: str, row: Leased, error: Exception) -> Again | None:
        job, standing = _job(row.value), _standing(row.meta) if row.meta else Standing()
        failure = (
            error
            if isinstance(error, CallFailed)
            else CallFailed("InternalError", repr(error), retriable=True)
        )
        standing.failures += 1
        wait: float | None = None
        if standing.dead is not None:
            wait = retry.back_off(standing.failures)
            if not failure.retriable or (self._queues.now() - row.first) / 1e9 + wait > 2 * DEAD_AGE:
                self._drop(job, f"its dead-letter queue did not take it: {failure}")
                return None
        elif failure.retriable:
            wait = delay(_policy(job), standing.failures)
        if wait is None:
            if not job.attributes.get("RedrivePolicy") or job.message.kind != NOTIFICATION:
                self._drop(job, str(failure))
                return None
            text = (failure.message or failure.code)[:ERROR_CHARACTERS]
            dead = {"RequestID": str(uuid.uuid4()), "ErrorCode": failure.code, "ErrorMessage": text}
            standing, wait = Standing(0, dead), 0.0
        if _at_once(queue) == 1:  # those behind it in its group wait, too
            await asyncio.sleep(wait)
            wait = 0.0
        return Again(wait, _encode_standing(standing))

    def _measure(self, row: Leased, _began: float, error: Exception | None, step: Again | None) -> None:
        if not self.metrics.wanted:
            return
        job, given_up = _job(row.value), step is None
        if job.message.kind != NOTIFICATION:
            return
        if row.meta and _standing(row.meta).dead is not None:
            if given_up:
                self.metrics.redriven(job.message.topic, error is not None)
            return
        dead = step is not None and step.meta is not None and _standing(step.meta).dead is not None
        if error is None or given_up or dead or job.protocol in _HTTP:
            self.metrics.attempted(job.message.topic, error is not None)

    def _drop(self, job: Job, reason: str) -> None:
        """Into the log: what nothing took."""
        place = Place(*job.message.topic.split(":")[3:5])
        name = job.message.topic.rpartition(":")[2]
        status = {
            "notification": {"messageId": job.message.id, "topicArn": job.message.topic, "timestamp": job.message.at},
            "delivery": {"destination": job.endpoint, "providerResponse": reason}, "status": "FAILURE",
            "message": job.message.body(job.protocol),
        }  # fmt: skip
        group = f"sns/{place.region}/{place.account}/{name}/Failure"
        text = wire.encode(status).decode() + "\n"
        now = int(time.time() * 1e3)
        self._log(
            FunctionOutput(place.region, place.account, group, job.subscription.rpartition(":")[2], now, text)
        )


def _to_queue(arn: str, body: bytes, attributes: dict[str, tuple[str, str]], message: Published) -> Message:
    once = message.deduplication if arn.endswith(".fifo") else ""
    return Message(arn, body, attributes, key=message.group, deduplication=once, trace=message.trace)


def _policy(job: Job) -> Mapping[str, Any]:
    if job.protocol not in _HTTP:
        return MANAGED
    policy: Mapping[str, Any] = effective(job.policy, job.attributes.get("DeliveryPolicy"))
    healthy: Mapping[str, Any] = policy["defaultHealthyRetryPolicy"]
    return healthy


def _at_once(queue: str) -> int:
    """A group of a FIFO topic's goes one by one."""
    return 1 if queue.split("/")[2].endswith(".fifo") else AT_ONCE
