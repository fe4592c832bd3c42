"""Queues on the disk, many in one store: rows that are put, leased, and settled; what waits stays on the disk.

A queue has a name, "service:anything": whoever listens to the service hears of each of its queues that has rows due.
A row is put (durable when the future is done), is due after its delay, is leased to whoever asks, and then settled
(gone for ever), released (due again) or moved; a lease with a term ends by itself. Everything is at least once: what
was leased and not settled when the server dies is due again at the next start. Of each queue the first few hundred
rows are in memory, in the order in which they are due (queue_window.py); the rest is read when those are taken.

**Time.** Wall clocks jump, and a server that is off for a day has not failed to run anything in that day. So all due
times and ages are of the service clock: the nanoseconds that a server was up, summed over all runs. It is what the
disk has kept of it plus the monotonic clock since the start. It is kept with commits, at most once a second, and
every few seconds while anything waits; what a kill loses of it makes rows younger, never older, by that. A due time
is so at most its delay ahead of the clock, and nobody has to clamp it.

**FIFO groups** are queues of their own, leased `in_place`: the group g of "sqs:orders" could be "sqs:orders\\0g".

All of it belongs to one event loop. The interface is small so that another log, JetStream's say, can stand behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from .folder import StoreError
from .queue_alarms import NEVER, Alarms
from .queue_answers import Counts, First, Leased, QueueFull, Standing
from .queue_rows import ROW_BYTES, QueueRows, Reader, Row
from .queue_window import Window, Windows
from .queue_writer import Stored, Writer
from .store import Step, Store

__all__ = ["MAX_BYTES", "MAX_ROWS", "Counts", "First", "Leased", "QueueFull", "Queues", "Standing"]

MAX_BYTES = 1 << 30  # of all rows together
MAX_ROWS = 10_000_000
IDLE_KEPT = 5_000_000_000  # nanoseconds after which the clock is kept while rows only wait
UNREADABLE = 1_000_000_000  # nanoseconds until a disk that could not be read is tried again


Listener = Callable[[str], object]


class Queues:
    """All queues of a store. Made in the running loop, before the store's first commit. Raises StoreError."""

    def __init__(
        self,
        store: Store,
        *,
        max_bytes: int = MAX_BYTES,
        max_rows: int = MAX_ROWS,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """store: opened with QueueRows. clock: monotonic nanoseconds."""
        (loaded,) = store.load(QueueRows())
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._base = loaded.now - clock()
        self.max_bytes, self.max_rows = max_bytes, max_rows
        self._writer = Writer(store, self.now, loaded.next)
        self._writer.stored, self._writer.written, self._writer.idle = self._stored, self._place, self._over
        self._windows = Windows(Reader(store.reader()), self._writer, loaded.queues, self._complain)
        self._listeners: dict[str, Listener] = {}
        # Called after each commit, and after all `stored` of it.
        self.watchers: list[Callable[[], object]] = []
        self._woken: dict[str, None] = {}
        self._unwanted: set[int] = set()  # being put, and purged meanwhile
        self._alarms = Alarms(self._loop, self.tick)
        self._closed = False

    @property
    def row_count(self) -> int:
        """Of all queues."""
        return self._windows.row_count

    @property
    def byte_count(self) -> int:
        """Of all queues, as limits count."""
        return self._windows.byte_count

    @property
    def next_id(self) -> int:
        """Of the row that is put next. Ids grow, and none is given twice."""
        return self._writer.next_id

    def now(self) -> int:
        """The service clock, in nanoseconds."""
        return self._base + self._clock()

    def listen(self, service: str, listener: Listener) -> None:
        """Call it with the name of each of the service's queues in which a row became the first that is due (after a
        put, a delay, or the end of a lease), and of each to which the end of a lease returned a row. Who leaves due
        rows where they are asks again by himself. Of rows that are there from the start nobody hears: go through
        `queues`, and ask each whether it is `ready`."""
        self._listeners[service] = listener

    def queues(self, service: str) -> list[str]:
        """The names of its queues that have rows."""
        return [name for name in self._windows.queues if name.partition(":")[0] == service]

    def put(
        self, queue: str, value: bytes, *, meta: bytes = b"", delay: float = 0.0, also: Sequence[Step] = ()
    ) -> asyncio.Future[int]:
        """A new row, due after `delay` seconds. The future has its id once it is durable, or fails with StoreError.
        All puts of one turn of the loop are one commit. also: steps of other kinds in that commit. Raises
        QueueFull."""
        future: asyncio.Future[int] = self._loop.create_future()
        self._put(queue, value, meta, delay, _resolve, (future, self._writer.next_id), also)
        return future

    def post(self, queue: str, value: bytes, stored: Stored, item: object, *, meta: bytes = b"") -> None:
        """As `put`, due at once: `stored` is called in the loop once for all rows of a commit that have it, with their
        items and None or the error. Raises QueueFull."""
        self._put(queue, value, meta, 0.0, stored, item, ())

    def _put(
        self, queue: str, value: bytes, meta: bytes, delay: float, stored: Stored, item: object, also: Sequence[Step]
    ) -> None:  # fmt: skip
        size = len(value) + len(meta) + ROW_BYTES
        windows, writer = self._windows, self._writer
        if windows.byte_count + size > self.max_bytes or windows.row_count >= self.max_rows:
            raise QueueFull(f"the queues are full: {self.row_count} rows of {self.byte_count} bytes")
        now = self.now()
        row = Row(writer.next_id, queue, now + int(delay * 1e9), 0, now, size, meta, value)
        writer.next_id += 1
        windows.count(row, 1)
        writer.put(row, stored, item, also)

    def lease(
        self,
        queue: str,
        n: int = 1,
        seconds: float | None = None,
        *,
        in_place: bool = False,
        briefly: bool = False,
    ) -> list[Leased]:
        """Up to n rows that are due, first due first. seconds: then they are due again, and their attempts are kept
        on the disk, without being waited for; None: they are leased until they are settled or released, and nothing
        is written. in_place: a row whose lease ends is where it was, before those that came later, but its term is
        not on the disk: it ends with the server. Else it is due at the end of its term, behind what is due by
        then. briefly: the lease, too, is on the disk only if it lasts longer than a moment."""
        it = self._windows.queues.get(queue)
        found: list[Leased] = []
        if it is None:
            return found
        now, entries = self.now(), it.entries
        while len(found) < n and ((entries and entries[0][0] <= now) or self._first(it) <= now):
            row = entries[0][2]
            value = row.value
            self._windows.unplace(it, row)
            if value is None:
                try:
                    value = self._windows.value(row)
                except StoreError:  # it keeps its place
                    self._windows.place(row)
                    self._alarm(it, now + UNREADABLE)
                    break
            if value is None:
                continue
            row.attempts += 1
            row.leased, row.until = True, 0
            it.leased += 1
            if seconds is not None:
                self._term(row, now, seconds, in_place, briefly)
            found.append(Leased(row.id, row.attempts, row.first, row.meta, value))
        self._first(it)
        self._arm()
        return found

    def ready(self, queue: str) -> bool:
        """Is there a row that could be leased now?"""
        return self.first(queue) is not None

    def first(self, queue: str) -> First | None:
        """The row that could be leased now."""
        it = self._windows.queues.get(queue)
        if it is None:
            return None
        due = self._first(it)
        self._arm()
        if due > self.now():
            return None
        row = it.entries[0][2]
        return First(row.due, row.id, row.first, row.meta)

    def sizes(self, queue: str) -> tuple[int, int]:
        """How many rows it has, and how many of them are leased."""
        it = self._windows.queues.get(queue)
        return (0, 0) if it is None else (it.rows, it.leased)

    def standing(self, id: int) -> Standing | None:
        """Of a row, maybe from the disk; None: there is none. Raises StoreError."""
        row = self._windows.find(id)
        return (
            None if row is None else Standing(row.queue, row.attempts, row.leased or row.unwritten, row.due)
        )

    def settling(self, id: int) -> bool:
        """Is it gone, but maybe not yet from the disk?"""
        return id in self._writer.settling

    def annotate(self, id: int, meta: bytes) -> None:
        """A leased row has other metadata from now on; its next change writes it."""
        row = self._windows.rows.get(id)
        if row is not None and row.leased:
            self._windows.describe(row, meta)

    def settle(self, ids: Iterable[int]) -> asyncio.Future[None]:
        """These rows are gone, whether leased or not; the future is done once they are so durably. A write that fails
        is tried again until it is done. An id of no row is ignored. Raises StoreError when one cannot be looked
        for."""
        return self._settle([row for id in dict.fromkeys(ids) if (row := self._windows.find(id)) is not None])

    def remove(self, queue: str, ids: Iterable[int]) -> int:
        """`settle`, of those that are in this queue, without waiting for the disk. How many those were."""
        find = self._windows.find
        rows = [row for id in dict.fromkeys(ids) if (row := find(id)) is not None and row.queue == queue]
        if rows:
            self._settle(rows)
        return len(rows)

    def _settle(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        windows, gone = self._windows, self._writer.gone
        touched = {row.queue: windows.queues[row.queue] for row in rows}
        for row in rows:
            if row.placed:
                windows.unplace(touched[row.queue], row)
            self._end_lease(row)
            windows.rows.pop(row.id, None)
            windows.count(row, -1)
            gone(row)
        for it in touched.values():  # only now: it may read rows, and must not find those that are gone
            self._first(it)
        return self._writer.soon()

    def release(self, id: int, delay: float = 0.0, *, meta: bytes | None = None) -> asyncio.Future[None]:
        """A leased row is due again after `delay` seconds, maybe with other metadata. Without a delay it is where it
        was, unless its lease had a term and was not in place. The future is done once the disk has it so; then it can
        be leased. Does nothing for an id that is not leased."""
        row = self._windows.rows.get(id)
        if row is not None and row.leased:
            now = self.now()
            self._end_lease(row)
            if delay > 0 or row.due > now:
                row.due = now + int(delay * 1e9)
                self._writer.state(row)
            if meta is not None:
                self._windows.describe(row, meta)
                self._writer.state(row)
            if row.unwritten:
                self._writer.state(row)
                return self._writer.soon()
            self._place([row])
            self._wake()
        return self._done()

    def extend(self, id: int, seconds: float) -> bool:
        """The term of a lease that has one ends in so many seconds from now. False: it is not leased with one."""
        row = self._windows.rows.get(id)
        if row is None or not row.leased or not row.until:
            return False
        self._term(row, self.now(), seconds, in_place=row.due < row.until)
        self._arm()
        return True

    def resume(self, id: int) -> bool:
        """A row whose lease an earlier run of the server gave, with a term that goes on, is leased again until then.
        False: there is no such row. Raises StoreError."""
        row = self._windows.find(id)
        if row is None or row.leased or not row.attempts or row.due <= self.now():
            return False
        it = self._windows.queues[row.queue]
        if row.placed:
            self._windows.unplace(it, row)
        self._windows.rows[row.id] = row
        row.leased, row.until = True, row.due
        it.leased += 1
        self._alarms.add(row.until, row=row.id)
        self._arm()
        return True

    def move(
        self, id: int, queue: str, delay: float = 0.0, *, meta: bytes | None = None
    ) -> asyncio.Future[None]:
        """A leased row goes to another queue in one step, due there after `delay` seconds, with no attempts. The
        future is done once it is so durably. Does nothing for an id that is not leased. A queue that is being purged
        gets it afterwards."""
        row = self._windows.rows.get(id)
        if row is None or not row.leased:
            return self._done()
        if queue in self._writer.purging:
            return asyncio.ensure_future(
                self._move_after(self._writer.purging[queue][1], id, queue, delay, meta)
            )
        self._end_lease(row)
        self._windows.count(row, -1)
        row.queue, row.due, row.attempts = queue, self.now() + int(delay * 1e9), 0
        self._windows.count(row, 1)
        if meta is not None:
            self._windows.describe(row, meta)
        self._writer.state(row)
        return self._writer.soon()

    async def _move_after(
        self, purged: asyncio.Future[None], id: int, queue: str, delay: float, meta: bytes | None
    ) -> None:
        await asyncio.shield(purged)
        await self.move(id, queue, delay, meta=meta)

    def purge(self, queue: str) -> tuple[int, asyncio.Future[None]]:
        """Every row that the queue has now is gone, leased or not: how many, and a future that is done once that is
        durable."""
        it = self._windows.queues.get(queue)
        if it is None:
            running = self._writer.purging.get(queue)
            return 0, running[1] if running else self._done()
        self._unwanted |= {row.id for row in self._writer.putting.values() if row.queue == queue}
        for row in self._windows.forget(it):
            row.leased = False
            if row.unwritten:  # the disk may have it in another queue yet
                self._writer.gone(row)
        return it.rows, self._writer.purge(queue)

    def counts(self, queue: str) -> Counts:
        """Raises StoreError."""
        it = self._windows.queues.get(queue)
        if it is None:
            return Counts(0, 0, 0, 0)
        delayed = self._windows.delayed(it, self.now())
        return Counts(max(0, it.rows - it.leased - delayed), delayed, it.leased, it.bytes)

    def close(self) -> None:
        """Write what is to be written; the store does so before it closes."""
        if not self._closed:
            self._closed = True
            self._alarms.close()
            self._writer.close()
            self._windows.close()

    def _done(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        future.set_result(None)
        return future

    def _complain(self, message: str, error: Exception | None) -> None:
        self._loop.call_exception_handler({"message": message, **({"exception": error} if error else {})})

    # What the writer reports.

    def _stored(self, rows: list[Row], error: BaseException | None) -> None:
        if error is None and not self._unwanted:
            self._place(rows)
            return
        placed = []
        for row in rows:
            if row.id in self._unwanted:
                self._unwanted.remove(row.id)
            elif error is None:
                placed.append(row)
                continue
            else:
                self._windows.count(row, -1)
            self._writer.gone(row)  # even after an error it may be on the disk
            self._writer.soon()
        self._place(placed)

    def _place(self, rows: Iterable[Row]) -> None:
        """Those that are leased by nobody, where they belong."""
        now = self.now()
        for row in rows:
            if row.leased:
                continue
            first = self._windows.place(row)
            if row.due <= now and (first or row.attempts):
                self._woken[row.queue] = None
            elif first:
                self._alarm(self._windows.queues[row.queue], row.due)

    # Terms, and rows that become due: one timer for all.

    def _term(self, row: Row, now: int, seconds: float, in_place: bool, briefly: bool = False) -> None:
        row.until = now + int(seconds * 1e9)
        if not in_place:
            row.due = row.until
        if briefly:
            self._writer.lazily(row)
        else:
            self._writer.state(row)
            self._writer.soon()
        self._alarms.add(row.until, row=row.id)

    def _end_lease(self, row: Row) -> None:
        if row.leased:
            row.leased, row.until = False, 0
            self._windows.queues[row.queue].leased -= 1

    def _first(self, it: Window) -> int:
        """When its first row is due, for which there is an alarm then."""
        if not it.entries and it.rows > it.leased and not self._windows.fill(it):
            self._alarm(it, self.now() + UNREADABLE)
        if it.due > self.now():
            self._alarm(it, it.due)
        return it.due

    def _alarm(self, it: Window, when: int) -> None:
        if when < it.alarm:
            it.alarm = when
            self._alarms.add(when, it.name)

    def tick(self) -> None:
        """Do what is due by now; the timer calls it."""
        now = self.now()
        for name, id in self._alarms.due(now):
            if id:
                row = self._windows.rows.get(id)
                if row is not None and row.leased and 0 < row.until <= now:
                    self._end_lease(row)
                    if row.unwritten:  # it is placed once the disk has it so
                        self._writer.state(row)
                        self._writer.soon()
                    else:
                        self._place([row])
            elif (it := self._windows.queues.get(name)) is not None:
                it.alarm = NEVER
                if self._first(it) <= now:
                    self._woken[name] = None
        if self.row_count and now - self._writer.kept >= IDLE_KEPT:
            self._writer.soon()
        self._wake()

    def _over(self) -> None:
        for watcher in self.watchers:
            watcher()
        self._wake()

    def _wake(self) -> None:
        while self._woken:
            name = next(iter(self._woken))
            del self._woken[name]
            listener = self._listeners.get(name.partition(":")[0])
            if listener is not None:
                try:
                    listener(name)
                except Exception as error:
                    self._complain("a queue's listener failed", error)
        self._arm()

    def _arm(self) -> None:
        """The timer to the first alarm, or to when the clock is to be kept."""
        if self._closed:
            return
        rows, queues = self._windows.rows, self._windows.queues
        if len(self._alarms) > 1024 + 4 * (len(rows) + len(queues)):
            leases = [(row.until, "", row.id) for row in rows.values() if row.until]
            self._alarms.replace(
                leases + [(it.alarm, it.name, 0) for it in queues.values() if it.alarm < NEVER]
            )
        self._alarms.arm(self.now(), self._writer.kept + IDLE_KEPT if self.row_count else NEVER)


def _resolve(puts: list[tuple[asyncio.Future[int], int]], error: BaseException | None) -> None:
    for future, id in puts:
        if future.done():
            continue
        if error is None:
            future.set_result(id)
        else:
            future.set_exception(error)
