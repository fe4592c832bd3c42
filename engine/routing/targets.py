"""What an ARN names, as something to send a message to: a queue, a topic, a function, an event bus, a bucket, a log
group, a stream, a state machine."""

from __future__ import annotations

import asyncio
import base64
import re
import time
import uuid
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from .. import wire
from ..aws.clients import CallFailed, Clients
from ..aws.faults import Fault
from ..aws.names import LATEST, Place
from ..hosting.invoker import new_id
from ..hosting.placements import Hosting
from .event import AcceptedEvent

_ARN = re.compile(
    r"arn:aws[a-z-]*:(?P<service>sqs|sns|lambda|events|s3|logs|kinesis|firehose|states):(?P<region>[^:]*):(?P<account>[^:]*):(?P<name>.+)"
)
_ASK_S = 5.0  # that who configures a target waits to hear whether it is there
# What a service is asked whether something is there, and the member that names it.
_ASKED = {
    "sqs": ("GetQueueUrl", "QueueName"), "sns": ("GetTopicAttributes", "TopicArn"),
    "events": ("DescribeEventBus", "Name"), "s3": ("HeadBucket", "Bucket"),
}  # fmt: skip
_MISSING = {
    "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NotFound", "NotFoundException",
    "ResourceNotFoundException", "NoSuchBucket", "404",
}  # fmt: skip
# Takes an event of a function's; calls back once it is durable. Raises Fault.
Accept = Callable[[AcceptedEvent, bytes, Callable[[BaseException | None], None]], None]


class Message(msgspec.Struct, array_like=True):
    """What is sent, whatever to. source, detail_type, resources: of an event on a bus; key: of an object in a bucket,
    of a record in a stream, or of a message's group; attributes: of a message, by name its type and value, which is
    base64 of a binary one; deduplication: of a message of a FIFO queue; subject: of one to a topic; trace: the
    X-Amzn-Trace-Id that it goes on with."""

    target: str  # an ARN
    body: bytes
    attributes: dict[str, tuple[str, str]] = {}
    source: str = ""
    detail_type: str = ""
    resources: list[str] = []
    key: str = ""
    deduplication: str = ""
    subject: str = ""
    trace: str = ""


class Targets:
    """Sends messages on behalf of a place. Belongs to the event loop."""

    def __init__(self, clients: Clients, hosting: Hosting, accept: Accept, default: Place) -> None:
        """default: the place on whose behalf buckets are written to, whose ARNs name none."""
        self._default = default
        self._clients = clients
        self._hosting = hosting
        self._accept = accept
        self._urls: dict[str, str] = {}  # of queues, by their ARNs
        self.spans = hosting.spans

    async def send(self, message: Message) -> None:
        """Done once the target has it. Raises CallFailed."""
        found = _ARN.fullmatch(message.target)
        if found is None:
            text = f"{message.target} names nothing that a message can be sent to"
            raise CallFailed("InvalidArn", text, retriable=False)
        place = Place(found["region"], found["account"])
        await getattr(self, f"_{found['service']}")(message, place, found["name"])

    async def exists(self, arn: str) -> bool:
        """Is there what this names? Asked where it would be sent; what cannot be asked now may be there."""
        found = _ARN.fullmatch(arn)
        if found is None:
            return False
        place, name = Place(found["region"], found["account"]), found["name"]
        if found["service"] == "lambda":
            return self._is_function(place, *_qualified(name))
        operation, member = _ASKED[found["service"]]
        members = {member: arn if member.endswith("Arn") else name.removeprefix("event-bus/")}
        if found["service"] == "sqs":
            members["QueueOwnerAWSAccountId"] = place.account
        elif found["service"] == "s3":
            place = self._default
        try:
            async with asyncio.timeout(_ASK_S):
                await self._clients.call(found["service"], operation, members, place)
        except CallFailed as failed:
            return failed.code not in _MISSING
        except TimeoutError:
            return True
        return True

    async def _sqs(self, message: Message, place: Place, name: str) -> None:
        url = self._urls.get(message.target)
        if url is None:
            members = {"QueueName": name, "QueueOwnerAWSAccountId": place.account}
            url = str((await self._clients.call("sqs", "GetQueueUrl", members, place))["QueueUrl"])
            self._urls[message.target] = url
        sent: dict[str, Any] = {
            "QueueUrl": url,
            "MessageBody": _text(message.body),
            "MessageAttributes": _attributes(message),
        }
        if message.key:
            sent["MessageGroupId"] = message.key
        if message.deduplication:
            sent["MessageDeduplicationId"] = message.deduplication
        try:
            await self._clients.call("sqs", "SendMessage", sent, place, trace=message.trace)
        except CallFailed:
            self._urls.pop(message.target, None)  # it may have been made anew elsewhere
            raise

    async def _sns(self, message: Message, place: Place, _name: str) -> None:
        sent = {
            "TopicArn": message.target, "Message": _text(message.body), "MessageAttributes": _attributes(message),
            **({"Subject": message.subject} if message.subject else {}),
        }  # fmt: skip
        await self._clients.call("sns", "Publish", sent, place, trace=message.trace)

    async def _events(self, message: Message, place: Place, name: str) -> None:
        entry = {
            "Source": message.source, "DetailType": message.detail_type, "Detail": _text(message.body),
            "Resources": [message.target, *message.resources], "EventBusName": name.removeprefix("event-bus/"),
        }  # fmt: skip
        result = await self._clients.call(
            "events", "PutEvents", {"Entries": [entry]}, place, trace=message.trace
        )
        for refused in result.get("Entries", ()):
            if refused.get("ErrorCode"):
                code, text = refused["ErrorCode"], refused.get("ErrorMessage", "")
                raise CallFailed(code, text, retriable=code in ("InternalFailure", "ThrottlingException"))

    async def _logs(self, message: Message, place: Place, name: str) -> None:
        """A group's stream of the day."""
        group = name.removeprefix("log-group:").removesuffix(":*")
        stream = {"logGroupName": group, "logStreamName": time.strftime("events/%Y/%m/%d", time.gmtime())}
        entry = {"timestamp": int(time.time() * 1e3), "message": _text(message.body)}
        try:
            await self._clients.call("logs", "PutLogEvents", {**stream, "logEvents": [entry]}, place)
        except CallFailed as error:
            if error.code != "ResourceNotFoundException":
                raise
            try:
                await self._clients.call("logs", "CreateLogStream", stream, place)
            except CallFailed as refused:
                if refused.code != "ResourceAlreadyExistsException":
                    raise
            await self._clients.call("logs", "PutLogEvents", {**stream, "logEvents": [entry]}, place)

    async def _kinesis(self, message: Message, place: Place, name: str) -> None:
        record = {
            "StreamName": name.removeprefix("stream/"),
            "Data": message.body,
            "PartitionKey": message.key,
        }
        await self._clients.call("kinesis", "PutRecord", record, place)

    async def _firehose(self, message: Message, place: Place, name: str) -> None:
        stream = name.removeprefix("deliverystream/")
        record = {"DeliveryStreamName": stream, "Record": {"Data": message.body}}
        await self._clients.call("firehose", "PutRecord", record, place)

    async def _states(self, message: Message, place: Place, _name: str) -> None:
        execution = {"stateMachineArn": message.target, "input": _text(message.body)}
        await self._clients.call("stepfunctions", "StartExecution", execution, place, trace=message.trace)

    async def _s3(self, message: Message, _place: Place, name: str) -> None:
        bucket = {"Bucket": name, "Key": message.key, "Body": message.body, "ContentType": "application/json"}
        await self._clients.call("s3", "PutObject", bucket, self._default)

    def _is_function(self, place: Place, function: str, qualifier: str) -> bool:
        state = self._hosting.of(place).state
        version = state.get("function", function, qualifier or LATEST)
        return version is not None or state.get("alias", function, qualifier) is not None

    async def _lambda(self, message: Message, place: Place, name: str) -> None:
        """A function of this server, whatever its place: accepted as its event."""
        function, qualifier = _qualified(name)
        if not self._is_function(place, function, qualifier):
            _no_such(message.target)
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_stored(error: BaseException | None) -> None:
            if stored.done():
                return
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(CallFailed("ServiceException", str(error), retriable=True))

        extras = wire.Extras(trace=message.trace) if message.trace else None
        event = AcceptedEvent(function, qualifier or None, place.partition, new_id(), time.time(), extras)
        try:
            self._accept(event, message.body, on_stored)
        except Fault as fault:
            raise CallFailed(fault.code, fault.message or "", retriable=True) from fault
        await stored


def _qualified(name: str) -> tuple[str, str]:
    """What an ARN has behind the account: a function's name, and its qualifier or ""."""
    function, _, qualifier = name.removeprefix("function:").partition(":")
    return function, qualifier


def _no_such(arn: str) -> NoReturn:
    raise CallFailed("ResourceNotFoundException", f"Function not found: {arn}", retriable=False)


def object_key(prefix: str, name: str) -> str:
    """A key as Lambda makes them for records that it puts into buckets, of now."""
    now = time.gmtime()
    return time.strftime(f"{prefix}/{name}/%Y/%m/%d/%Y-%m-%dT%H.%M.%S-", now) + str(uuid.uuid4())


def _attributes(message: Message) -> dict[str, dict[str, Any]]:
    return {
        name: {"DataType": type, "BinaryValue": base64.b64decode(value)}
        if type.partition(".")[0] == "Binary"
        else {"DataType": type, "StringValue": value}
        for name, (type, value) in message.attributes.items()
    }


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")
