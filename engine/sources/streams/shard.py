"""One shard of a mapping: read, handed to the function, settled, and where it is written down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ... import wire
from ...aws.clients import CallFailed
from ...durable.folder import StoreError
from .. import backoff
from ..batches import event
from ..function import Function
from ..settings import Settings
from ..status import Status
from .api import EXPIRED, GONE, TRIMMED, Page, Position, Raw, Stream
from .flow import Checkpoint, Flow, Invocation
from .records import Rules
from .runner import FlowRunner, Report, now

_SLACK = 1.0  # seconds by which a record may be read later than its time of arrival says
_LONGEST = 30.0  # seconds after which a failing shard is tried again
QUIET = 30.0  # seconds without a record after which the pauses between reads are longer
_SELDOM = 3  # times
_WRITTEN = (
    0.02  # seconds between two times that it is written down how far a shard is, however small the batches
)

Save = Callable[[dict[str, Any]], Awaitable[None]]


def rules_of(settings: Settings) -> Rules:
    return Rules(
        settings.batch_size, settings.window, settings.parallel, settings.bisect, settings.retries,
        settings.max_age, settings.tumbling,
    )  # fmt: skip


class ShardReader(FlowRunner):
    """Belongs to the event loop. `run` ends when the shard is at its end, or after `stop`."""

    def __init__(
        self, stream: Stream, shard: str, settings: Settings, function: Function, status: Status,
        saved: dict[str, Any], save: Save, report: Report, lost: Callable[[], object], fresh: bool,
    ) -> None:  # fmt: skip
        """saved: what `save` was given last. report: done once a report is durable. lost: called when the stream seems
        not to be there any more. fresh: the mapping begins now."""
        start = Checkpoint(saved.get("sequence"), saved.get("window"), saved.get("state"))
        super().__init__(Flow(rules_of(settings), start), settings, function, status, report)
        self._stream, self._shard = stream, shard
        self._saved, self._save, self._lost = saved, save, lost
        self._read = start.sequence  # the last that was read
        self._iterator: str | None = None
        self._ended = False  # there is nothing more to be read
        self._fresh = fresh
        self._writing = False
        self._failures = 0
        self._reading: asyncio.Task[Page] | None = None
        self._again = 0.0  # when to read next, by the monotonic clock
        self._came = time.monotonic()  # the last record

    def stop(self) -> None:
        super().stop()
        if self._reading is not None:
            self._reading.cancel()

    async def begin(self) -> None:
        """Take note of where the shard ends, for a mapping that begins there. Raises CallFailed."""
        if self._fresh and self._saved.get("position") == "LATEST":
            self._iterator = await self._stream.iterator(self._shard, Position("LATEST"))
        self._fresh = False

    async def run(self) -> bool:
        """True: all of the shard is done."""
        while self._running and not (self._ended and self._flow.settled):
            self._event.clear()
            try:
                await self._turn()
            except Exception as error:  # it is this mapping's alone
                self._complain(error)
        while self._tasks:
            await asyncio.wait(self._tasks)
        while await self._written():
            pass
        done = self._ended and self._flow.settled
        if done:
            with contextlib.suppress(StoreError):
                await self._save({**self._saved, "done": True})
        return done

    async def _turn(self) -> None:
        if not self._ended and self._flow.room and time.monotonic() >= self._again:
            await self._more()
        self.go_on()
        if self._ended:
            self._flow.read_until(float("inf"))
        waits = []
        if not self._ended and self._flow.room:
            waits.append(self._again - time.monotonic())
        if (at := self._flow.wake_at()) is not None and not self._waiting:
            waits.append(at - now())
        wait = min(waits, default=_LONGEST)
        if wait > 0 and self._running and not (self._ended and self._flow.settled):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._event.wait()
        else:
            await asyncio.sleep(0)

    # Reading.

    async def _more(self) -> None:
        self._reading = asyncio.ensure_future(self._page())
        try:
            await self._meanwhile(self._reading)
            page = await self._reading
        except asyncio.CancelledError:
            if self._running:
                raise
            return
        finally:
            self._reading = None
        self._failures = 0
        moment = now()
        self._status.count("PolledEventCount", len(page.records))
        if dropped := self._feed(page.records, moment):
            self._status.count("FilteredOutEventCount", dropped)
        self._iterator, self._ended = page.next, page.next is None
        behind = page.behind
        if behind is not None:
            self._flow.read_until(moment - behind - _SLACK)
        ended = time.monotonic()
        if page.records:
            self._came = ended
        pause = self._stream.pause * (_SELDOM if ended > self._came + QUIET else 1)
        more = page.records and (behind is None or behind > 0)
        self._again = ended + (0.0 if more else pause)

    async def _meanwhile(self, reading: asyncio.Task[Page]) -> None:
        """What falls due while it is read is begun: a read may wait for long."""
        await asyncio.sleep(0)
        while not reading.done() and self._running:
            at = None if self._waiting else self._flow.wake_at()
            if at is None and not self._tasks:
                return  # nothing can fall due before it is read
            ended = asyncio.ensure_future(self._event.wait())
            wait = None if at is None else max(0.001, at - now())
            await asyncio.wait((reading, ended), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            self._event.clear()
            if not reading.done():
                self.go_on()

    async def _page(self) -> Page:
        """Raises CallFailed."""
        await self.begin()
        if self._iterator is None:
            self._iterator = await self._iterated()
        try:
            return await self._stream.read(self._shard, self._iterator)
        except CallFailed as failed:
            self._iterator = None
            if failed.code not in (*EXPIRED, *TRIMMED):
                raise
            self._iterator = await self._iterated()
            return await self._stream.read(self._shard, self._iterator)

    async def _iterated(self) -> str:
        """Where reading goes on; where that is not there any more, at the first that is."""
        position = self._position()
        try:
            return await self._stream.iterator(self._shard, position)
        except CallFailed as failed:
            if not position.after or failed.code not in TRIMMED:
                raise
            return await self._stream.iterator(self._shard, Position())

    def _position(self) -> Position:
        if self._read:
            return Position(after=self._read)
        kind, at = self._saved.get("position", "TRIM_HORIZON"), self._saved.get("at", 0.0)
        if kind == "LATEST":  # of an earlier moment: what was there before it, `_feed` leaves out
            return Position()
        return Position(kind, at)

    def _feed(self, raws: Sequence[Raw], now: float) -> int:
        """How many of them filters drop."""
        if not raws:
            return 0
        self._read = raws[-1].id
        filters = self._settings.filters
        latest = self._saved.get("position") == "LATEST"
        if not filters and not latest:
            for raw in raws:
                raw.close(True)
            self._flow.extend(raws, now)
            return 0
        since = self._saved.get("at", 0.0) - _SLACK if latest else 0.0
        dropped, left_out = 0, False
        for raw in raws:
            passes = not filters or raw.seen is None or filters.passes(raw.seen(), raw.data)
            fed = passes and raw.arrived >= since
            dropped += not passes
            left_out = left_out or not fed
            raw.close(fed)
            self._flow.feed(raw, now, fed)
        if left_out:
            self._write_soon()
        return dropped

    # Invoking.

    def _event_of(self, made: Invocation) -> bytes:
        payload = event(made.records)
        if made.window is None:
            return payload
        about = {
            "window": made.window, "state": made.state, "shardId": self._shard,
            "eventSourceARN": self._settings.source, "isFinalInvokeForWindow": made.final,
            "isWindowTerminatedEarly": made.early,
        }  # fmt: skip
        return payload[:-1] + b"," + wire.encode(about)[1:]

    def _measure(self, made: Invocation, now: float) -> None:
        if made.records:
            self._status.gauge("IteratorAge", max(0.0, now - made.records[-1].arrived) * 1e3)

    def _moved(self) -> None:
        self._write_soon()

    # Where it is.

    def _write_soon(self) -> None:
        if not self._writing:
            self._writing = True
            self._task(self._write())

    async def _write(self) -> None:
        """At once, and then not for a moment, in which more may be done."""
        try:
            while await self._written() and self._running:
                await asyncio.sleep(_WRITTEN)
        finally:
            self._writing = False

    async def _written(self) -> bool:
        """How far it is now is written down. False: it was already."""
        while True:
            at = self._flow.checkpoint()
            new = {**self._saved, "sequence": at.sequence}
            if self._settings.tumbling:
                new |= {"window": at.window, "state": at.state}
            if new == self._saved:
                return False
            try:
                await self._save(new)
            except StoreError:
                await asyncio.sleep(1.0)
                continue
            self._saved = new
            return True

    # Trouble.

    def _complain(self, error: Exception) -> None:
        self._failures += 1
        self._again = time.monotonic() + min(_LONGEST, max(0.2, backoff.delay(self._failures)))
        self._status.complain(self._settings, error)
        if isinstance(error, CallFailed) and error.code in GONE:
            self._lost()
