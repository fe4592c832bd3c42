"""One shard of a mapping: read, handed to the function, settled, and where it is written down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ... import wire
from ...aws.clients import CallFailed
from ...durable.folder import StoreError
from .. import backoff, reports, words
from ..batches import event
from ..function import Function, How
from ..settings import Settings
from ..status import Status
from .api import EXPIRED, GONE, TRIMMED, Page, Position, Raw, Stream
from .flow import Checkpoint, Flow, GivenUp, Invocation
from .records import Record, Rules

_SLACK = 1.0  # seconds by which a record may be read later than its time of arrival says
_LONGEST = 30.0  # seconds after which a failing shard is tried again

Save = Callable[[dict[str, Any]], Awaitable[None]]
Report = Callable[[GivenUp], Awaitable[None]]


_EPOCH = time.time() - time.monotonic()


def _now() -> float:
    """Epoch seconds, by a clock that does not jump."""
    return _EPOCH + time.monotonic()


def rules_of(settings: Settings) -> Rules:
    return Rules(
        settings.batch_size, settings.window, settings.parallel, settings.bisect, settings.retries,
        settings.max_age, settings.tumbling,
    )  # fmt: skip


class ShardReader:
    """Belongs to the event loop. `run` ends when the shard is at its end, or after `stop`."""

    def __init__(
        self, stream: Stream, shard: str, settings: Settings, function: Function, status: Status,
        saved: dict[str, Any], save: Save, report: Report, lost: Callable[[], object], fresh: bool,
    ) -> None:  # fmt: skip
        """saved: what `save` was given last. report: done once a report is durable. lost: called when the stream seems
        not to be there any more. fresh: the mapping begins now."""
        self._stream, self._shard, self._settings = stream, shard, settings
        self._function, self._status = function, status
        self._saved, self._save, self._report, self._lost = saved, save, report, lost
        start = Checkpoint(saved.get("sequence"), saved.get("window"), saved.get("state"))
        self._flow = Flow(rules_of(settings), start)
        self._read = start.sequence  # the last that was read
        self._iterator: str | None = None
        self._ended = False  # there is nothing more to be read
        self._fresh = fresh
        self._running = True
        self._event, self._halt = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = False
        self._waiting = False  # for the function
        self._reporting: set[int] = set()  # lanes
        self._failures = 0
        self._reading: asyncio.Task[Page] | None = None
        self._again = 0.0  # when to read next, by the monotonic clock

    def stop(self) -> None:
        self._running = False
        self._event.set()
        self._halt.set()
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
        await self._written()
        done = self._ended and self._flow.settled
        if done:
            with contextlib.suppress(StoreError):
                await self._save({**self._saved, "done": True})
        return done

    async def _turn(self) -> None:
        if not self._ended and self._flow.room and time.monotonic() >= self._again:
            await self._more()
        self._start()
        if self._ended:
            self._flow.read_until(float("inf"))
        waits = []
        if not self._ended and self._flow.room:
            waits.append(self._again - time.monotonic())
        if (at := self._flow.wake_at()) is not None and not self._waiting:
            waits.append(at - _now())
        wait = min(waits, default=_LONGEST)
        if wait > 0 and self._running and not (self._ended and self._flow.settled):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._event.wait(), wait)
        else:
            await asyncio.sleep(0)

    # Reading.

    async def _more(self) -> None:
        self._reading = asyncio.ensure_future(self._page())
        try:
            page = await self._reading
        except asyncio.CancelledError:
            if self._running:
                raise
            return
        finally:
            self._reading = None
        self._failures = 0
        now = _now()
        for raw in page.records:
            self._feed(raw, now)
        self._iterator, self._ended = page.next, page.next is None
        behind = page.behind
        if behind is not None:
            self._flow.read_until(now - behind - _SLACK)
        more = page.records and (behind is None or behind > 0)
        self._again = time.monotonic() + (0.0 if more else self._stream.pause)

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

    def _feed(self, raw: Raw, now: float) -> None:
        self._read = raw.sequence
        self._status.count("PolledEventCount")
        passes = self._settings.filters.passes(raw.seen, raw.data)
        if not passes:
            self._status.count("FilteredOutEventCount")
        if self._saved.get("position") == "LATEST" and raw.arrived < self._saved.get("at", 0.0) - _SLACK:
            passes = False
        record = Record(raw.sequence, raw.key, wire.encode(raw.shown) if passes else b"", raw.arrived)
        self._flow.feed(record, now, passes)
        if not passes:
            self._write_soon()

    # Invoking.

    def _start(self) -> None:
        if not self._running or self._waiting:
            return
        problem = self._function.problem()
        full = None if problem else self._function.full()
        if problem or full is not None:
            if problem or self._function.closed:
                self._status.say(problem or words.THROTTLED)
            self._waiting = True
            self._task(self._until_changed())
            return
        for made in self._flow.next(_now()):
            self._task(self._invoke(made))
        for given in self._flow.given_up():
            if given.lane not in self._reporting:
                self._reporting.add(given.lane)
                self._task(self._give_up(given))

    def _task(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._event.set()
        if self._running:
            self._start()  # not only after what is being read
        if not task.cancelled() and (error := task.exception()) is not None:
            self._status.complain(self._settings, error)

    async def _until_changed(self) -> None:
        """Room in the function, or the end of this."""
        full = self._function.full()
        if full is None and not self._function.problem():  # since it was looked at last
            self._waiting = False
            return
        halted = asyncio.ensure_future(self._halt.wait())
        changed = asyncio.ensure_future(self._function.changed(full))
        try:
            await asyncio.wait((halted, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            halted.cancel()
            changed.cancel()
            self._waiting = False

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

    async def _invoke(self, made: Invocation) -> None:
        result = await self._function.invoke(self._event_of(made))
        now, count = _now(), len(made.records)
        if result.how in (How.REFUSED, How.GONE):
            self._status.say(result.words)
            self._flow.refused(made, now)
            return
        self._status.count("InvokedEventCount", count)
        if made.records:
            self._status.gauge("IteratorAge", max(0.0, now - made.records[-1].arrived) * 1e3)
        if result.how is How.FAILED:
            self._flow.failed(made, now, result.request_id, result.version)
            well = False
        else:
            failed: set[str] | None = set()
            if self._settings.reports:
                failed = reports.failed(result.payload, {record.id for record in made.records})
            response = _decoded(result.payload) if made.window is not None else None
            well = self._flow.done(made, now, failed, response, result.request_id, result.version)
            if failed:
                self._status.count("FailedInvokeEventCount", len(failed))
        if well:
            self._status.ok()
        else:
            self._status.say(words.FAILED)
            self._status.count("FailedInvokeEventCount", count)
        self._write_soon()

    async def _give_up(self, given: GivenUp) -> None:
        """Reported, if there is a destination; then the shard goes on."""
        try:
            await self._report(given)
            self._status.count("DroppedEventCount", len(given.piece.records))
            self._flow.noted(given)
        finally:
            self._reporting.discard(given.lane)
        self._write_soon()

    # Where it is.

    def _write_soon(self) -> None:
        if not self._writing:
            self._writing = True
            self._task(self._write())

    async def _write(self) -> None:
        try:
            await self._written()
        finally:
            self._writing = False

    async def _written(self) -> None:
        while True:
            at = self._flow.checkpoint()
            new = {**self._saved, "sequence": at.sequence}
            if self._settings.tumbling:
                new |= {"window": at.window, "state": at.state}
            if new == self._saved:
                return
            try:
                await self._save(new)
            except StoreError:
                await asyncio.sleep(1.0)
                continue
            self._saved = new

    # Trouble.

    def _complain(self, error: Exception) -> None:
        self._failures += 1
        self._again = time.monotonic() + min(_LONGEST, max(0.2, backoff.delay(self._failures)))
        self._status.complain(self._settings, error)
        if isinstance(error, CallFailed) and error.code in GONE:
            self._lost()


def _decoded(payload: bytes) -> Any:
    try:
        return wire.decode(payload)
    except (ValueError, RecursionError):
        return None
