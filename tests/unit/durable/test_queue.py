"""The queue: what is put is leased in order, ends by its term, is settled for ever, and is there at the next start."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hosted import until
from opened import Opened, run
from support import ManualClock

from engine.durable.folder import StoreError
from engine.durable.queue import Counts, QueueFull, Queues
from engine.durable.queue_rows import QueueRows
from engine.durable.store import Store


def test_rows_are_leased_in_order_and_settled_for_ever(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        await it.put(b"one", b"two", b"three", meta=b"m")
        assert it.woken == ["a:1"]
        one, two = it.queues.lease("a:1", 2)
        assert (one.value, two.value, one.meta, one.attempts) == (b"one", b"two", b"m", 1)
        assert it.queues.counts("a:1")[:3] == (1, 0, 2)
        await it.queues.settle([one.id])
        assert it.queues.row_count == 2

    async def second(it: Opened) -> None:
        assert it.queues.queues("a") == ["a:1"] and it.queues.row_count == 2
        rows = it.queues.lease("a:1", 10)
        assert [row.value for row in rows] == [b"two", b"three"], "what was leased is due again"
        await it.queues.settle(row.id for row in rows)
        assert it.queues.queues("a") == [] and it.queues.byte_count == 0

    async def third(it: Opened) -> None:
        (id,) = await it.put(b"four")
        assert id > 3, "ids never come again"

    run(tmp_path, first, second, third)


def test_a_delay_is_waited_for_and_then_the_listener_hears(tmp_path: Path) -> None:
    async def body(it: Opened) -> None:
        await it.put(b"late", delay=10)
        await it.put(b"soon", delay=5)
        assert it.take() == [] and it.woken == [] and it.queues.counts("a:1")[:3] == (0, 2, 0)
        it.advance(4.9)
        assert it.woken == []
        it.advance(0.2)
        assert it.woken == ["a:1"] and it.take() == [b"soon"]
        it.advance(5)
        assert it.woken == ["a:1"] * 2 and it.take() == [b"late"]

    run(tmp_path, body)


def test_the_timer_rings_by_itself(tmp_path: Path) -> None:
    async def body() -> None:
        store = Store(tmp_path, [QueueRows()])
        queues = Queues(store)
        try:
            heard = asyncio.Event()
            queues.listen("a", lambda _: heard.set())
            await queues.put("a:1", b"x", delay=0.05)
            await asyncio.wait_for(heard.wait(), 10)
            heard.clear()
            assert queues.lease("a:1", 1, 0.05)
            await asyncio.wait_for(heard.wait(), 10)
            assert queues.lease("a:1")[0].attempts == 2
        finally:
            queues.close()
            store.close()

    asyncio.run(body())


def test_a_lease_ends_by_its_term_and_terms_outlive_the_server(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        await it.put(b"x")
        (row,) = it.queues.lease("a:1", 1, 30)
        await it.written()
        it.advance(29)
        assert it.take() == []
        assert it.queues.extend(row.id, 30)
        await it.written()
        it.advance(29)
        assert it.take() == []
        it.advance(2)
        assert [(row.value, row.attempts) for row in it.queues.lease("a:1", 1, 30)] == [(b"x", 2)]
        assert not it.queues.extend(row.id + 1, 5)
        await it.written()

    async def second(it: Opened) -> None:
        assert it.take() == []
        it.advance(31)
        assert [(row.value, row.attempts) for row in it.queues.lease("a:1")] == [(b"x", 3)]

    run(tmp_path, first, second)


def test_rows_leased_in_place_keep_their_order(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        await it.put(b"1", b"2", b"3")
        it.advance(1)
        rows = it.queues.lease("a:1", 2, 30, in_place=True)
        await it.written()
        it.advance(31)
        assert [row.value for row in it.queues.lease("a:1", 3, 30, in_place=True)] == [b"1", b"2", b"3"]
        assert it.take() == []
        await asyncio.gather(*(it.queues.release(row.id) for row in reversed(rows)))
        assert it.take(1) == [b"1"]
        await it.written()

    async def second(it: Opened) -> None:
        rows = it.queues.lease("a:1", 3)
        assert [row.value for row in rows] == [b"1", b"2", b"3"]
        assert [row.attempts for row in rows] == [3, 3, 2]

    run(tmp_path, first, second)


def test_what_is_released_is_due_later_with_its_new_metadata(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        (id, _) = await it.put(b"x", b"y")
        it.take()
        await it.queues.release(id, 60, meta=b"once")
        await it.queues.release(id, 1)  # it is not leased: nothing
        it.advance(59)
        assert it.take() == []

    async def second(it: Opened) -> None:
        assert it.take() == [b"y"]
        it.advance(61)
        (row,) = it.queues.lease("a:1")
        assert (row.value, row.meta) == (b"x", b"once")

    run(tmp_path, first, second)


def test_a_row_moves_in_one_step(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        (id, other) = await it.put(b"x", b"y" * 5000, meta=b"m")
        it.take(seconds=30)
        await it.queues.move(id, "a:2", meta=b"moved")
        await it.queues.move(other, "b:3", 5)
        assert it.woken[-1] == "a:2" and sorted(it.queues.queues("a")) == ["a:2"]

    async def second(it: Opened) -> None:
        assert [(row.value, row.meta, row.attempts) for row in it.queues.lease("a:2")] == [
            (b"x", b"moved", 1)
        ]
        assert it.take(queue="b:3") == []
        it.advance(6)
        assert it.take(queue="b:3") == [b"y" * 5000]

    run(tmp_path, first, second)


def test_a_purge_takes_all_that_was_there_and_nothing_later(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        await it.put(*[b"%d" % n for n in range(3_000)])
        await it.put(b"kept", queue="a:2")
        leased = it.queues.lease("a:1", 5)
        unfinished = it.queues.put("a:1", b"on its way")
        count, done = it.queues.purge("a:1")
        it.advance(1)
        later = it.queues.put("a:1", b"later")
        assert count == 3_001 and it.queues.row_count == 2
        (moved,) = it.queues.lease("a:2")
        it.advance(1)
        moving = it.queues.move(moved.id, "a:1")
        await done
        await unfinished
        await later
        await moving
        await it.queues.settle(row.id for row in leased)
        assert it.queues.counts("a:1")[:3] == (2, 0, 0)

    async def second(it: Opened) -> None:
        assert it.queues.row_count == 2 and it.take() == [b"later", b"kept"]
        assert it.queues.purge("a:nothing")[0] == 0

    run(tmp_path, first, second)


def test_beyond_the_window_rows_are_read_from_the_disk_in_order(tmp_path: Path) -> None:
    """More than the window has, with delays in between, taken in parts while more come."""
    values = [b"%06d" % n for n in range(2_000)]

    async def first(it: Opened) -> None:
        for n in range(0, 2_000, 100):
            await it.put(*values[n : n + 100])
            it.advance(0.001)
        late = await it.put(*[b"late"] * 700, delay=100)
        taken: list[bytes] = []
        while rows := it.queues.lease("a:1", 37):
            taken += [row.value for row in rows]
            await it.queues.settle(row.id for row in rows)
            if len(taken) == 37 * 10:
                values.extend(b"more%d" % n for n in range(300))
                await it.put(*values[2_000:])
        assert taken == values
        assert it.queues.counts("a:1")[:3] == (0, len(late), 0)
        await it.queues.settle(late[::2])
        assert it.queues.counts("a:1")[:3] == (0, 350, 0)

    async def second(it: Opened) -> None:
        assert it.take() == [] and it.queues.row_count == 350
        it.advance(101)
        assert len(it.take(1_000)) == 350

    run(tmp_path, first, second)


def test_large_payloads_come_back_whole(tmp_path: Path) -> None:
    values = [bytes([n]) * size for n, size in enumerate((0, 1, 2047, 2048, 2049, 5_000, 1_000_000))]

    async def first(it: Opened) -> None:
        await it.put(*values)
        assert it.take(2) == values[:2]

    async def second(it: Opened) -> None:
        rows = it.queues.lease("a:1", 10)
        assert [row.value for row in rows] == values
        await it.queues.settle(row.id for row in rows)
        tables = sqlite3.connect(tmp_path / "stoker.db")
        assert tables.execute(
            "SELECT (SELECT count(*) FROM queue), count(*) FROM queue_payload"
        ).fetchone() == (0, 0)
        tables.close()

    run(tmp_path, first, second)


def test_beyond_its_bounds_nothing_is_taken_and_nothing_dropped(tmp_path: Path) -> None:
    async def body(it: Opened) -> None:
        ids = await it.put(*[b"x" * 872] * 10)
        with pytest.raises(QueueFull, match="full: 10 rows of 10000 bytes"):
            it.queues.put("a:2", b"")
        await it.queues.settle(ids[:1])
        await it.put(b"y" * 800, queue="a:2")
        assert it.queues.counts("a:2") == Counts(1, 0, 0, 928)

    run(tmp_path, body, max_bytes=10_000)

    async def rows(it: Opened) -> None:
        await it.put(b"")
        with pytest.raises(QueueFull):
            it.queues.put("a:1", b"")

    run(tmp_path / "rows", rows, max_rows=1)


def test_a_write_that_fails_refuses_what_is_new_and_is_repeated_for_what_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first(it: Opened) -> None:
        ids = await it.put(b"1", b"2", b"3")
        it.take(seconds=10)
        real, failures = it.store._write, 3

        def write(group: Any) -> Any:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise sqlite3.OperationalError("disk I/O error")
            return real(group)

        monkeypatch.setattr(it.store, "_write", write)
        done = it.queues.settle(ids[:1])
        with pytest.raises(StoreError, match="disk I/O error"):
            await it.put(b"refused")
        await it.queues.release(ids[1], 0, meta=b"again")
        await done
        assert failures < 0 and it.queues.row_count == 2

    async def second(it: Opened) -> None:
        it.advance(11)
        assert [(row.value, row.meta) for row in it.queues.lease("a:1", 9)] == [(b"2", b"again"), (b"3", b"")]

    run(tmp_path, first, second)


@pytest.mark.promise(106)
def test_a_disk_that_cannot_be_read_for_a_moment_strands_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one whose payload is on the disk only, nor those of which nothing is in memory."""
    values = [b"%d" % n * 100_000 for n in range(3)]

    async def first(it: Opened) -> None:
        await it.put(*values)

    async def second(it: Opened) -> None:
        reader, told = it.queues._windows._reader, []
        it.queues._loop.set_exception_handler(lambda _loop, context: told.append(context["message"]))
        it.queues.listen("a", told.append)
        for method in ("after", "value"):
            real, failures = getattr(reader, method), [1]

            def read(*arguments: Any, real: Any = real, failures: list[int] = failures) -> Any:
                if failures:
                    failures.pop()
                    raise sqlite3.OperationalError("disk I/O error")
                return real(*arguments)

            monkeypatch.setattr(reader, method, read)
            assert it.take(1) == []
            it.advance(1.1)
        assert told == ["a queue could not be read", "a:1"] * 2, "who listens hears when to ask again"
        assert it.take() == values

    run(tmp_path, first, second)


def test_no_time_passes_while_no_server_runs(tmp_path: Path) -> None:
    """Whatever the monotonic clock begins with, and however often it begins anew."""

    async def put(it: Opened) -> None:
        it.advance(100)
        await it.put(b"x", delay=60)

    async def wait(it: Opened) -> None:
        it.advance(25)
        assert it.take() == []
        await it.written()

    async def due(it: Opened) -> None:
        assert it.take() == []
        it.advance(11)
        (row,) = it.queues.lease("a:1")
        assert 60e9 < it.queues.now() - row.first < 63e9

    for body, start in ((put, 10**18), (wait, 0), (wait, 10**15), (due, 77)):

        async def inside(body: Any = body, start: int = start) -> None:
            it = Opened(tmp_path, ManualClock(start))
            await body(it)
            it.close()

        asyncio.run(inside())


def test_a_damaged_row_is_neither_run_nor_deleted(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        await it.put(b"1", b"2", b"3" * 3000, b"4")

    run(tmp_path, first)
    tables = sqlite3.connect(tmp_path / "stoker.db")
    tables.execute("UPDATE queue SET meta=x'61' WHERE id=1")
    tables.execute("UPDATE queue SET value=x'61' WHERE id=2")
    tables.execute("UPDATE queue_payload SET value=x'61' WHERE id=3")
    tables.commit()

    async def second(it: Opened) -> None:
        complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context["message"])
        )
        (row,) = it.queues.lease("a:1", 10)
        assert row.value == b"4"
        await it.queues.settle([row.id])
        assert it.take() == [] and len(complaints) == 3 and "row 3 of the queue a:1" in complaints[2]

    run(tmp_path, second)
    assert tables.execute("SELECT count(*) FROM queue").fetchone() == (3,)
    tables.close()


def test_a_lease_of_an_earlier_run_goes_on_and_can_be_taken_up(tmp_path: Path) -> None:
    async def before(it: Opened) -> None:
        await it.put(b"a", b"b")
        it.take(1, seconds=10)
        await it.written()

    async def after(it: Opened) -> None:
        assert it.queues.standing(1) == ("a:1", 1, False, it.queues.now() + 10_000_000_000)
        assert not it.queues.extend(1, 50) and not it.queues.resume(2) and not it.queues.resume(3)
        assert it.queues.resume(1) and it.queues.sizes("a:1") == (2, 1)
        assert it.queues.extend(1, 50)
        await it.written()
        it.advance(49)
        assert it.take() == [b"b"]
        it.advance(2)
        assert it.take() == [b"a"]

    run(tmp_path, before, after)


def test_whoever_listens_hears_of_a_row_that_a_lease_returns_behind_others(tmp_path: Path) -> None:
    async def body(it: Opened) -> None:
        await it.put(b"a", b"b")
        it.take(1, seconds=5, in_place=True)
        it.take(1, seconds=9, in_place=True)
        await it.written()
        it.advance(6)
        it.woken.clear()
        assert it.queues.first("a:1") is not None and it.queues.first("a:1")[1] == 1  # type: ignore[index]
        it.advance(4)
        assert it.woken == ["a:1"] and it.queues.sizes("a:1") == (2, 0)

    run(tmp_path, body)


@pytest.mark.promise(338)
def test_a_brief_lease_is_written_only_if_it_lasts(tmp_path: Path) -> None:
    async def body(it: Opened) -> None:
        done, kept = await it.put(b"done", b"kept")
        states: list[int] = []

        def counted(rows: Any) -> None:
            states.extend(row.id for row in rows)
            written(rows)

        written = it.queues._writer.written
        it.queues._writer.written = counted
        assert [row.id for row in it.queues.lease("a:1", 2, 30.0, briefly=True)] == [done, kept]
        await it.queues.settle([done])
        assert states == [] and it.queues.standing(kept) is not None
        await until(lambda: states == [kept], 15.0)
        row = it.queues._windows._reader.find(kept)
        assert row is not None and (row.attempts, row.due) == (1, it.queues.now() + 30_000_000_000)

    async def again(it: Opened) -> None:
        """As after a kill: what is on the disk counts."""
        assert it.take() == [] and it.queues.counts("a:1")[:3] == (0, 1, 0)

    run(tmp_path, body, again)


@pytest.mark.promise(338)
def test_a_brief_lease_that_a_kill_ends_was_none(tmp_path: Path) -> None:
    async def body(it: Opened) -> None:
        await it.put(b"row")
        it.queues.lease("a:1", 1, 30.0, briefly=True)
        shutil.copytree(tmp_path / "here", tmp_path / "killed")

    async def again(it: Opened) -> None:
        assert [row.attempts for row in it.queues.lease("a:1", 1)] == [1]

    run(tmp_path / "here", body)
    run(tmp_path / "killed", again)
