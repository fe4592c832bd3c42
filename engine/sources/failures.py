"""Reports of batches that were given up, to their mappings' destinations: rows of a durable queue, each until it is
there."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from .. import wire
from ..aws.times import iso
from ..durable.folder import StoreError
from ..durable.queue import Leased, QueueFull, Queues
from ..observe.mappings import MappingCounters
from ..routing import retry
from ..routing.deliveries import Again, Deliveries, again
from ..routing.targets import Message, Targets, object_key
from .settings import Settings
from .streams.records import EXHAUSTED, TOO_LARGE, GivenUp

SERVICE = "mapping"  # of the queues' names
_FULL = 1.0  # seconds until a report that could not be queued is tried again


class Report(msgspec.Struct, array_like=True):
    """mapping: its ARN; records: how many it is about."""

    mapping: str
    message: Message
    records: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Report).decode


def shard_info(settings: Settings, shard: str, given: GivenUp) -> dict[str, Any]:
    """Of a stream's batch."""
    records = given.piece.records
    return {
        "shardId": shard,
        "startSequenceNumber": records[0].id,
        "endSequenceNumber": records[-1].id,
        "approximateArrivalOfFirstRecord": iso(records[0].arrived),
        "approximateArrivalOfLastRecord": iso(records[-1].arrived),
        "batchSize": len(records),
        "streamArn": settings.source,
    }


def report(
    settings: Settings, batch_info: str, info: Mapping[str, Any], given: GivenUp, now: float
) -> dict[str, Any]:
    """AWS's record of a batch that was given up, without its records. batch_info: the member that describes it, which
    is `info`."""
    request_id, version, failed = given.piece.last
    found: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id or str(uuid.uuid4()),
            "functionArn": settings.function_arn,
            "condition": given.condition,
            "approximateInvokeCount": given.piece.invoked,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": version or "$LATEST",
            "functionError": "Unhandled" if failed else None,
        },
        "version": "1.0",
        "timestamp": iso(now),
        batch_info: info,
    }
    if given.condition == TOO_LARGE:
        found["responseContext"] = None
    elif given.condition != EXHAUSTED and not given.piece.invoked:
        del found["responseContext"]  # there was no response
    return found


class Failures:
    """Of all mappings. Belongs to the event loop."""

    def __init__(self, queues: Queues, targets: Targets, counters: MappingCounters) -> None:
        self._queues = queues
        self._targets = targets
        self._counters = counters
        deliveries = Deliveries(queues, SERVICE, self._send, self._failed)
        self.start, self.close = deliveries.start, deliveries.close

    async def put(
        self, settings: Settings, name: str, described: Mapping[str, Any], event: bytes, records: int, about: str = ""
    ) -> None:  # fmt: skip
        """Done once nothing can lose the report. name: of the shard or partition; event: of the records that it is
        about; about: the ARN of what gave them up, "": the mapping's."""
        target, key = settings.destination, ""
        body = wire.encode(described)
        if ":s3:" in target:  # has the records, too
            key = object_key(f"aws/lambda/{settings.uuid}", name)
            body = body[:-1] + b',"payload":' + event + b"}"
        mapping = about or settings.place.arn(f"event-source-mapping:{settings.uuid}")
        kept = _encode(Report(mapping, Message(target, body, key=key), records))
        while True:
            try:
                await self._queues.put(f"{SERVICE}:{settings.place.partition}/{settings.uuid}", kept)
                return
            except (QueueFull, StoreError):
                await asyncio.sleep(_FULL)

    async def _send(self, _queue: str, row: Leased) -> None:
        kept = _decode(row.value)
        await self._targets.send(kept.message)
        self._counters.add(kept.mapping, "OnFailureDestinationDeliveredEventCount", kept.records)

    async def _failed(self, _queue: str, row: Leased, error: Exception) -> Again | None:
        """Until it is as old as an event may be."""
        if (step := again(self._queues, row, error, retry.MAX_AGE)) is not None:
            return step
        kept = _decode(row.value)
        context = {"message": f"{kept.mapping} could not report to {kept.message.target}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        return None
