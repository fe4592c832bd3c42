"""One run of a pipe: a batch of records, its enrichment, its target, and what of it failed.

To its source's consumer it is what a mapping's function is: it may be full, it is invoked with a batch's event, and its
response reports what failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ... import wire
from ...aws import retries
from ...aws.clients import CallFailed
from ...aws.times import iso
from ...durable.state import Record
from ...hosting.usage import Usage
from ...observe.spans import Arrival
from ...services.pipes.catalog import Key
from ...services.pipes.checks import STREAMS, kind_of, kind_of_source
from ..function import Function, How, Invoked
from .measuring import PipeMetrics
from .stages import Partial, Stages
from .templates import rendered

LONGEST = 300.0  # seconds of one run
# What may pass and yet is the customer's failure, which counts as an attempt: other failures that may pass are of the
# way there, and do not (user guide, "Pipe invocation errors and retry behavior").
_CUSTOMERS = ("HttpStatus", "INTERNAL_ERROR", "TIMEOUT", "EndpointNotFound")
_WAITED = ("lambda", "states")  # targets that may respond


class Run(Function):
    """Of one pipe. Belongs to the event loop."""

    def __init__(
        self,
        key: Key,
        record: Record,
        stages: Stages,
        functions: Mapping[str, Function],
        metrics: PipeMetrics,
    ) -> None:
        """functions: by ARN, those of this server that it invokes."""
        self._metrics = metrics
        super().__init__()
        self._name, self._arn = key.name, key.arn
        self._record = record
        self._stages = stages
        self._functions = functions
        self._target, self._given = record["Target"], record.get("TargetParameters") or {}
        self._kind = kind_of(self._target)
        # AWS: batches of other sources fail as a whole.
        source = kind_of_source(record["Source"], record["SourceParameters"])
        self._in_part = source in ("sqs", *STREAMS)
        if self._kind == "event-bus":
            usual = {
                "Source": f"Pipe {key.name}",
                "DetailType": f"Event from aws:{kind_of(record['Source'])}",
            }
            bus = self._given.get("EventBridgeEventBusParameters") or {}
            self._given = {**self._given, "EventBridgeEventBusParameters": {**usual, **bus}}
        self._enrichment = record.get("Enrichment") or ""
        self._enriching = record.get("EnrichmentParameters") or {}
        self.trouble = ""  # of the last run that failed

    # As a consumer knows a function.

    def problem(self) -> str:
        return next((text for each in self._functions.values() if (text := each.problem())), "")

    def full(self) -> Usage | None:
        return next((full for each in self._functions.values() if (full := each.full()) is not None), None)

    @property
    def closed(self) -> bool:  # type: ignore[override]
        return any(each.closed for each in self._functions.values())

    async def changed(self, usage: Usage | None = None) -> None:
        waiting = [asyncio.ensure_future(each.changed(usage)) for each in self._functions.values()]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    def nudge(self) -> None:
        for each in self._functions.values():
            each.nudge()

    def loops(self, trace: str) -> bool:
        return any(each.loops(trace) for each in self._functions.values())

    async def invoke(self, event: bytes, trace: str = "", arrival: Arrival | None = None) -> Invoked:
        """event: of a batch, as a function would get it."""
        began, late = time.perf_counter(), False
        records = _records(wire.decode(event))
        try:
            async with asyncio.timeout(LONGEST):
                done = await self._through(records, trace)
        except TimeoutError:
            late = True
            done = self._failed("Timeout", f"the pipe took more than {LONGEST:g} s")
        except Partial as partial:
            self._failed(partial.code, partial.message)
            known = self._in_part and not self._enrichment
            ids = [_id(records[n]) for n in partial.failed] if known else []
            done = self._reported(records, ids) if ids else Invoked(How.FAILED, b"", self.trouble)
        except CallFailed as failure:
            done = self._failed(failure.code, failure.message)
            if failure.code in retries.THROTTLED or (failure.retriable and failure.code not in _CUSTOMERS):
                done = Invoked(How.REFUSED, b"", self.trouble)
        except Exception as error:  # it is this pipe's alone: what it was about is tried again
            done = self._failed("InternalException", repr(error))
            context = {"message": f"{self._arn} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        self._metrics.ended(began, len(event), len(records), done, late)
        return done

    def _failed(self, code: str, message: str) -> Invoked:
        self.trouble = f"PROBLEM: {code}: {message}" if message else f"PROBLEM: {code}"
        return Invoked(How.FAILED, b"", self.trouble)

    def _refused(self, done: Invoked) -> Invoked:
        """A function's failure."""
        self.trouble = done.words
        return done

    # Its stages.

    async def _through(self, records: list[Any], trace: str) -> Invoked:
        source = records
        function = self._functions.get(self._enrichment)
        if self._enrichment:
            values = self._values(self._enriching, records)
            kind = kind_of(self._enrichment)
            response = await self._stages.respond(
                self._enrichment, kind, self._enriching, records, values, function, trace
            )
            if isinstance(response, Invoked):
                return self._refused(response)
            enriched = _decoded(response)
            if isinstance(enriched, dict) and enriched.get("batchItemFailures"):
                return self._report(source, response)
            records = (
                enriched if isinstance(enriched, list) else [] if enriched in (None, "", {}) else [enriched]
            )
            if not records:
                return Invoked(How.DONE, b"", "")
        values = self._values(self._given, records)
        if self._kind in _WAITED and self._waits():
            response = await self._stages.respond(
                self._target,
                self._kind,
                self._given,
                records,
                values,
                self._functions.get(self._target),
                trace,
            )
            return (
                self._refused(response) if isinstance(response, Invoked) else self._report(source, response)
            )
        await self._stages.send(self._name, self._target, self._kind, self._given, records, values)
        return Invoked(How.DONE, b"", "")

    def _waits(self) -> bool:
        member = (
            "LambdaFunctionParameters" if self._kind == "lambda" else "StepFunctionStateMachineParameters"
        )
        return (self._given.get(member) or {}).get("InvocationType") != "FIRE_AND_FORGET"

    def _values(self, given: Mapping[str, Any], records: list[Any]) -> list[Any]:
        """What is sent of each record."""
        template = given.get("InputTemplate")
        if not template:
            return records
        variables = {
            "aws.pipes.pipe-arn": self._arn, "aws.pipes.pipe-name": self._name,
            "aws.pipes.source-arn": self._record["Source"], "aws.pipes.enrichment-arn": self._enrichment,
            "aws.pipes.target-arn": self._target, "aws.pipes.event.ingestion-time": iso(time.time()),
        }  # fmt: skip
        return [rendered(template, record, variables) for record in records]

    def _report(self, records: list[Any], response: bytes) -> Invoked:
        """A response that may name what failed of the batch, by its messageId or eventID."""
        decoded = _decoded(response)
        items = decoded.get("batchItemFailures") if isinstance(decoded, dict) else None
        if not items or not isinstance(items, list):
            return Invoked(How.DONE, b"", "")
        ids = [each.get("itemIdentifier") if isinstance(each, dict) else None for each in items]
        self.trouble = "PROBLEM: a part of the batch failed"
        if not self._in_part:
            return Invoked(How.FAILED, b"", self.trouble)
        return self._reported(records, ids)

    @staticmethod
    def _reported(records: list[Any], ids: list[Any]) -> Invoked:
        """As a function's response would name them: streams' records by their sequence numbers."""
        known = {each.get("eventID"): _id(each) for each in records if each.get("eventID")}
        items = [{"itemIdentifier": known.get(id, id)} for id in ids]
        return Invoked(How.DONE, wire.encode({"batchItemFailures": items}), "")


def _records(event: dict[str, Any]) -> list[dict[str, Any]]:
    """A pipe's, each with what it is from."""
    if (records := event.get("Records")) is not None:
        return [_flat(each) for each in records]
    about = {name: value for name, value in event.items() if isinstance(value, str)}
    if about["eventSource"] == "aws:SelfManagedKafka":
        about["eventSource"] = "SelfManagedKafka"
    elif "kafka" in about["eventSource"]:
        del about["bootstrapServers"]
    (groups,) = (value for value in event.values() if isinstance(value, dict))
    return [
        {**about, "eventSourceKey": key, **record} for key, records in groups.items() for record in records
    ]


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Kinesis's members are at the top of a pipe's records."""
    own = record.pop("kinesis", None)
    return record if own is None else {**own, **record}


def _id(record: Mapping[str, Any]) -> str:
    """By which a consumer knows a record."""
    dynamodb = record.get("dynamodb") or {}
    return str(
        record.get("messageId") or record.get("sequenceNumber") or dynamodb.get("SequenceNumber") or ""
    )


def _decoded(payload: bytes) -> Any:
    """A response that is no JSON is a text."""
    try:
        return wire.decode(payload) if payload else None
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "replace")
