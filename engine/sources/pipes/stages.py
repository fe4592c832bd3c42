"""What a pipe hands records to: functions, state machines, APIs and API destinations, which respond, and what takes
messages."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ... import wire
from ...aws.clients import CallFailed, Clients
from ...aws.names import Place
from ...routing.targets import Message, Targets
from ..function import Function, How, Invoked
from .templates import dynamic

# AWS's bounds of what one call of a target takes; a larger batch is not sent at all.
MOST = {"sqs": 10, "sns": 10, "event-bus": 10, "kinesis": 500, "firehose": 500, "logs": 10_000}
EXECUTION = 262_144  # characters of a state machine's input
# One request to an API destination or an API: the ARN, HttpParameters, the record that dynamic ones read, the body.
Post = Callable[[str, Mapping[str, Any], Any, bytes], Awaitable[bytes]]


class Partial(CallFailed):
    """A target took a part of a batch. failed: the indexes of what it did not take."""

    def __init__(self, failed: Sequence[int], code: str, message: str) -> None:
        super().__init__(code, message, retriable=True)
        self.failed = failed


class Stages:
    """Of all pipes. Belongs to the event loop."""

    def __init__(self, clients: Clients, targets: Targets, post: Post) -> None:
        self._clients = clients
        self._targets = targets
        self._post = post

    async def respond(
        self, arn: str, kind: str, given: Mapping[str, Any], records: Sequence[Any], values: Sequence[Any],
        function: Function | None, trace: str,
    ) -> Invoked | bytes:  # fmt: skip
        """The response of an enrichment, or of a target that is waited for; `Invoked` of a function that failed.
        records: as dynamic parameters read them; values: what is sent. Raises CallFailed."""
        body = wire.encode(list(values))
        if kind == "lambda":
            if function is None:
                raise CallFailed("ResourceNotFoundException", f"{arn} is no function", retriable=False)
            done = await function.invoke(body, trace)
            return done.payload if done.how is How.DONE else done
        if kind == "states":
            return await self._execution(arn, body)
        return await self._post(arn, given.get("HttpParameters") or {}, records[0] if records else None, body)

    async def _execution(self, arn: str, body: bytes) -> bytes:
        """Of an Express workflow, to its end."""
        if len(body) > EXECUTION:
            raise CallFailed("InvalidExecutionInput", f"more than {EXECUTION} characters", retriable=False)
        started = {"stateMachineArn": arn, "input": body.decode()}
        place = Place(*arn.split(":")[3:5])
        done = await self._clients.call("stepfunctions", "StartSyncExecution", started, place)
        if done.get("status") != "SUCCEEDED":
            raise CallFailed(
                str(done.get("error") or done.get("status")), str(done.get("cause", "")), retriable=False
            )
        return str(done.get("output") or "").encode()

    async def send(
        self, pipe: str, arn: str, kind: str, given: Mapping[str, Any], records: Sequence[Any],
        values: Sequence[Any],
    ) -> None:  # fmt: skip
        """Done once the target has all of it. pipe: its name. Raises CallFailed, of which Partial."""
        most = MOST.get(kind)
        if most is not None and len(values) > most:
            text = f"{len(values)} records are more than the {most} that one call of {arn} takes"
            raise CallFailed("BatchTooLarge", text, retriable=False)
        if kind in ("lambda", "states"):
            await self._targets.send(Message(arn, wire.encode(list(values))))
        elif kind in ("api-destination", "execute-api"):
            for record, value in zip(records, values, strict=True):
                await self._post(arn, given.get("HttpParameters") or {}, record, wire.encode(value))
        else:
            place, name = Place(*arn.split(":")[3:5]), arn.split(":", 5)[5]
            pairs = list(zip(records, values, strict=True))
            await getattr(self, f"_{kind.replace('-', '_')}")(pipe, place, name, given, pairs)

    async def _sqs(
        self, _pipe: str, place: Place, name: str, given: Mapping[str, Any], pairs: list[tuple[Any, Any]]
    ) -> None:
        queue = given.get("SqsQueueParameters") or {}
        named = {"QueueName": name, "QueueOwnerAWSAccountId": place.account}
        url = (await self._clients.call("sqs", "GetQueueUrl", named, place))["QueueUrl"]
        entries = [
            {
                "Id": str(n), "MessageBody": _text(value),
                **{member: dynamic(queue[member], record) for member in queue if queue[member]},
            }
            for n, (record, value) in enumerate(pairs)
        ]  # fmt: skip
        found = await self._clients.call(
            "sqs", "SendMessageBatch", {"QueueUrl": url, "Entries": entries}, place
        )
        _whole([(int(each["Id"]), each) for each in found.get("Failed") or ()], "Code", "Message")

    async def _sns(
        self, _pipe: str, place: Place, name: str, _given: Mapping[str, Any], pairs: list[tuple[Any, Any]]
    ) -> None:
        arn = f"arn:aws:sns:{place.region}:{place.account}:{name}"
        entries = [{"Id": str(n), "Message": _text(value)} for n, (_, value) in enumerate(pairs)]
        batch = {"TopicArn": arn, "PublishBatchRequestEntries": entries}
        found = await self._clients.call("sns", "PublishBatch", batch, place)
        _whole([(int(each["Id"]), each) for each in found.get("Failed") or ()], "Code", "Message")

    async def _event_bus(
        self, _pipe: str, place: Place, name: str, given: Mapping[str, Any], pairs: list[tuple[Any, Any]]
    ) -> None:
        bus = given["EventBridgeEventBusParameters"]
        entries = []
        for record, value in pairs:
            entry: dict[str, Any] = {
                "Source": dynamic(bus["Source"], record), "DetailType": dynamic(bus["DetailType"], record),
                "Detail": _text(value), "EventBusName": name.removeprefix("event-bus/"),
                "Resources": [dynamic(each, record) for each in bus.get("Resources") or ()],
            }  # fmt: skip
            if bus.get("Time"):
                entry["Time"] = dynamic(bus["Time"], record)
            entries.append(entry)
        found = await self._clients.call("events", "PutEvents", {"Entries": entries}, place)
        refused = [(n, each) for n, each in enumerate(found.get("Entries") or ()) if each.get("ErrorCode")]
        _whole(refused, "ErrorCode", "ErrorMessage")

    async def _kinesis(
        self, _pipe: str, place: Place, name: str, given: Mapping[str, Any], pairs: list[tuple[Any, Any]]
    ) -> None:
        key = given["KinesisStreamParameters"]["PartitionKey"]
        records = [
            {"Data": _text(value).encode(), "PartitionKey": dynamic(key, record)[:256]}
            for record, value in pairs
        ]
        batch = {"StreamName": name.removeprefix("stream/"), "Records": records}
        found = await self._clients.call("kinesis", "PutRecords", batch, place)
        refused = [(n, each) for n, each in enumerate(found.get("Records") or ()) if each.get("ErrorCode")]
        _whole(refused, "ErrorCode", "ErrorMessage")

    async def _firehose(
        self, _pipe: str, place: Place, name: str, _given: Mapping[str, Any], pairs: list[tuple[Any, Any]]
    ) -> None:
        records = [{"Data": _text(value).encode()} for _, value in pairs]
        batch = {"DeliveryStreamName": name.removeprefix("deliverystream/"), "Records": records}
        found = await self._clients.call("firehose", "PutRecordBatch", batch, place)
        responses = found.get("RequestResponses") or ()
        _whole(
            [(n, each) for n, each in enumerate(responses) if each.get("ErrorCode")],
            "ErrorCode",
            "ErrorMessage",
        )

    async def _logs(
        self, pipe: str, place: Place, name: str, given: Mapping[str, Any], pairs: list[tuple[Any, Any]]
    ) -> None:
        logs = given.get("CloudWatchLogsParameters") or {}
        group = name.removeprefix("log-group:").removesuffix(":*")
        stream = {"logGroupName": group, "logStreamName": logs.get("LogStreamName") or pipe}
        entries = [
            {
                "timestamp": _milliseconds(dynamic(logs.get("Timestamp") or "", record)),
                "message": _text(value),
            }
            for record, value in pairs
        ]
        put = {**stream, "logEvents": sorted(entries, key=lambda each: int(str(each["timestamp"])))}
        try:
            await self._clients.call("logs", "PutLogEvents", put, place)
        except CallFailed as error:
            if error.code != "ResourceNotFoundException":
                raise
            await self._clients.call("logs", "CreateLogStream", stream, place)
            await self._clients.call("logs", "PutLogEvents", put, place)


def _whole(refused: list[tuple[int, Mapping[str, Any]]], code: str, message: str) -> None:
    """Raises Partial for what a call of several did not take."""
    if refused:
        _, first = refused[0]
        raise Partial([n for n, _ in refused], str(first.get(code)), str(first.get(message) or ""))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else wire.encode(value).decode()


def _milliseconds(text: str) -> int:
    """Of a log event: epoch milliseconds, or now."""
    try:
        return int(float(text))
    except ValueError:
        return int(time.time() * 1e3)
