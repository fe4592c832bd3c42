"""What a mapping is to do, read from its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..aws.names import Place
from .filters import Filters

TABLE = "event-source-mapping"
# Members that change by themselves, or that others show: a mapping with the same others goes on undisturbed.
_ABOUT = ("State", "StateTransitionReason", "LastModified", "LastProcessingResult")


@dataclass(frozen=True, slots=True)
class Settings:
    """place, function, qualifier: what is invoked; source: an ARN; window, tumbling, max_age: seconds, the last -1 for
    no limit, as retries; parallel: batches of a shard at once; destination: where given up batches are reported."""

    uuid: str
    kind: str
    place: Place
    function: str
    qualifier: str | None
    function_arn: str
    source: str
    batch_size: int
    window: float
    reports: bool
    filters: Filters
    concurrency: int | None
    position: str
    timestamp: float | None
    parallel: int
    bisect: bool
    retries: int
    max_age: float
    tumbling: float
    destination: str
    options: Mapping[str, Any] = field(
        default_factory=dict
    )  # of a source that AWS has not: its record's `_source`

    @property
    def region(self) -> str:
        return self.source.split(":")[3]

    @property
    def owner(self) -> Place:
        """Of the source."""
        parts = self.source.split(":")
        return Place(parts[3], parts[4])

    @classmethod
    def of(cls, place: Place, record: Mapping[str, Any]) -> Settings:
        """Raises InvalidPattern."""
        name, _, qualifier = record["FunctionArn"].partition(":function:")[2].partition(":")
        kind = record["_kind"]
        failure = (record.get("DestinationConfig") or {}).get("OnFailure") or {}
        return cls(
            uuid=record["UUID"],
            kind=kind,
            place=place,
            function=name,
            qualifier=qualifier or None,
            function_arn=record["FunctionArn"],
            source=record.get("EventSourceArn", ""),
            batch_size=record["BatchSize"],
            window=float(record.get("MaximumBatchingWindowInSeconds") or 0),
            reports="ReportBatchItemFailures" in (record.get("FunctionResponseTypes") or ()),
            filters=Filters(kind, record.get("FilterCriteria")),
            concurrency=(record.get("ScalingConfig") or {}).get("MaximumConcurrency"),
            position=record.get("StartingPosition", ""),
            timestamp=record.get("StartingPositionTimestamp"),
            parallel=record.get("ParallelizationFactor") or 1,
            bisect=bool(record.get("BisectBatchOnFunctionError")),
            retries=record.get("MaximumRetryAttempts", -1),
            max_age=float(record.get("MaximumRecordAgeInSeconds", -1)),
            tumbling=float(record.get("TumblingWindowInSeconds") or 0),
            destination=failure.get("Destination", ""),
            options=record.get("_source") or {},
        )


def acts_as(record: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Do two records of a mapping make it do the same?"""
    return all(
        record.get(member) == other.get(member) for member in {*record, *other} if member not in _ABOUT
    )
