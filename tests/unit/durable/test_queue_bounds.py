"""What waits costs little memory, and the disk gets back what it had."""

from __future__ import annotations

import gc
import os
import sqlite3
from pathlib import Path

import pytest
from opened import Opened, run
from support import until

from engine.durable.queue_rows import QueueRows
from engine.durable.store import Store


@pytest.mark.slow
@pytest.mark.promise(98)
def test_a_hundred_thousand_rows_wait_on_the_disk(tmp_path: Path) -> None:
    """In one queue or in a thousand, of a kilobyte or of a megabyte: memory stays what it was."""

    def resident() -> int:
        gc.collect()
        with open("/proc/self/statm") as file:
            fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")

    async def fill(it: Opened) -> None:
        await it.put(*[b"x" * 1024] * 500)
        before = resident()
        for n in range(100):
            await it.put(*[b"%06d" % n + b"x" * 1018] * 1000, queue=f"a:{n % 5}", meta=b"m" * 100)
        for n in range(100):
            await it.put(b"y" * 1_000_000, queue=f"a:large{n}")
        for n in range(1000):
            await it.put(*[b"z" * 1024] * 5, queue=f"a:many{n}")
        assert resident() - before < 64 << 20

    async def take(it: Opened) -> None:
        assert it.queues.row_count == 500 + 100_000 + 100 + 5_000
        before = resident()
        rows = it.queues.lease("a:3", 20_000)
        assert len(rows) == 20_000 and rows == sorted(rows, key=lambda row: row.id)
        await it.queues.settle(row.id for row in rows)
        del rows
        for n in range(100):
            assert it.queues.ready(f"a:large{n}")
        assert resident() - before < 64 << 20

    run(tmp_path, fill, take)


@pytest.mark.promise(98)
def test_the_file_shrinks_again(tmp_path: Path) -> None:
    async def body(it: Opened) -> None:
        ids = await it.put(*[b"x" * 100_000] * 300)
        await it.queues.settle(ids)

    run(tmp_path, body)
    file = tmp_path / "stoker.db"
    tables = sqlite3.connect(file)
    if tables.execute("PRAGMA auto_vacuum").fetchone() != (2,):
        pytest.skip("the store does not give pages back")
    tables.close()
    assert file.stat().st_size > 20_000_000
    store = Store(tmp_path, [QueueRows()])
    try:
        store.commit([]).result(10)
        until(lambda: file.stat().st_size < 2_000_000)
    finally:
        store.close()
