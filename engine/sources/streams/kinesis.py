"""Amazon Kinesis: a stream's shards and records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ...aws.clients import Clients
from ..settings import Settings
from .api import Page, Position, Raw
from .lineage import Shard

_MOST = 10_000  # records of one read: the service's bound


class Kinesis:
    pause = 1.0
    batch_info = "KinesisBatchInfo"

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._place = settings.owner
        self._source = settings.source
        self._name = settings.source.rpartition(":stream/")[2].partition("/")[0]
        self._account = settings.place.account

    async def shards(self) -> list[Shard]:
        found: list[Shard] = []
        asked: dict[str, Any] = {"StreamName": self._name}
        while True:
            page = await self._clients.call("kinesis", "ListShards", asked, self._place)
            for each in page.get("Shards") or ():
                parents = (each.get("ParentShardId"), each.get("AdjacentParentShardId"))
                found.append(Shard(each["ShardId"], tuple(parent for parent in parents if parent)))
            if not page.get("NextToken"):
                return found
            asked = {"NextToken": page["NextToken"]}

    async def iterator(self, shard: str, position: Position) -> str:
        asked: dict[str, Any] = {"StreamName": self._name, "ShardId": shard}
        if position.after:
            asked |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": position.after}
        else:
            asked["ShardIteratorType"] = position.kind
            if position.kind == "AT_TIMESTAMP":
                asked["Timestamp"] = datetime.fromtimestamp(position.at, UTC)
        found = await self._clients.call("kinesis", "GetShardIterator", asked, self._place)
        return str(found["ShardIterator"])

    async def read(self, shard: str, iterator: str) -> Page:
        asked = {"ShardIterator": iterator, "Limit": _MOST}
        found = await self._clients.call("kinesis", "GetRecords", asked, self._place)
        records = [self._raw(shard, each) for each in found.get("Records") or ()]
        behind = found.get("MillisBehindLatest")
        return Page(records, found.get("NextShardIterator"), None if behind is None else behind / 1000)

    def _raw(self, shard: str, record: dict[str, Any]) -> Raw:
        arrived = record["ApproximateArrivalTimestamp"].timestamp()
        own = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": record["Data"],
            "approximateArrivalTimestamp": round(arrived, 3),
        }
        about = {
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard}:{record['SequenceNumber']}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": f"arn:aws:iam::{self._account}:role/lambda-role",
            "awsRegion": self._place.region,
            "eventSourceARN": self._source,
        }
        return Raw(
            record["SequenceNumber"], record["PartitionKey"], b"", arrived, shown={"kinesis": own, **about},
            seen=lambda: {**about, **own}, data=record["Data"],
        )  # fmt: skip
