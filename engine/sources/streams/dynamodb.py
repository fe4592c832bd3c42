"""Amazon DynamoDB Streams: a table's shards and records."""

from __future__ import annotations

from typing import Any

from ... import wire
from ...aws.clients import Clients
from ..settings import Settings
from .api import Page, Position, Raw
from .lineage import Shard

_MOST = 1000  # records of one read: the service's bound


class DynamoDb:
    pause = 0.25
    batch_info = "DDBStreamBatchInfo"

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._place = settings.owner
        self._source = settings.source

    async def shards(self) -> list[Shard]:
        found: list[Shard] = []
        asked: dict[str, Any] = {"StreamArn": self._source}
        while True:
            described = await self._call("DescribeStream", asked)
            stream = described["StreamDescription"]
            for each in stream.get("Shards") or ():
                parent = each.get("ParentShardId")
                found.append(Shard(each["ShardId"], (parent,) if parent else ()))
            if not stream.get("LastEvaluatedShardId"):
                return found
            asked = {**asked, "ExclusiveStartShardId": stream["LastEvaluatedShardId"]}

    async def _call(self, operation: str, members: dict[str, Any]) -> dict[str, Any]:
        return await self._clients.call("dynamodbstreams", operation, members, self._place)

    async def iterator(self, shard: str, position: Position) -> str:
        asked: dict[str, Any] = {"StreamArn": self._source, "ShardId": shard}
        if position.after:
            asked |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position.after}
        else:
            asked["ShardIteratorType"] = position.kind
        return str((await self._call("GetShardIterator", asked))["ShardIterator"])

    async def read(self, shard: str, iterator: str) -> Page:
        found = await self._call("GetRecords", {"ShardIterator": iterator, "Limit": _MOST})
        records = [self._raw(each) for each in found.get("Records") or ()]
        # The service does not say how far behind the present it is: where nothing came, it is not.
        return Page(records, found.get("NextShardIterator"), None if records else 0.0)

    def _raw(self, record: dict[str, Any]) -> Raw:
        change = dict(record["dynamodb"])
        arrived = change["ApproximateCreationDateTime"].timestamp()
        change["ApproximateCreationDateTime"] = arrived
        shown = {**record, "eventVersion": "1.1", "dynamodb": change, "eventSourceARN": self._source}
        key = wire.encode(change.get("Keys") or {}).decode()
        return Raw(change["SequenceNumber"], key, b"", arrived, shown=shown, seen=lambda: shown)
