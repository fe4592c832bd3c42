"""Deliveries to the destinations of subscription filters: functions, Kinesis streams, Firehose streams.

The log's process says which groups have new events; what their filters match of those is read from it, and put on the
disk, a record for each log stream, in one commit with how far that is. So an event that is in the log is delivered at
least once, across restarts; a function that does not take it, for up to 24 hours.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from ... import wire
from ...aws.clients import CallFailed
from ...aws.faults import Fault
from ...aws.names import LATEST, Place
from ...durable.folder import StoreError
from ...durable.queue import Leased, QueueFull, Queues
from ...durable.records import Delete, Put
from ...durable.state import States
from ...durable.store import Store
from ...errors import EngineError
from ...hosting.permissions import may_invoke
from ...hosting.placements import Hosting
from ...observe.records import FunctionOutput
from ...routing import retry
from ...routing.deliveries import Again, Deliveries, again
from ...routing.targets import Message, Targets
from .messages import Grown
from .process import LogsProcess
from .reading import FilterRead, Matched

SERVICE = "logs"  # of the queues' names
PROGRESS = "logs-subscription"  # a table: by group and filter, the filter's id and a sequence
LOG_GROUP = "/aws/logs/failed-deliveries"
RECORD_BYTES = 256 << 10  # of a record's messages, but for one that is larger itself
AGAIN = 1.0  # seconds until what could not be put is tried again
_INVALID = "InvalidParameterException"
_UNTESTED = {
    "kinesis": "Could not deliver test message to specified Kinesis stream. "
    "Check if the given kinesis stream is in ACTIVE state.",
    "firehose": "Could not deliver test message to specified Firehose stream. "
    "Check if the given Firehose stream is in ACTIVE state.",
}
_NOT_EXECUTED = (
    "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your "
    "function."
)
_OWN_GROUP = "The log group provided is reserved for the function logs of the destination function."
Key = tuple[Place, str]  # a log group


class Job(msgspec.Struct, array_like=True):
    """A record's way. key: what Kinesis chooses a shard by."""

    region: str
    account: str
    group: str
    filter: str
    destination: str
    key: str


_encode = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode


class Subscriptions:
    """Of every group. Belongs to the event loop."""

    def __init__(
        self,
        process: LogsProcess,
        store: Store,
        states: States,
        queues: Queues,
        targets: Targets,
        hosting: Hosting,
        log: Callable[[FunctionOutput], object],
    ) -> None:
        self._process, self._store, self._queues, self._targets = process, store, queues, targets
        self._hosting, self._log = hosting, log
        self._deliveries = Deliveries(queues, SERVICE, self._send, self._failed)
        self._progress: dict[tuple[Place, str, str], tuple[str, int]] = {}
        for state in states.all():
            for group in state.owners(PROGRESS):
                for name, record in state.owned(PROGRESS, group).items():
                    place = Place.of(state.partition)
                    self._progress[place, group, name] = record["id"], record["after"]
        self._reading: dict[Key, asyncio.Task[None]] = {}
        self._grown: set[Key] = set()

    def start(self) -> None:
        self._deliveries.start()
        self._process.watch(self._on_grown)

    def close(self) -> None:
        self._deliveries.close()
        for task in self._reading.values():
            task.cancel()

    # What a new filter must be able to reach.

    async def check(self, group: str, filter: str, arn: str, role: str | None, place: Place) -> None:
        """Raises Fault."""
        parts = arn.split(":", 6)
        vendor = parts[2] if len(parts) > 5 and parts[0] == "arn" else ""
        if vendor not in ("lambda", "kinesis", "firehose"):
            text = (
                f"PutSubscriptionFilter operation cannot work with destinationArn for vendor {vendor or arn}"
            )
            raise Fault(_INVALID, text)
        if (role is not None) is (vendor == "lambda"):
            how = "with" if vendor == "lambda" else "without"
            raise Fault(_INVALID, f"destinationArn for vendor {vendor} cannot be used {how} roleArn")
        if vendor == "lambda":
            if (why := self._refused(group, arn, place)) is not None:
                raise Fault(_INVALID, why)
            return
        job = Job(place.region, place.account, group, filter, arn, "test")
        try:
            await self._targets.send(_message(job, _control(vendor.title())))
        except CallFailed as failed:
            raise Fault(_INVALID, _UNTESTED[vendor]) from failed

    def _refused(self, group: str, arn: str, place: Place) -> str | None:
        """Why a function gets nothing from a group; None: it may."""
        if not self._may_invoke(group, arn, place):
            return _NOT_EXECUTED
        name, _, qualifier = arn.split(":", 6)[6].partition(":")
        state = self._hosting.of(place).state
        alias = state.get("alias", name, qualifier)
        version = str(alias["FunctionVersion"]) if alias else qualifier or LATEST
        record = state.get("function", name, version) or {}
        own = (f"/aws/lambda/{name}", record.get("LoggingConfig", {}).get("LogGroup"))
        return _OWN_GROUP if group in own else None

    def _may_invoke(self, group: str, arn: str, place: Place) -> bool:
        region, account, kind, rest = [*arn.split(":", 6), "", "", "", ""][3:7]
        name, _, qualifier = rest.partition(":")
        if kind != "function" or (region, account) != (place.region, place.account):
            return False
        state = self._hosting.of(place).state
        there = state.get("function", name, qualifier or LATEST) or state.get("alias", name, qualifier)
        source = f"arn:aws:logs:{place.region}:{place.account}:log-group:{group}:*"
        return there is not None and may_invoke(
            state, name, qualifier, "logs.amazonaws.com", source, place.account
        )

    async def made(self, group: str, filter: str, arn: str, place: Place) -> None:
        """A filter is there: its function gets a message, as AWS sends one, if there is room for it."""
        if ":lambda:" in arn:
            job = Job(place.region, place.account, group, filter, arn, "")
            with contextlib.suppress(QueueFull, StoreError):
                await self._queues.put(_line(place, group, filter), _control("Lambda"), meta=_encode(job))
        self._on_grown(Grown(place.account, place.region, group))

    async def gone(self, place: Place, group: str, filter: str | None) -> None:
        """Filters that were deleted. filter: None: with their group."""
        found = [key for key in self._progress if key[:2] == (place, group) and filter in (None, key[2])]
        for key in found:
            del self._progress[key]
        if found:
            steps = [Delete(place.partition, PROGRESS, group, name) for _, _, name in found]
            with contextlib.suppress(StoreError):  # what stays is of no filter
                await asyncio.wrap_future(self._store.commit(steps))

    # Reading.

    def _on_grown(self, grown: Grown) -> None:
        key = Place(grown.region, grown.account), grown.group
        self._grown.add(key)
        if key not in self._reading:
            self._reading[key] = asyncio.get_running_loop().create_task(self._read(key))

    async def _read(self, key: Key) -> None:
        try:
            await self._read_on(key)
        finally:  # in the turn in which it looked last
            del self._reading[key]

    async def _read_on(self, key: Key) -> None:
        place, group = key
        while key in self._grown:
            self._grown.discard(key)
            places = {
                id: after for (p, g, _), (id, after) in self._progress.items() if (p, g) == (place, group)
            }
            try:
                filters = await self._process.read(place.account, place.region, group, places)
            except EngineError:
                return  # the log's process has gone: the next start reads on
            for each in filters:
                await self._take(place, group, each)
                if each.more:
                    self._grown.add(key)

    async def _take(self, place: Place, group: str, read: FilterRead) -> None:
        """Done once it is durable."""
        progress = {"id": read.id, "after": read.upto}
        step = Put(place.partition, PROGRESS, group, read.name, msgspec.json.encode(progress))
        rows = [
            (stream, _record(place, group, stream, read.name, part))
            for stream, events in read.streams.items()
            for part in _parts(events)
        ]
        while rows:
            pending: list[asyncio.Future[Any]] = []
            try:  # in one commit: nothing else has a turn before they are all put
                for stream, record in rows:
                    shard = stream if read.distribution == "ByLogStream" else str(uuid.uuid4())
                    job = Job(place.region, place.account, group, read.name, read.destination, shard)
                    also = [step] if len(pending) == len(rows) - 1 else []
                    line = _line(place, group, read.name)
                    pending.append(self._queues.put(line, record, meta=_encode(job), also=also))
                await asyncio.gather(*pending)
                break
            except (QueueFull, StoreError):
                await asyncio.sleep(AGAIN)
        self._progress[place, group, read.name] = read.id, read.upto

    # Delivering.

    async def _send(self, _queue: str, row: Leased) -> None:
        job = _job(row.meta)
        place = Place(job.region, job.account)
        if ":lambda:" in job.destination and (why := self._refused(job.group, job.destination, place)):
            raise CallFailed("AccessDeniedException", why, retriable=False)
        await self._targets.send(_message(job, row.value))

    async def _failed(self, _queue: str, row: Leased, error: Exception) -> Again | None:
        if (step := again(self._queues, row, error, retry.TARGET_MAX_AGE)) is not None:
            return step
        job = _job(row.meta)
        text = f"[WARN] DeliveryFailed: {job.group} {job.filter} {job.destination}: {error}\n"
        at = int(time.time() * 1e3)
        self._log(FunctionOutput(job.region, job.account, LOG_GROUP, "subscriptions", at, text))
        return None


def _line(place: Place, group: str, filter: str) -> str:
    return f"{SERVICE}:{place.partition}/{group}:{filter}"


def _parts(events: Sequence[Matched]) -> Iterator[list[Matched]]:
    part: list[Matched] = []
    size = 0
    for each in events:
        if part and size + len(each.message) > RECORD_BYTES:
            yield part
            part, size = [], 0
        part.append(each)
        size += len(each.message)
    yield part


def _record(place: Place, group: str, stream: str, filter: str, events: Sequence[Matched]) -> bytes:
    return _packed(
        {
            "messageType": "DATA_MESSAGE", "owner": place.account, "logGroup": group, "logStream": stream,
            "subscriptionFilters": [filter],
            "logEvents": [{"id": e.id, "timestamp": e.timestamp, "message": e.message} for e in events],
        }
    )  # fmt: skip


def _control(vendor: str) -> bytes:
    what = {"Lambda": "Lambda function", "Kinesis": "Kinesis stream"}.get(vendor, vendor)
    text = f"CWL CONTROL MESSAGE: Checking health of destination {what}."
    return _packed(
        {
            "messageType": "CONTROL_MESSAGE", "owner": "CloudwatchLogs", "logGroup": "", "logStream": "",
            "subscriptionFilters": [],
            "logEvents": [{"id": "", "timestamp": int(time.time() * 1e3), "message": text}],
        }
    )  # fmt: skip


def _packed(record: dict[str, Any]) -> bytes:
    return gzip.compress(wire.encode(record), 6, mtime=0)


def _message(job: Job, record: bytes) -> Message:
    if ":lambda:" in job.destination:
        data = base64.b64encode(record).decode()
        return Message(job.destination, wire.encode({"awslogs": {"data": data}}))
    return Message(job.destination, record, key=job.key)
