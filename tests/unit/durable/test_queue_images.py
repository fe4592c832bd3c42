"""Rows that are put together, as one row of SQLite's: what becomes of each of them is on the disk all the same."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import queue_disk
from opened import Opened, run

from engine.durable import queue_images
from engine.durable.queue_row import Row


def _table(folder: Path, table: str) -> int:
    tables = sqlite3.connect(folder / "stoker.db")
    (count,) = tables.execute(f"SELECT count(*) FROM {table}").fetchone()
    tables.close()
    return int(count)


def _values(n: int) -> list[bytes]:
    return [b"%d" % at for at in range(n)]


@pytest.mark.promise(323)
def test_rows_of_one_turn_are_one_image_and_go_with_it(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        await it.put(*_values(100))
        assert _table(tmp_path, "queue") == 0 and _table(tmp_path, "queue_image") == 2
        rows = it.queues.lease("a:1", 60)
        await it.queues.settle([row.id for row in rows])
        assert _table(tmp_path, "queue_image") == 1 and _table(tmp_path, "queue_gone") == 1

    async def second(it: Opened) -> None:
        assert it.queues.counts("a:1").ready == 40 == it.queues.row_count
        assert it.take(100) == _values(100)[60:]

    async def third(it: Opened) -> None:
        rows = it.queues.lease("a:1", 100)
        assert len(rows) == 40
        await asyncio.gather(*(it.queues.settle([row.id]) for row in reversed(rows)))
        assert not any(_table(tmp_path, each) for each in ("queue", "queue_image", "queue_gone"))
        assert it.queues.byte_count == 0

    run(tmp_path, first, second, third)


@pytest.mark.parametrize("life", [False, True], ids=["at once", "after a start"])
@pytest.mark.promise(323)
def test_a_row_that_changed_leaves_its_payload_in_the_image(tmp_path: Path, life: bool) -> None:
    """Its state is in a row of its own: a lease with a term, a delay, other metadata, another queue."""
    ids: list[int] = []

    async def put(it: Opened) -> None:
        ids.extend(await it.put(*_values(6), meta=b"m"))

    async def change(it: Opened) -> None:
        rows = it.queues.lease("a:1", 4)
        await it.queues.release(rows[0].id, 5.0)
        await it.queues.release(rows[1].id, meta=b"longer")
        await it.queues.move(rows[2].id, "a:2")
        await it.queues.settle([rows[3].id])
        assert it.queues.lease("a:1", 1, 30.0)[0].meta == b"longer"
        await it.written()

    async def look(it: Opened) -> None:
        tables = sqlite3.connect(tmp_path / "stoker.db")
        assert sorted(queue_disk.rows(tables)) == [*ids[:3], *ids[4:]]
        assert tables.execute("SELECT count(*) FROM queue WHERE value NOTNULL").fetchone() == (0,)
        tables.close()
        assert it.queues.row_count == 5
        size = sum(len(value) + len(meta) + 128 for value, meta in zip(_values(6), [b"m"] * 6, strict=True))
        assert it.queues.byte_count == size - 130 + len(b"longer") - len(b"m")
        assert it.take(queue="a:2") == [b"2"]
        assert it.take() == [b"4", b"5"]
        it.advance(31.0)
        assert sorted(row.value + b" " + row.meta for row in it.queues.lease("a:1", 9)) == [
            b"0 m", b"1 longer",
        ]  # fmt: skip

    async def end(it: Opened) -> None:
        await it.queues.settle(ids)
        assert not any(_table(tmp_path, each) for each in ("queue", "queue_image", "queue_gone"))

    if life:
        run(tmp_path, put, change, look, end)
    else:

        async def together(it: Opened) -> None:
            for each in (put, change, look, end):
                await each(it)

        run(tmp_path, together)


@pytest.mark.promise(323)
def test_a_purge_leaves_what_has_moved_and_what_came_later(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        await it.put(*_values(8))
        (row,) = it.queues.lease("a:1")
        await it.queues.move(row.id, "b:3")
        count, done = it.queues.purge("a:1")
        later = asyncio.gather(*(it.queues.put("a:1", value) for value in (b"x", b"y", b"z", b"u")))
        assert count == 7
        await done
        await later

    async def second(it: Opened) -> None:
        assert it.take(queue="b:3") == [b"0"] and it.take() == [b"x", b"y", b"z", b"u"]
        assert it.queues.row_count == 5

    run(tmp_path, first, second)


def test_a_damaged_image_is_neither_run_nor_deleted(tmp_path: Path) -> None:
    async def first(it: Opened) -> None:
        await it.put(*_values(5))
        await it.put(*_values(5))

    run(tmp_path, first)
    tables = sqlite3.connect(tmp_path / "stoker.db")
    tables.execute("UPDATE queue_image SET due = due - 1 WHERE id = 1")
    tables.commit()

    async def second(it: Opened) -> None:
        complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context["message"])
        )
        rows = it.queues.lease("a:1", 10)
        assert [row.value for row in rows] == _values(5)
        await it.queues.settle([row.id for row in rows])
        assert it.take() == [] and complaints == ["row 1 of the queue a:1 is not what was written"]

    run(tmp_path, second)
    assert tables.execute("SELECT id FROM queue_image").fetchall() == [(1,)]
    tables.close()


def test_a_state_directory_without_images_goes_on(tmp_path: Path) -> None:
    """As the version before wrote it."""

    async def first(it: Opened) -> None:
        await it.put(*_values(3))

    run(tmp_path, first)
    tables = sqlite3.connect(tmp_path / "stoker.db")
    for drop in ("TABLE queue_image", "TABLE queue_gone", "INDEX queue_beside"):
        tables.execute(f"DROP {drop}")
    tables.execute("UPDATE kinds SET version = 1 WHERE name = 'queue'")
    tables.commit()
    tables.close()

    async def second(it: Opened) -> None:
        await it.put(*_values(5))
        assert it.take() == _values(3) + _values(5)

    run(tmp_path, second)


def _row(id: int, queue: str = "a:1", delay: int = 0, size: int = 1) -> Row:
    return Row(id, queue, 7 + delay, 0, 7, 128 + size, b"", b"v" * size)


@pytest.mark.parametrize(
    ("rows", "alone", "images"),
    [
        ([_row(id) for id in range(1, 4)], 3, []),
        ([_row(id) for id in range(1, 5)], 0, [4]),
        ([_row(id) for id in range(1, 65)], 0, [32, 32]),
        ([_row(id) for id in range(1, 1 + 63)], 0, [63]),
        ([_row(id, delay=id % 2) for id in range(1, 11)], 5, [5]),
        ([_row(id, size=2049 if id % 2 else 2048) for id in range(1, 11)], 5, [5]),
        ([_row(id, f"a:{id % 3}") for id in range(1, 13)], 0, [4, 4, 4]),
        ([_row(id * 1024) for id in range(1, 13)], 0, [4, 4, 4]),
    ],
)  # fmt: skip
def test_which_rows_have_an_image_in_common(rows: Sequence[Row], alone: int, images: Sequence[int]) -> None:
    own, made = queue_images.gather(rows)
    assert len(own) == alone and [len(image.entries) for image in made] == images
    assert all(not row.spot for row in own)
    everyone: list[Any] = [*[row.id for row in own], *[entry[0] for image in made for entry in image.entries]]
    assert sorted(everyone) == [row.id for row in rows]
    spots = [row.spot for row in rows if row.spot]
    assert len(set(spots)) == len(spots) and min(spots, default=1) > 0
    for image in made:
        assert image.last - image.id < queue_images.SPAN
        of = [row.spot for row in rows if row.spot and row.id in {entry[0] for entry in image.entries}]
        ((id, (bits, every)),) = queue_images.gone(of).items()
        assert id == image.id and bits == every
