"""The queue against a dictionary: any sequence of operations, failing writes and ends of the server in between."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from support import ManualClock

from engine.durable import queue_window, queue_writer
from engine.durable.queue import Leased, Queues
from engine.durable.queue_rows import QueueRows
from engine.durable.store import Store

QUEUES = ("a:1", "a:2", "b:3")
NAMES = st.sampled_from(QUEUES)
EXAMPLES = int(os.environ.get("STOKER_EXAMPLES", "15"))
SECONDS = st.sampled_from([0.0, 0.0, 1.0, 5.0])


@dataclass
class Known:
    """A row as it should be."""

    queue: str
    value: bytes
    meta: bytes
    due: int
    first: int
    leased: bool = False
    until: int = 0  # of a lease with a term


class QueueMachine(RuleBasedStateMachine):
    rows: Bundle[int] = Bundle("rows")

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.complaints: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.known: dict[int, Known] = {}
        self.number = 0
        self.failing = 0
        self.doubtful: list[asyncio.Future[Any]] = []  # under way
        self.open()

    def open(self) -> None:
        self.clock = ManualClock(random.randrange(10**15))
        self.store = Store(self.folder, [QueueRows()])
        real = self.store._write

        def write(group: Any) -> Any:
            if self.failing > 0:
                self.failing -= 1
                raise sqlite3.OperationalError("as asked for")
            return real(group)

        self.store._write = write  # type: ignore[method-assign]

        async def make() -> Queues:
            return Queues(self.store, clock=self.clock.now)

        self.queues = self.loop.run_until_complete(make())
        self.woken: set[str] = set()
        for service in "ab":
            self.queues.listen(service, self.woken.add)

    def run(self, awaitable: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            try:
                return await asyncio.wait_for(asyncio.ensure_future(awaitable), 30)
            except TimeoutError:
                raise AssertionError(f"not done in 30 s; complaints: {self.complaints}") from None

        return self.loop.run_until_complete(wait())

    def at_rest(self) -> None:
        """Everything is written."""

        async def settled() -> None:
            for _ in range(3):
                await self.queues.settle([])

        self.run(settled())

    async def hurried(self) -> None:
        """What has a moment's time is written, too."""
        self.queues._writer._hurry()

    def expire(self) -> None:
        now = self.queues.now()
        for row in self.known.values():
            if row.leased and 0 < row.until <= now:
                row.leased, row.until = False, 0

    @rule(
        target=rows,
        queue=NAMES,
        sizes=st.lists(st.sampled_from([0, 5, 3000]), min_size=1, max_size=9),
        delay=SECONDS,
    )
    def put(self, queue: str, sizes: list[int], delay: float) -> Any:
        """All ids are drawn from, those of rows that were refused, too: which write fails is a matter of time."""

        async def puts() -> list[tuple[int, bytes, object]]:
            futures = []
            for size in sizes:
                self.number += 1
                value = b"%d " % self.number + b"x" * size
                id = self.queues.next_id
                futures.append(
                    (id, value, self.queues.put(queue, value, meta=b"m%d" % self.number, delay=delay))
                )
            self.now = self.queues.now()
            return [
                (id, value, (await asyncio.gather(future, return_exceptions=True))[0])
                for id, value, future in futures
            ]

        done = self.run(puts())
        for id, value, result in done:
            assert id not in self.known
            if not isinstance(result, BaseException):
                assert result == id
                meta = b"m" + value.split(b" ")[0]
                self.known[id] = Known(queue, value, meta, self.now + int(delay * 1e9), self.now)
        return multiple(*(id for id, _, _ in done))

    @rule(
        queue=NAMES,
        n=st.integers(1, 12),
        seconds=st.sampled_from([None, 2.0, 30.0]),
        in_place=st.booleans(),
        briefly=st.booleans(),
    )
    def lease(self, queue: str, n: int, seconds: float | None, in_place: bool, briefly: bool) -> None:
        self.at_rest()
        self.expire()
        now = self.queues.now()
        assert self.queues.ready(queue) == any(
            row.queue == queue and not row.leased and row.due <= now for row in self.known.values()
        )

        async def lease() -> list[Leased]:
            return self.queues.lease(queue, n, seconds, in_place=in_place, briefly=briefly)

        found = self.run(lease())
        expected = sorted(
            (row.due, id)
            for id, row in self.known.items()
            if row.queue == queue and not row.leased and row.due <= now
        )[:n]
        assert [row.id for row in found] == [id for _, id in expected]
        for leased in found:
            row = self.known[leased.id]
            assert (leased.value, leased.meta) == (row.value, row.meta)
            row.leased = True
            if seconds is not None:
                row.until = now + int(seconds * 1e9)
                if not in_place:
                    row.due = row.until

    @rule(ids=st.lists(consumes(rows), max_size=6), wait=st.booleans())
    def settle(self, ids: list[int], wait: bool) -> None:
        async def settle() -> asyncio.Future[None]:
            return self.queues.settle([*ids, 10**9, *ids[:1]])

        future = self.run(settle())
        for id in ids:
            self.known.pop(id, None)
        if wait:
            self.run(future)

    @rule(id=rows, delay=SECONDS, meta=st.sampled_from([None, b"other"]))
    def release(self, id: int, delay: float, meta: bytes | None) -> None:
        self.expire()

        async def release() -> None:
            self.queues.release(id, delay, meta=meta)

        self.run(release())
        row, now = self.known.get(id), self.queues.now()
        if row is not None and row.leased:
            row.leased, row.until = False, 0
            row.meta = row.meta if meta is None else meta
            if delay or row.due > now:
                row.due = now + int(delay * 1e9)

    @rule(id=rows, queue=NAMES, delay=SECONDS)
    def move(self, id: int, queue: str, delay: float) -> None:
        self.expire()

        async def move() -> None:
            self.queues.move(id, queue, delay, meta=b"moved")

        self.run(move())
        row = self.known.get(id)
        if row is not None and row.leased:
            row.leased, row.until, row.queue, row.meta = False, 0, queue, b"moved"
            row.due = self.queues.now() + int(delay * 1e9)

    @rule(id=rows)
    def extend(self, id: int) -> None:
        self.expire()

        async def extend() -> bool:
            return self.queues.extend(id, 10)

        row = self.known.get(id)
        leased = row is not None and row.until > 0
        assert self.run(extend()) == leased
        if leased:
            assert row is not None
            if row.due == row.until:
                row.due = self.queues.now() + 10**10
            row.until = self.queues.now() + 10**10

    @rule(queue=NAMES)
    def purge(self, queue: str) -> None:
        mine = [id for id, row in self.known.items() if row.queue == queue]

        async def purge() -> None:
            count, done = self.queues.purge(queue)
            assert count == len(mine)
            await done

        self.run(purge())
        for id in mine:
            del self.known[id]

    @rule(seconds=st.sampled_from([0.001, 1.0, 4.0, 40.0]))
    def advance(self, seconds: float) -> None:
        self.at_rest()
        self.woken.clear()
        before = {queue: self.queues.ready(queue) for queue in QUEUES}
        self.clock.advance(seconds)

        async def tick() -> None:
            self.queues.tick()

        brief = bool(self.queues._writer._lazy)
        self.run(tick())
        if brief:  # a row whose lease ends before it was written is due once it is
            self.at_rest()
        self.expire()
        now = self.queues.now()
        for queue in QUEUES:
            if not before[queue] and any(
                row.queue == queue and not row.leased and row.due <= now for row in self.known.values()
            ):
                assert queue in self.woken, "nobody heard of what became due"

    @rule(n=st.integers(1, 2))
    def fail(self, n: int) -> None:
        self.failing = n

    @rule(in_order=st.booleans())
    def restart(self, in_order: bool) -> None:
        """In order, or as if killed once what was acknowledged is on the disk."""
        if in_order:
            self.at_rest()
            was = self.queues.now()
            self.queues.close()
        else:
            was = self.queues.now()
            self.loop.run_until_complete(self.hurried())
            self.at_rest()
            self.queues._closed = self.queues._writer._closed = True
        self.store.close()
        self.open()
        assert was - 5_100_000_000 * 8 <= self.queues.now() <= was + 1_000_000
        for row in self.known.values():
            row.leased, row.until = False, 0

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "queues"):
            return
        assert self.queues.row_count == len(self.known)
        assert self.queues.byte_count == sum(len(r.value) + len(r.meta) + 128 for r in self.known.values())
        assert not self.complaints
        for it in self.queues._windows.queues.values():
            assert len(it.entries) <= queue_window.WINDOW

    def teardown(self) -> None:
        if hasattr(self, "queues"):
            self.failing = 0
            self.at_rest()
            self.queues.close()
            self.store.close()
            tables = sqlite3.connect(self.folder / "stoker.db")
            assert {id for (id,) in tables.execute("SELECT id FROM queue")} == set(self.known)
            tables.close()
            self.loop.close()
            shutil.rmtree(self.folder)


@pytest.mark.slow
@pytest.mark.parametrize("window", [(3, 2, 1000), (4, 4, 6), (512, 128, 1000)])
def test_the_queue_does_what_a_dictionary_does(
    window: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With windows so small that most rows are read from the disk, and as they are."""
    monkeypatch.setattr(queue_window, "WINDOW", window[0])
    monkeypatch.setattr(queue_window, "CHUNK", window[1])
    monkeypatch.setattr(queue_window, "SMALL_WINDOW", 1)
    monkeypatch.setattr(queue_window, "ALL", window[2])
    monkeypatch.setattr(queue_window, "HELD", 4000)
    monkeypatch.setattr(queue_writer, "PURGED", 3)
    monkeypatch.setattr(queue_writer, "AGAIN", (0.001, 0.002))
    QueueMachine.TestCase.settings = settings(
        max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    QueueMachine.TestCase().runTest()
