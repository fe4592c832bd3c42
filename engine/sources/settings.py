"""What a mapping is to do, read from its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..aws.names import Place
from .filters import Filters

TABLE = "event-source-mapping"
BROKERS = ("kafka", "mq")
WINDOW = 0.5  # seconds, of those where none is set
# Members that change by themselves, or that others show: a mapping with the same others goes on undisturbed.
_ABOUT = ("State", "StateTransitionReason", "LastModified", "LastProcessingResult")


@dataclass(frozen=True, slots=True)
class Settings:
    """place, function, qualifier: what is invoked; source: an ARN, or "" with servers, those of a Kafka of one's own;
    window, tumbling, max_age: seconds, the last -1 for no limit, as retries; parallel: batches of a shard at once;
    destination: where given up batches are reported; name: of a topic or a queue; access: how to get in, as pairs of a
    type and a URI; secrets: what those URIs name, if Secrets Manager has it not; tls: has a Kafka that, None: if AWS's
    rules say so."""

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
    name: str = ""
    servers: tuple[str, ...] = ()
    group: str = ""
    access: tuple[tuple[str, str], ...] = ()
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    tls: bool | None = None

    @property
    def region(self) -> str:
        return self.source.split(":")[3]

    @property
    def owner(self) -> Place:
        """Of the source."""
        parts = self.source.split(":")
        return Place(parts[3], parts[4])

    @property
    def member(self) -> str:
        """Of its consumer group. Several programs may have an embedded engine of the same settings."""
        instance = self.options.get("Instance")
        return f"{self.uuid}-{instance}" if instance else self.uuid

    @classmethod
    def of(cls, place: Place, record: Mapping[str, Any]) -> Settings:
        """Raises InvalidPattern."""
        name, _, qualifier = record["FunctionArn"].partition(":function:")[2].partition(":")
        kind = record["_kind"]
        window = record.get("MaximumBatchingWindowInSeconds")
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
            window=WINDOW if window is None and kind in BROKERS else float(window or 0),
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
            name=(record.get("Topics") or record.get("Queues") or [""])[0],
            servers=tuple(_endpoints(record).get("KAFKA_BOOTSTRAP_SERVERS", ())),
            group=_group(record),
            access=tuple(
                (each["Type"], each["URI"]) for each in record.get("SourceAccessConfigurations") or ()
            ),
        )


def _endpoints(record: Mapping[str, Any]) -> Mapping[str, list[str]]:
    found: Mapping[str, list[str]] = (record.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    return found


def _group(record: Mapping[str, Any]) -> str:
    owner = "AmazonManaged" if record.get("EventSourceArn") else "SelfManaged"
    config = record.get(f"{owner}KafkaEventSourceConfig") or {}
    return str(config.get("ConsumerGroupId") or record["UUID"])


def acts_as(record: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Do two records of a mapping make it do the same?"""
    return all(
        record.get(member) == other.get(member) for member in {*record, *other} if member not in _ABOUT
    )
