"""What queues write: new rows with each turn of the loop, changes of rows one commit after the other.

Changes are in order, so that a row's states reach the disk in order, and a write that failed is not overtaken by a
later one: it is tried again, with what came meanwhile, until the disk has it. A new row that could not be written is
refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from .queue_rows import INLINE, Clock, Insert, Purge, Row, Write, state_of
from .store import Step, Store

KEPT, RESERVED = 1_000_000_000, 10_000  # nanoseconds, and ids, that one record of the clock covers
PURGED = 1_000  # rows that one commit purges
LATER = 0.1  # seconds for which a state that need not be written soon waits for its row to be gone
AGAIN = (0.05, 5.0)  # seconds until a write that failed is tried again, at first and at most

# Called once for all rows of a commit that have it: with an item of each, and why the disk has them not, if so.
Stored = Callable[[list[Any], BaseException | None], object]
_Done = Callable[[BaseException | None, int], None]


class Writer:
    """Writes to the store; belongs to the running loop. `stored` is called with the rows of each commit of new ones and
    why it failed, if it did; `written` with those whose states the disk now has; `idle` after either, and a purge."""

    def __init__(self, store: Store, now: Callable[[], int], next_id: int) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._now = now
        self.next_id = next_id
        self.kept = now() - KEPT  # the clock as the disk has it
        self._reserved = 0  # the ids that the disk knows as given
        self.putting: dict[int, Row] = {}  # not durable yet
        self.settling: set[int] = set()  # gone, but maybe not yet from the disk
        self.purging: dict[str, tuple[int, asyncio.Future[None]]] = {}  # by queue: up to which id
        self._puts: list[Row] = []
        self._stored: dict[Stored, list[Any]] = {}  # whom they have, with their items
        self._also: list[Step] = []
        self._states: dict[int, Row] = {}  # to be written with the next change
        self._lazy: dict[int, Row] = {}  # to be written with one to come
        self._gone: dict[int, bool] = {}  # to be deleted with it; may it be large?
        self._waiters: list[asyncio.Future[None]] = []
        self._writing = self._soon = self._closed = False
        self._failures = 0
        self.stored: Callable[[list[Row], BaseException | None], None] = lambda rows, error: None
        self.written: Callable[[list[Row]], None] = lambda rows: None
        self.idle: Callable[[], None] = lambda: None

    def put(self, row: Row, stored: Stored, item: object, also: Sequence[Step] = ()) -> None:
        """`stored` is called in the loop once the disk has it, or has refused it; after the writer's own."""
        if not self._puts:
            self._loop.call_soon(self._flush)
        self.putting[row.id] = row
        self._puts.append(row)
        items = self._stored.get(stored)
        if items is None:
            self._stored[stored] = [item]
        else:
            items.append(item)
        if also:
            self._also += also

    def state(self, row: Row) -> None:
        """To be written as it is then."""
        row.unwritten = True
        self._lazy.pop(row.id, None)
        self._states[row.id] = row

    def lazily(self, row: Row) -> None:
        """To be written as it is a moment later, unless the row is gone by then."""
        if row.id in self._states:
            return
        row.unwritten = True
        if not self._lazy:
            self._loop.call_later(LATER, self._hurry)
        self._lazy[row.id] = row

    def _hurry(self) -> None:
        if self._lazy and not self._closed:
            self._states |= self._lazy
            self._lazy = {}
            self.soon()

    def gone(self, row: Row) -> None:
        """To be deleted."""
        self._states.pop(row.id, None)
        self._lazy.pop(row.id, None)
        self._gone[row.id] = row.size > INLINE
        self.settling.add(row.id)

    def purge(self, queue: str) -> asyncio.Future[None]:
        """Every row of a queue that was put until now is to be deleted."""
        running = self.purging.get(queue)
        future: asyncio.Future[None] = running[1] if running else self._loop.create_future()
        self.purging[queue] = (self.next_id - 1, future)
        self.soon()
        return future

    def soon(self) -> asyncio.Future[None]:
        """Write what there is to write soon; the future is done once the disk has it."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(future)
        if not self._writing and not self._soon:
            self._soon = True
            self._loop.call_soon(self._write)
        return future

    def close(self) -> None:
        """Hand all of it to the store, which writes before it closes. Nothing is called any more."""
        self._flush()
        self._closed = True
        self._store.commit(
            [*self._change(self._states | self._lazy, self._gone), Clock(self._now(), self.next_id)]
        )

    def _commit(self, steps: list[Step], done: _Done) -> None:
        now = self._now()
        if now - self.kept >= KEPT or self.next_id > self._reserved:
            self.kept, self._reserved = now, self.next_id + RESERVED
            steps.append(Clock(now, self._reserved))

        def over(future: Future[int | None]) -> None:
            error = future.exception()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(on_loop, error, 0 if error else future.result() or 0)

        def on_loop(error: BaseException | None, count: int) -> None:
            if self._closed:
                return
            if error is not None:
                self.kept, self._reserved = self._now() - KEPT, 0
            done(error, count)
            self.idle()

        self._store.commit(steps).add_done_callback(over)

    def _flush(self) -> None:
        rows, self._puts = self._puts, []
        hear, self._stored = self._stored, {}
        also, self._also = self._also, []
        if not rows:
            return

        def done(error: BaseException | None, _count: int) -> None:
            for row in rows:
                del self.putting[row.id]
            self.stored(rows, error)
            for stored, items in hear.items():
                try:
                    stored(items, error)
                except Exception as failure:  # it keeps no other from hearing
                    message = "who put a row could not be called"
                    self._loop.call_exception_handler({"message": message, "exception": failure})

        self._commit([Insert(rows), *also], done)

    @staticmethod
    def _change(states: dict[int, Row], gone: dict[int, bool]) -> list[Step]:
        if not states and not gone:
            return []
        large = [id for id, large in gone.items() if large]
        return [Write([state_of(row) for row in states.values()], list(gone), large)]

    def _write(self) -> None:
        self._soon = False
        if self._writing or self._closed:
            return
        self._writing = True
        states, self._states = self._states, {}
        gone, self._gone = self._gone, {}
        waiters, self._waiters = self._waiters, []
        steps = self._change(states, gone)
        if not steps and not self.purging and self._now() - self.kept < KEPT:
            self._writing = False
            _finish(waiters)
            return
        purged = next(iter(self.purging), None)
        last = self.purging[purged][0] if purged is not None else 0
        if purged is not None:
            steps.append(Purge(purged, last, PURGED))

        def done(error: BaseException | None, count: int) -> None:
            self._writing = False
            if error is not None:
                older = {
                    id: row for id, row in states.items() if id not in self._gone and id not in self._lazy
                }
                self._states = {**older, **self._states}
                self._gone = {**gone, **self._gone}
                self._waiters = waiters + self._waiters
                self._soon = True
                self._loop.call_later(min(AGAIN[1], AGAIN[0] * 2**self._failures), self._write)
                self._failures = min(self._failures + 1, 16)
                return
            self._failures = 0
            self.settling.difference_update(gone)
            later = (self._states, self._lazy, self.settling)
            rows = [row for id, row in states.items() if not any(id in each for each in later)]
            for row in rows:
                row.unwritten = False
            self.written(rows)
            _finish(waiters)
            if purged is not None and count < PURGED and last == self.purging[purged][0]:
                _finish([self.purging.pop(purged)[1]])
            if self._states or self._gone or self.purging or self._waiters:
                self._soon = True
                self._loop.call_soon(self._write)

        self._commit(steps, done)


def _finish(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
