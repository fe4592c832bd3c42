"""A pipe's source as the consumers of mappings take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...aws.names import Place
from ...aws.times import iso
from ...durable.state import Record
from ...services.pipes.catalog import Key
from ...services.pipes.checks import SOURCES, kind_of_source
from ..settings import Settings
from ..streams.records import GivenUp


def kind_of_record(record: Record) -> str:
    return kind_of_source(record["Source"], record["SourceParameters"])


def settings_of(key: Key, record: Record) -> Settings:
    """Raises InvalidPattern."""
    kind = kind_of_record(record)
    given = record["SourceParameters"].get(SOURCES[kind]) or {}
    return Settings.of(
        key.place,
        {
            "UUID": f"pipe-{key.name}", "_kind": kind, "FunctionArn": key.arn, "EventSourceArn": record["Source"],
            "BatchSize": given["BatchSize"],
            "MaximumBatchingWindowInSeconds": given.get("MaximumBatchingWindowInSeconds"),
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "FilterCriteria": record["SourceParameters"].get("FilterCriteria"),
            "StartingPosition": given.get("StartingPosition", ""),
            "StartingPositionTimestamp": given.get("StartingPositionTimestamp"),
            "ParallelizationFactor": given.get("ParallelizationFactor"),
            "BisectBatchOnFunctionError": given.get("OnPartialBatchItemFailure") == "AUTOMATIC_BISECT",
            "MaximumRetryAttempts": given.get("MaximumRetryAttempts", -1),
            "MaximumRecordAgeInSeconds": given.get("MaximumRecordAgeInSeconds", -1),
            "DestinationConfig": {"OnFailure": {"Destination": (given.get("DeadLetterConfig") or {}).get("Arn", "")}},
        },
    )  # fmt: skip


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
