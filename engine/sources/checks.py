"""What AWS asks a source when a mapping of it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..aws.clients import CallFailed, Clients
from ..aws.faults import Fault
from ..aws.names import Place
from . import brokers, words
from .acked.broker import GONE, REFUSED
from .consumers import broker
from .rabbitmq.broker import address
from .settings import Settings
from .words import no_access

_PATIENCE = 5.0  # seconds; a source that cannot be asked now may be there
_NO_QUEUE = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
    "SQS Error Message: The specified queue does not exist."
)
_ANY = {"UUID": "check", "FunctionArn": "", "BatchSize": 1}  # of a mapping that only looks
_DENIED = "AccessDenied"
_NO_PERMISSION = "The provided execution role does not have permissions to call ReceiveMessage on SQS"
_MISSING = ("NonExistentQueue", "QueueDoesNotExist", "ResourceNotFound", "NotFoundException")
_THINGS = {"kafka": "Cluster", "mq": "Broker"}  # others are streams


def _invalid(message: str) -> Fault:
    return Fault("InvalidParameterValueException", message, Type="User")


async def check(clients: Clients, kind: str, source: str, timeout: int) -> None:
    """timeout: the function's, in seconds. Raises Fault."""
    place = Place(*source.split(":")[3:5])
    try:
        async with asyncio.timeout(_PATIENCE):
            if kind == "sqs":
                await _queue(clients, source, place, timeout)
            elif kind == "kinesis" and "/consumer/" in source:
                await _consumer(clients, source, place)
            elif kind == "kinesis":
                name = {"StreamName": source.rpartition(":stream/")[2].partition("/")[0]}
                await clients.call("kinesis", "DescribeStreamSummary", name, place)
            elif kind == "dynamodb":
                stream = {"StreamArn": source, "Limit": 1}
                await clients.call("dynamodbstreams", "DescribeStream", stream, place)
            elif kind == "kafka" and not brokers.named(source):
                await clients.call("kafka", "DescribeClusterV2", {"ClusterArn": source}, place)
            elif kind == "mq":
                await address(clients, source)
    except words.Problem as problem:
        raise _invalid(problem.text.removeprefix("PROBLEM: ")) from problem
    except TimeoutError:
        return
    except CallFailed as failed:
        if _DENIED in failed.code:
            text = no_access(kind, source).removeprefix("PROBLEM: ")
            raise _invalid(_NO_PERMISSION if kind == "sqs" else text) from failed
        if any(each in failed.code for each in _MISSING):
            raise _invalid(
                _NO_QUEUE if kind == "sqs" else f"{_THINGS.get(kind, 'Stream')} not found: {source}"
            ) from failed


async def check_own(kind: str, source: Mapping[str, Any], arn: str) -> None:
    """Of a source that AWS has not. Raises Fault."""
    try:
        read = broker(
            Settings.of(Place("", ""), {**_ANY, "_kind": kind, "EventSourceArn": arn, "_source": source})
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                await read.look()
        finally:
            await read.release()
    except TimeoutError:
        return
    except CallFailed as failed:
        if failed.code == GONE:
            raise _invalid(f"Stream not found: {arn}") from failed
        if failed.code == REFUSED:
            raise _invalid(f"Cannot access stream {arn}: {failed.message}") from failed
        if not failed.retriable:
            raise _invalid(failed.message) from failed


async def _consumer(clients: Clients, source: str, place: Place) -> None:
    """Of a stream, for enhanced fan-out."""
    found = await clients.call("kinesis", "DescribeStreamConsumer", {"ConsumerARN": source}, place)
    status = (found.get("ConsumerDescription") or {}).get("ConsumerStatus", "ACTIVE")
    if status != "ACTIVE":
        raise _invalid(f"Stream consumer {source} is not active: {status}")


async def _queue(clients: Clients, source: str, place: Place, timeout: int) -> None:
    named = {"QueueName": source.rsplit(":", 1)[1], "QueueOwnerAWSAccountId": place.account}
    url = (await clients.call("sqs", "GetQueueUrl", named, place))["QueueUrl"]
    asked = {"QueueUrl": url, "AttributeNames": ["VisibilityTimeout"]}
    found: dict[str, Any] = await clients.call("sqs", "GetQueueAttributes", asked, place)
    hidden = int((found.get("Attributes") or {}).get("VisibilityTimeout", timeout))
    if hidden < timeout:
        raise _invalid(
            f"Queue visibility timeout: {hidden} seconds is less than Function timeout: {timeout} seconds"
        )
