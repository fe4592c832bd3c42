"""A pipe's source as the consumers of mappings take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...aws.names import Place
from ...aws.times import iso
from ...durable.state import Record
from ...services.pipes.catalog import Key
from ...services.pipes.checks import KAFKA, SMK, SOURCES, STREAMS, kind_of_source
from ..settings import Settings
from ..streams.records import GivenUp

# The kinds of mappings that read the kinds of pipes' sources of other names.
_READ_AS = {"smk": "kafka", "rabbitmq": "mq"}
# Members of a pipe's Credentials, as a mapping's SourceAccessConfigurations have them.
_CREDENTIALS = {
    "BasicAuth": "BASIC_AUTH", "SaslScram256Auth": "SASL_SCRAM_256_AUTH", "SaslScram512Auth": "SASL_SCRAM_512_AUTH",
    "ClientCertificateTlsAuth": "CLIENT_CERTIFICATE_TLS_AUTH",
}  # fmt: skip
_BESIDE = {"ServerRootCaCertificate": "SERVER_ROOT_CA_CERTIFICATE", "VirtualHost": "VIRTUAL_HOST"}


def read_as(record: Record) -> str:
    """The kind of mapping that reads a pipe's source."""
    kind = _kind(record)
    return _READ_AS.get(kind, kind)


def _kind(record: Record) -> str:
    return kind_of_source(record["Source"], record["SourceParameters"])


def settings_of(key: Key, record: Record) -> Settings:
    """Raises InvalidPattern."""
    kind = _kind(record)
    given = record["SourceParameters"].get(SOURCES[kind]) or {}
    as_mapping = {
        "UUID": f"pipe-{key.name}", "_kind": read_as(record), "FunctionArn": key.arn,
        "EventSourceArn": record["Source"],
        "BatchSize": given["BatchSize"],
        "MaximumBatchingWindowInSeconds": given.get("MaximumBatchingWindowInSeconds") or 0,
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if kind in ("sqs", *STREAMS) else [],
        "FilterCriteria": record["SourceParameters"].get("FilterCriteria"),
        "StartingPosition": given.get("StartingPosition", ""),
        "StartingPositionTimestamp": given.get("StartingPositionTimestamp"),
        "ParallelizationFactor": given.get("ParallelizationFactor"),
        "BisectBatchOnFunctionError": given.get("OnPartialBatchItemFailure") == "AUTOMATIC_BISECT",
        "MaximumRetryAttempts": given.get("MaximumRetryAttempts", -1),
        "MaximumRecordAgeInSeconds": given.get("MaximumRecordAgeInSeconds", -1),
        "DestinationConfig": {"OnFailure": {"Destination": (given.get("DeadLetterConfig") or {}).get("Arn", "")}},
    }  # fmt: skip
    if kind in KAFKA:
        as_mapping |= _of_kafka(key, record, given)
    if kind == "rabbitmq":
        as_mapping |= {"Queues": [given["QueueName"]], "SourceAccessConfigurations": _access(given)}
    return Settings.of(key.place, as_mapping)


def _of_kafka(key: Key, record: Record, given: Mapping[str, Any]) -> Record:
    """Its group is its own, and another one for a pipe that has its name later."""
    group = given.get("ConsumerGroupID") or f"pipe-{key.name}-{record['CreationTime']:.0f}"
    own = record["Source"].startswith(SMK)
    found: Record = {
        "Topics": [given["TopicName"]],
        "StartingPosition": given.get("StartingPosition") or "LATEST",
        "SourceAccessConfigurations": _access(given),
        f"{'SelfManaged' if own else 'AmazonManaged'}KafkaEventSourceConfig": {"ConsumerGroupId": group},
    }
    if own:
        servers = [record["Source"].removeprefix(SMK), *(given.get("AdditionalBootstrapServers") or ())]
        endpoints = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}}
        found |= {"EventSourceArn": "", "SelfManagedEventSource": endpoints}
    return found


def _access(given: Mapping[str, Any]) -> list[dict[str, str]]:
    pairs = [(_CREDENTIALS[name], uri) for name, uri in (given.get("Credentials") or {}).items()]
    pairs += [(type, given[name]) for name, type in _BESIDE.items() if given.get(name)]
    return [{"Type": type, "URI": uri} for type, uri in pairs]


def function_settings(place: Place, settings: Settings, arn: str) -> Settings:
    """Of a function that a pipe invokes."""
    name, _, qualifier = arn.partition(":function:")[2].partition(":")
    return replace(settings, place=place, function=name, qualifier=qualifier or None, function_arn=arn)


def dead_letter(
    settings: Settings, batch_info: str, info: Mapping[str, Any], given: GivenUp, now: float
) -> dict[str, Any]:
    """A pipe's record of a batch that was given up. batch_info: the member that describes it, which is `info`."""
    return {
        "context": {"partnerResourceArn": settings.function_arn, "condition": given.condition},
        "version": "1.0",
        "timestamp": iso(now),
        batch_info: info,
    }
