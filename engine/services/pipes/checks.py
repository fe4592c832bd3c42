"""What a pipe may consist of: its kinds of sources, enrichments and targets, and what each of them needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...aws.names import Place
from ...durable.state import Record
from ...routing.grammar import InvalidPattern, parse
from .faults import MISSING, invalid, invalid_field

# The member of SourceParameters of each kind of source.
SOURCES = {
    "sqs": "SqsQueueParameters", "kinesis": "KinesisStreamParameters", "dynamodb": "DynamoDBStreamParameters",
    "kafka": "ManagedStreamingKafkaParameters", "smk": "SelfManagedKafkaParameters",
    "activemq": "ActiveMQBrokerParameters", "rabbitmq": "RabbitMQBrokerParameters",
}  # fmt: skip
STREAMS = ("kinesis", "dynamodb")
KAFKA = ("kafka", "smk")
SMK = "smk://"  # of a source that is a Kafka of one's own: its first server is behind it
_OF_STREAM: Record = {
    "BatchSize": 100, "MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1, "ParallelizationFactor": 1,
}  # fmt: skip
_OF_BROKER: Record = {"BatchSize": 100}
_DEFAULTS: dict[str, Record] = {
    "sqs": {"BatchSize": 10},
    **dict.fromkeys(STREAMS, _OF_STREAM),
    **dict.fromkeys((*KAFKA, "rabbitmq"), _OF_BROKER),
}
ACTIVEMQ = "ActiveMQ brokers are not supported as sources here: only RabbitMQ brokers are."
# What nobody can leave out of a source's parameters, nor them.
_REQUIRED = {
    "rabbitmq": "QueueName", **dict.fromkeys(KAFKA, "TopicName"), **dict.fromkeys(STREAMS, "StartingPosition"),
}  # fmt: skip
_ENRICHMENTS = ("lambda", "states", "execute-api", "api-destination")
# The members of TargetParameters that each kind of target may have.
_TARGETS: dict[str, tuple[str, ...]] = {
    "lambda": ("LambdaFunctionParameters",), "states": ("StepFunctionStateMachineParameters",),
    "execute-api": ("HttpParameters",), "api-destination": ("HttpParameters",),
    "event-bus": ("EventBridgeEventBusParameters",), "sqs": ("SqsQueueParameters",), "sns": (),
    "kinesis": ("KinesisStreamParameters",), "firehose": (), "logs": ("CloudWatchLogsParameters",),
}  # fmt: skip
_ARN = re.compile(r"arn:[^:]+:([^:]+):([^:]*):([^:]*):(.+)")


def kind_of_source(source: str, given: Mapping[str, Any]) -> str:
    """Raises Fault."""
    if source.startswith(SMK):
        return "smk"
    service = source.split(":")[2]
    if service == "mq":
        if given.get("ActiveMQBrokerParameters"):
            raise invalid(ACTIVEMQ)
        return "rabbitmq"
    if service == "dynamodb" and "/stream/" not in source:
        raise invalid(f"Source {source} is not a DynamoDB stream.")
    if service not in SOURCES:
        raise invalid(f"Source {source} is not supported.")
    return service


def kind_of(arn: str) -> str:
    """Of an enrichment or target."""
    found = _ARN.fullmatch(arn)
    if found is None:
        return ""
    return found[4].partition("/")[0] if found[1] == "events" else found[1]


def with_defaults(kind: str, given: Mapping[str, Any]) -> Record:
    """The parameters of a source as they are kept."""
    member = SOURCES[kind]
    return {**given, member: {**_DEFAULTS.get(kind, {}), **(given.get(member) or {})}}


def check(record: Mapping[str, Any], place: Place) -> None:
    """Raises Fault for a pipe that makes no sense. record: as it would be kept."""
    source, given = record["Source"], record["SourceParameters"]
    kind = kind_of_source(source, given)
    for other, member in SOURCES.items():
        if other != kind and given.get(member):
            raise invalid_field(member, "Invalid source parameter provided for source.")
    if kind != "smk" and Place(*source.split(":")[3:5]) != place:
        raise invalid("The source must be in the same AWS Region and account as the pipe.")
    _check_source(kind, source, given.get(SOURCES[kind]) or {})
    for each in (given.get("FilterCriteria") or {}).get("Filters") or ():
        try:
            parse(each.get("Pattern") or "{}")
        except InvalidPattern as reason:
            raise invalid(f"Event pattern is not valid. Reason: {reason}") from None
    if record.get("Enrichment") and kind_of(record["Enrichment"]) not in _ENRICHMENTS:
        raise invalid(f"Enrichment {record['Enrichment']} is not supported.")
    _check_target(record["Target"], record.get("TargetParameters") or {})


def _check_source(kind: str, source: str, given: Mapping[str, Any]) -> None:
    if kind != "sqs" and not given.get(_REQUIRED[kind]):
        raise invalid_field(f"SourceParameters.{SOURCES[kind]}", MISSING)
    if given.get("StartingPosition") == "AT_TIMESTAMP" and given.get("StartingPositionTimestamp") is None:
        raise invalid("StartingPositionTimestamp is required when StartingPosition is AT_TIMESTAMP.")
    if kind == "sqs":
        window = given.get("MaximumBatchingWindowInSeconds") or 0
        if source.endswith(".fifo"):
            if window:
                raise invalid("Batching window is not supported for FIFO queues.")
            if given["BatchSize"] > 10:
                raise invalid("Batch size must be at most 10 for FIFO queues.")
        elif given["BatchSize"] > 10 and not window:
            raise invalid(
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10."
            )


def _check_target(target: str, given: Mapping[str, Any]) -> None:
    kind = kind_of(target)
    if kind not in _TARGETS:
        raise invalid(f"Target {target} is not supported.")
    for member in given:
        if member != "InputTemplate" and given[member] and member not in _TARGETS[kind]:
            raise invalid_field(member, "Invalid target parameter provided for target.")
    if kind == "kinesis" and not given.get("KinesisStreamParameters"):
        raise invalid_field("TargetParameters.KinesisStreamParameters", MISSING)
    queue = given.get("SqsQueueParameters") or {}
    if kind == "sqs" and target.endswith(".fifo") and not queue.get("MessageGroupId"):
        raise invalid_field("TargetParameters.SqsQueueParameters.MessageGroupId", MISSING)
