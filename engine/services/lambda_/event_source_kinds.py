"""What each kind of event source takes in a mapping, its defaults, and what AWS refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ... import wire
from ...durable.state import Record
from ...routing.grammar import InvalidPattern, parse
from . import own_sources
from .responses import invalid

STREAMS = ("kinesis", "dynamodb")
_LOGS = (*STREAMS, "kafka")
_SERVICES = {**{kind: kind for kind in ("sqs", *_LOGS, "mq")}, "rds": "documentdb"}
_OWN = tuple(own_sources.KINDS)
_ALL = ("sqs", *_LOGS, "mq", "documentdb", *_OWN)
# Which kinds take a member.
_TAKEN = {
    member: kinds
    for kinds, members in (
        (
            _ALL,
            "EventSourceArn BatchSize MaximumBatchingWindowInSeconds FilterCriteria KMSKeyArn MetricsConfig",
        ),
        ((*_LOGS, "documentdb", *_OWN), "StartingPosition StartingPositionTimestamp"),
        (("sqs", *_LOGS, *_OWN), "FunctionResponseTypes"),
        (
            (*_LOGS, *_OWN),
            "DestinationConfig MaximumRecordAgeInSeconds MaximumRetryAttempts BisectBatchOnFunctionError",
        ),
        ((*STREAMS, *_OWN), "ParallelizationFactor"),
        (STREAMS, "TumblingWindowInSeconds"),
        (("sqs",), "ScalingConfig"),
        (("sqs", "kafka"), "ProvisionedPollerConfig"),
        (("kafka",), "LoggingConfig Topics SelfManagedEventSource"),
        (("kafka",), "AmazonManagedKafkaEventSourceConfig SelfManagedKafkaEventSourceConfig"),
        (("mq",), "Queues"),
        (("kafka", "mq", "documentdb"), "SourceAccessConfigurations"),
        (("documentdb",), "DocumentDBEventSourceConfig"),
    )
    for member in members.split()
}
_NO_RECORDS = {"LastProcessingResult": "No records processed"}
_STREAM: Record = {
    **_NO_RECORDS,
    "BatchSize": 100,
    "MaximumBatchingWindowInSeconds": 0,
    "DestinationConfig": {"OnFailure": {}},
    "MaximumRecordAgeInSeconds": -1,
    "BisectBatchOnFunctionError": False,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
    "FunctionResponseTypes": [],
}
# The others gather for half a second, which the API, in whole seconds, cannot express.
_OTHER: Record = {**_NO_RECORDS, "BatchSize": 100}
_DEFAULTS: dict[str, Record] = {
    "sqs": {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []},
    **dict.fromkeys(STREAMS, _STREAM),
    **{kind: {**_STREAM, "StartingPosition": "TRIM_HORIZON"} for kind in _OWN},
    **dict.fromkeys(("kafka", "mq", "documentdb"), _OTHER),
}
_FILTERS = 10
_DATA = {"kinesis": "data", "dynamodb": "dynamodb"}  # of a stream's record
_NO_POSITION = (
    "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
    "Member must not be null."
)
_NO_WINDOW = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"


# What follows the account in a source's ARN.
_RESOURCES = {
    "sqs": re.compile(r"[a-zA-Z0-9_-]{1,80}(\.fifo)?"),
    "kinesis": re.compile(r"stream/[a-zA-Z0-9_.-]{1,128}(/consumer/.+)?"),
    "dynamodb": re.compile(r"table/[a-zA-Z0-9_.-]{1,255}/stream/.+"),
}


def kind_of(request: Mapping[str, Any], region: str) -> str:
    """The kind of source that a new mapping of this region names. Raises Fault."""
    arn = request.get("EventSourceArn")
    if request.get("Source"):
        if arn is not None:
            raise invalid("A mapping has an EventSourceArn, or a Source.")
        return own_sources.kind_of(request["Source"])
    if arn is None:
        if not request.get("SelfManagedEventSource"):
            raise invalid("Unrecognized event source.")
        if not request.get("SourceAccessConfigurations"):
            raise invalid("Required 'sourceAccessConfigurations' parameter is missing.")
        return "kafka"
    parts = arn.split(":")
    kind = _SERVICES.get(parts[2]) if len(parts) > 5 else None
    if kind is None or not re.fullmatch(_RESOURCES.get(kind, ".+"), ":".join(parts[5:])):
        raise invalid("Unrecognized event source.")
    if parts[3] != region:
        raise invalid(f"Event source region must match Lambda region {region}.")
    return kind


def servers(mapping: Mapping[str, Any]) -> list[str]:
    """The bootstrap servers of a Kafka cluster that is not AWS's."""
    endpoints: Mapping[str, list[str]] = (mapping.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    return list(endpoints.get("KAFKA_BOOTSTRAP_SERVERS", ()))


def defaults(kind: str, uuid: str, request: Mapping[str, Any]) -> Record:
    """What a new mapping has beside its request's members."""
    out = dict(_DEFAULTS[kind])
    if kind == "kafka":
        owner = "AmazonManaged" if request.get("EventSourceArn") else "SelfManaged"
        config = f"{owner}KafkaEventSourceConfig"
        out[config] = {"ConsumerGroupId": uuid}
        if (request.get(config) or {}).get("ConsumptionMode") != "Queue":
            out["StartingPosition"] = "TRIM_HORIZON"
    return out


def merged(kind: str, before: Record, request: Mapping[str, Any]) -> Record:
    """A mapping after a request's own members, which replace what was there; one that is empty clears it."""
    out = dict(before)
    for member, kinds in _TAKEN.items():
        value = request.get(member)
        if value is None or kind not in kinds:
            continue
        if member == "DestinationConfig":
            out[member] = {"OnFailure": value.get("OnFailure") or {}}
        elif member.endswith("KafkaEventSourceConfig"):
            out[member] = {**out.get(member, {}), **value}
        elif value in ({}, {"Metrics": []}) or (member == "FilterCriteria" and not value.get("Filters")):
            out.pop(member, None)
        else:
            out[member] = value
    return out


def check(kind: str, request: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
    """What AWS refuses: in a request, and in the mapping as it would be. Raises Fault."""
    _check_members(kind, request)
    arn = whole.get("EventSourceArn", "")
    if kind in STREAMS and not whole.get("StartingPosition"):
        raise invalid(_NO_POSITION)
    if whole.get("StartingPosition") == "AT_TIMESTAMP":
        if kind == "dynamodb":
            raise invalid(f"Unsupported starting position for arn type: {arn}")
        if whole.get("StartingPositionTimestamp") is None:
            raise invalid("Need to specify a timestamp")
    if kind == "sqs" and arn.endswith(".fifo"):
        if whole["MaximumBatchingWindowInSeconds"]:
            raise invalid("Batching window is not supported for FIFO queues")
        if whole["BatchSize"] > 10:
            raise invalid("Batch size must be at most 10 for FIFO queues")
    if kind == "sqs" and whole["BatchSize"] > 10 and not whole["MaximumBatchingWindowInSeconds"]:
        raise invalid(_NO_WINDOW)
    target = ((whole.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination") or ""
    if target.startswith("kafka://"):
        if kind != "kafka":
            raise invalid(_unsupported("DestinationConfig"))
        if target.removeprefix("kafka://") in (whole.get("Topics") or ()):
            raise invalid("The on-failure destination must not be the topic that is the event source.")
    filters = (request.get("FilterCriteria") or {}).get("Filters") or []
    if len(filters) > _FILTERS:
        raise invalid(f"Number of filters exceeds the limit of {_FILTERS}.")
    for each in filters:
        if "Pattern" in each and not _is_pattern(kind, each["Pattern"]):
            raise invalid("Invalid filter pattern definition.")


def _check_members(kind: str, request: Mapping[str, Any]) -> None:
    destinations = request.get("DestinationConfig") or {}
    if (destinations.get("OnSuccess") or {}).get("Destination"):
        raise invalid(_unsupported("DestinationConfig"))
    for member, kinds in _TAKEN.items():
        if kind in kinds or not request.get(member):
            continue
        if member == "DestinationConfig" and not (destinations.get("OnFailure") or {}).get("Destination"):
            continue
        if kind == "sqs" and member == "StartingPosition":
            raise invalid("StartingPosition is not valid for SQS event sources.")
        raise invalid(_unsupported(member))


def _unsupported(member: str) -> str:
    return f"Unsupported {member} parameter for given event source mapping type."


def _is_pattern(kind: str, text: str) -> bool:
    """A stream's data can only be matched as JSON."""
    try:
        if parse(text).alternatives == [()]:
            return False
    except InvalidPattern:
        return False
    data = _DATA.get(kind)
    return data is None or not isinstance(wire.decode(text.encode()).get(data), list)
