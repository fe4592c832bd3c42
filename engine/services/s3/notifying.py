"""The notification configurations of buckets: kept as records, checked, and what becomes of an event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ... import wire
from ...aws.faults import Fault
from ...aws.names import Place
from ...durable.changes import Changes
from ...durable.folder import StoreError
from ...durable.queue import QueueFull
from ...durable.state import Record, States
from ...durable.store import Step
from ...routing.targets import Targets
from .configurations import DESTINATIONS, Configuration, checked, configurations
from .delivery import Delivery, Permitted
from .faults import invalid
from .records import Bucket, Cause, Happening, Sequencer, bus_event, record, test_event

TABLE = "s3-notifications"  # a bucket's configuration, in the partition of its place
# Puts an event of an AWS service's on a place's default bus. Raises QueueFull, StoreError, Fault.
Publish = Callable[[Place, Mapping[str, Any]], Awaitable[None]]
_MISSING = {"sqs": "queue", "sns": "topic", "lambda": "Lambda"}


class Notifications:
    """Belongs to one event loop."""

    def __init__(
        self, states: States, targets: Targets, delivery: Delivery, permitted: Permitted, publish: Publish
    ) -> None:
        self._states = states
        self._targets = targets
        self._delivery = delivery
        self._permitted = permitted
        self._publish = publish
        self._changes = Changes("s3")
        self._sequencer = Sequencer()

    def close(self) -> None:
        self._changes.close()

    def find(self, bucket: str) -> tuple[Bucket, Record] | None:
        """A bucket that has a configuration: names are the same in all places."""
        for state in self._states.all():
            if (found := state.get(TABLE, bucket)) is not None:
                return Bucket(bucket, Place.of(state.partition)), found
        return None

    async def configure(self, bucket: Bucket, members: dict[str, Any], cause: Cause, trusted: bool) -> None:
        """trusted: its destinations are not asked whether they are there. Raises Fault."""
        kept = checked(members, bucket.place)
        if not trusted:
            for each in configurations(kept):
                await self._check_destination(bucket, each)
        async with self._changes.lock:
            await self._write(bucket, kept or None)
        tests = [each for each in configurations(kept) if each.argument != "LambdaFunctionArn"]
        await self._durable([self._delivery.put(bucket, each, test_event(bucket, cause)) for each in tests])

    async def forget(self, bucket: str) -> None:
        """It was deleted."""
        if found := self.find(bucket):
            async with self._changes.lock:
                await self._write(found[0], None)

    def wanted(self, bucket: str, events: Sequence[str], key: str | None) -> bool:
        """Does any of these events of a bucket's interest anyone? key: None where it is not known yet."""
        found = self.find(bucket)
        if found is None:
            return False
        if "EventBridgeConfiguration" in found[1]:
            return True
        return any(each.takes(event, key) for each in configurations(found[1]) for event in events)

    async def notify(
        self, name: str, happenings: Sequence[Happening], cause: Cause, also: tuple[Step, ...] = ()
    ) -> bool:
        """Done once each delivery is durable. also: goes with the first, False: there is none. Raises Fault."""
        found = self.find(name)
        if found is None:
            return False
        bucket, members = found
        at = time.time()
        pending: list[Awaitable[Any]] = []
        queued = False
        try:
            for happening in happenings:
                sequencer = self._sequencer.next()
                for each in configurations(members):
                    if each.takes(happening.event, happening.key):
                        made = record(bucket, happening, cause, each.id, sequencer, at)
                        body = wire.encode({"Records": [made]})
                        pending.append(self._delivery.put(bucket, each, body, () if queued else also))
                        queued = True
                if "EventBridgeConfiguration" in members:
                    event = bus_event(bucket, happening, cause, sequencer, at)
                    pending.append(self._publish(bucket.place, event))
        except QueueFull as full:
            pending.append(_failed(full))
        await self._durable(pending)
        return queued

    async def _durable(self, pending: Sequence[Awaitable[Any]]) -> None:
        """All of them. Raises Fault."""
        try:
            await asyncio.gather(*pending)
        except QueueFull as full:
            raise Fault("SlowDown", f"Please reduce your request rate. ({full})") from full
        except StoreError as error:
            raise Fault(
                "InternalError", f"We encountered an internal error. Please try again. ({error})"
            ) from error

    async def _check_destination(self, bucket: Bucket, each: Configuration) -> None:
        service = each.arn.split(":")[2]
        if not await self._targets.exists(each.arn):
            raise invalid(DESTINATIONS, each.arn, f"The destination {_MISSING[service]} does not exist")
        if service == "lambda" and not self._permitted(each.arn, bucket):
            text = f"Not authorized to invoke function [{each.arn}]"
            raise invalid(DESTINATIONS, f"{each.arn}, null", text)

    async def _write(self, bucket: Bucket, record: Record | None) -> None:
        state = self._states.of(bucket.place.partition)
        if record is None and state.get(TABLE, bucket.name) is None:
            return
        try:
            await self._changes.write(state, (TABLE, bucket.name, "", record))
        except StoreError as error:
            raise Fault("InternalError", str(error)) from error


async def _failed(error: Exception) -> None:
    raise error
