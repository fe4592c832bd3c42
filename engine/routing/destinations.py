"""Where an asynchronous invocation's end is delivered: its function's destinations and dead-letter queue.

A delivery is a row of the durable queue before its event is settled, so it is made at least once, whatever happens in
between. It is tried again while that may help, for as long as AWS keeps an event by default; then it is given up, which
is logged and counted (DestinationDeliveryFailures, DeadLetterErrors).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from .. import wire
from ..aws.names import LATEST, Place
from ..aws.times import iso
from ..calls.dispatch import uuid_text
from ..durable.folder import StoreError
from ..durable.queue import Leased, QueueFull, Queues
from ..hosting.placements import Hosting
from . import retry
from .deliveries import Again, Deliveries, again
from .endings import Ended, Endings
from .event import function_of
from .targets import Message, Targets, object_key
from .tracing import delivering

SERVICE = "delivery"  # of the queues' names
ERROR_BYTES = 1024  # of a dead letter's ErrorMessage
FULL_S = 1.0  # until a delivery that could not be queued is tried again
_DETAIL_TYPE = "Lambda Function Invocation Result - {}"


class Delivery(msgspec.Struct, array_like=True):
    """counter: what counts it when it is given up."""

    message: Message
    counter: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Delivery).decode


def deliveries(ended: Ended) -> Iterator[Delivery]:
    """What an event's end sends, and where: a record to a destination, the event itself to a dead-letter queue."""
    event, placement = ended.event, ended.placement
    succeeded = ended.condition == retry.SUCCESS
    config = event.config(placement).get("DestinationConfig") or {}
    if target := (config.get("OnSuccess" if succeeded else "OnFailure") or {}).get("Destination"):
        arn = placement.place.function(event.name, event.qualifier or LATEST)
        key = object_key("aws/lambda/async", event.name) if ":s3:" in target else ""
        detail_type = _DETAIL_TYPE.format("Success" if succeeded else "Failure")
        record = invocation_record(ended, arn)
        message = Message(target, record, {}, "lambda", detail_type, [arn], key, trace=ended.trace)
        yield Delivery(message, "DestinationDeliveryFailures")
    function = placement.state.get("function", event.name, _version(ended)) or {}
    if not succeeded and (target := (function.get("DeadLetterConfig") or {}).get("TargetArn")):
        letter = Message(target, ended.payload, _dead_letter(ended), trace=ended.trace)
        yield Delivery(letter, "DeadLetterErrors")


def invocation_record(ended: Ended, arn: str) -> bytes:
    """AWS's record of an asynchronous invocation, as JSON."""
    event, result = ended.event, ended.result
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": iso(time.time()),
        "requestContext": {
            "requestId": uuid_text(event.id),
            "functionArn": arn,
            "condition": ended.condition,
            "approximateInvokeCount": event.invocations,
        },
        "requestPayload": msgspec.Raw(ended.payload or b"null"),
    }
    if result is not None:
        context = {"statusCode": 200, "executedVersion": result.version}
        record["responseContext"] = {**context, "functionError": "Unhandled"} if result.failed else context
        record["responsePayload"] = msgspec.Raw(result.payload or b"null")
    return wire.encode(record)


def _dead_letter(ended: Ended) -> dict[str, tuple[str, str]]:
    """A dead letter's attributes."""
    result, error = ended.result, ended.condition
    if result is not None and result.failed:
        described = wire.decode(result.payload)
        error = str(described.get("errorMessage", "")) if isinstance(described, dict) else ""
    text = error.encode()[:ERROR_BYTES].decode("utf-8", "ignore")
    return {
        "RequestID": ("String", uuid_text(ended.event.id)),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", text or " "),  # an empty value is none
    }


def _version(ended: Ended) -> str:
    """The version whose configuration holds."""
    event, state = ended.event, ended.placement.state
    alias = state.get("alias", event.name, event.qualifier or "")
    return str(alias["FunctionVersion"]) if alias else event.qualifier or LATEST


class Destinations:
    """Makes the deliveries. Belongs to the event loop."""

    def __init__(self, queues: Queues, targets: Targets, hosting: Hosting, endings: Endings) -> None:
        self._queues = queues
        self._targets = targets
        self._hosting = hosting
        self._endings = endings
        endings.deliver = self
        self._deliveries = Deliveries(queues, SERVICE, self._send, self._failed)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Take up what an earlier server did not deliver."""
        self._deliveries.start()

    def close(self) -> None:
        self._deliveries.close()
        for task in self._tasks:
            task.cancel()

    def __call__(self, ended: Ended) -> asyncio.Future[None] | None:
        """Queue what an event's end sends; done once that is durable."""
        due = list(deliveries(ended))
        if not due:
            return None
        queue = f"{SERVICE}:{ended.placement.place.partition}/{ended.event.name}"
        task = asyncio.get_running_loop().create_task(self._put(queue, due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _put(self, queue: str, due: list[Delivery]) -> None:
        """Until there is room, and the disk has it: the event is not settled before."""
        for delivery in due:
            while True:
                try:
                    await self._queues.put(queue, _encode(delivery))
                    break
                except (QueueFull, StoreError):
                    await asyncio.sleep(FULL_S)

    async def _send(self, queue: str, row: Leased) -> None:
        message = _decode(row.value).message
        partition, name = function_of(queue)
        waited = (self._queues.now() - row.first) / 1e9
        place, spans = Place.of(partition), self._hosting.spans
        with delivering(
            spans, message.trace, place, name, "AWS::Lambda::Destination", message.target, waited
        ) as trace:
            message.trace = trace
            await self._targets.send(message)

    async def _failed(self, queue: str, row: Leased, error: Exception) -> Again | None:
        if (step := again(self._queues, row, error, retry.MAX_AGE)) is not None:
            return step
        delivery = _decode(row.value)
        partition, name = function_of(queue)
        placement = self._hosting.of(Place.of(partition))
        self._endings.undelivered(placement, name, delivery.counter, delivery.message.target, str(error))
        return None
