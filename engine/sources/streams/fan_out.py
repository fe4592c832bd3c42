"""Enhanced fan-out: a Kinesis stream's records as they are pushed to a registered consumer, shard by shard.

A subscription lasts five minutes at most; the next one goes on behind what the last event said. An event that names
child shards ends its shard. What is told of an iterator here is where a subscription begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from ... import wire
from ...aws.clients import INITIAL, CallFailed
from .api import TRIMMED, Page, Position
from .kinesis import Kinesis

_WAIT = 0.25  # seconds that a read waits for an event: what else a shard has to do waits as long
_LATER = 1.0  # seconds until a subscription that may not be made yet is tried again
_UNREAD = 30.0  # seconds without a read after which a subscription is ended
_BEGINS = 5.0  # seconds that who is to see what comes from now on waits for it
Events = AsyncGenerator[tuple[str, dict[str, Any]], None]
_FIRST = wire.encode({"Type": "TRIM_HORIZON"}).decode()  # of the records that are still there
_QUIET = "ReadTimeoutError"  # nothing came for a while, not even that there is nothing
# A subscription of this consumer is still known, or there were five in this second.
_BUSY = ("ResourceInUseException", "LimitExceededException")


class _Subscription:
    """To one shard. next: where the following one begins."""

    def __init__(self, events: Events, start: str) -> None:
        self.events = events
        self.next = start
        self.ends: asyncio.TimerHandle | None = None
        self._coming: asyncio.Task[tuple[str, dict[str, Any]] | None] | None = None

    async def begun(self, seconds: float) -> None:
        """Until the service has it, or a while. What went wrong, `event` says."""
        await asyncio.wait((self._task(),), timeout=seconds)

    async def event(self, seconds: float) -> dict[str, Any] | None:
        """The next one; None: not yet. Raises EOFError at the end, and CallFailed."""
        coming = self._task()
        await asyncio.wait((coming,), timeout=seconds)
        if not coming.done():
            return None
        self._coming = None
        found = coming.result()
        if found is None:
            raise EOFError
        return None if found[0] == INITIAL else found[1]

    def _task(self) -> asyncio.Task[tuple[str, dict[str, Any]] | None]:
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_task(_first(self.events))
        return self._coming

    async def close(self) -> None:
        if self.ends is not None:
            self.ends.cancel()
        if self._coming is not None:
            self._coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, CallFailed):
                await self._coming
        await self.events.aclose()


async def _first(events: Events) -> tuple[str, dict[str, Any]] | None:
    return await anext(events, None)


class FanOut(Kinesis):
    """A stream that is read by the consumer that the mapping's source names."""

    pause = 0.0

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._subscriptions: dict[str, _Subscription] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._not_before: dict[str, float] = {}  # by shard, by the loop's clock

    async def iterator(self, shard: str, position: Position) -> str:
        """A starting position."""
        if position.after:
            start: dict[str, Any] = {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position.after}
        else:
            start = {"Type": position.kind}
            if position.kind == "AT_TIMESTAMP":
                start["Timestamp"] = position.at
        self._end(shard)
        text = wire.encode(start).decode()
        if start["Type"] != "LATEST":
            return text
        # What comes from now on is its own, and, if it breaks off before there was any, the next one's.
        now = time.time()
        subscription = self._subscribed(shard, text)
        await subscription.begun(_BEGINS)
        subscription.next = wire.encode({"Type": "AT_TIMESTAMP", "Timestamp": now}).decode()
        return subscription.next

    async def read(self, shard: str, iterator: str) -> Page:
        loop = asyncio.get_running_loop()
        wait = self._not_before.get(shard, 0.0) - loop.time()
        if wait > 0:
            await asyncio.sleep(min(wait, _WAIT))
            return Page([], iterator)
        try:
            subscription = self._subscribed(shard, iterator)
            if subscription.ends is not None:
                subscription.ends.cancel()
            subscription.ends = loop.call_later(_UNREAD, self._end, shard)
            event = await subscription.event(_WAIT)
        except EOFError:  # its time was over
            return Page([], self._end(shard) or iterator)
        except CallFailed as failed:
            start = self._end(shard) or iterator
            if failed.code == _QUIET:
                return Page([], start)
            if failed.code in TRIMMED and wire.decode(start.encode())["Type"] == "AFTER_SEQUENCE_NUMBER":
                return Page([], _FIRST)
            if failed.code not in _BUSY:
                raise
            self._not_before[shard] = loop.time() + _LATER
            return Page([], start)
        except asyncio.CancelledError:
            self._end(shard)
            raise
        if event is None:
            return Page([], subscription.next)
        records = [self._raw(shard, each) for each in event.get("Records") or ()]
        behind = event.get("MillisBehindLatest")
        place = event.get("ContinuationSequenceNumber")
        if event.get("ChildShards") or not place:
            self._end(shard)
            return Page(records, None)
        subscription.next = wire.encode({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": place}).decode()
        return Page(records, subscription.next, None if behind is None else behind / 1000)

    def _subscribed(self, shard: str, start: str) -> _Subscription:
        """The subscription that goes on there."""
        known = self._subscriptions.get(shard)
        if known is not None and known.next == start:
            return known
        self._end(shard)
        position = wire.decode(start.encode())
        if "Timestamp" in position:
            position["Timestamp"] = datetime.fromtimestamp(position["Timestamp"], UTC)
        members = {"ConsumerARN": self._source, "ShardId": shard, "StartingPosition": position}
        events = self._clients.subscribe("kinesis", "SubscribeToShard", members, self._place)
        made = self._subscriptions[shard] = _Subscription(events, start)
        return made

    def _end(self, shard: str) -> str:
        """Of a shard's subscription: where the next one begins, "" where there was none."""
        known = self._subscriptions.pop(shard, None)
        if known is None:
            return ""
        task = asyncio.get_running_loop().create_task(known.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return known.next
