"""A folder of schema 1 opens as what it is now, whole, however often the process dies on the way."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest
from numbered import AddEvent, EventRows

from engine.durable.folder import StoreError
from engine.durable.records import Put, Records
from engine.durable.state import States
from engine.durable.store import SCHEMA, Store

PART = "111111111111/eu-west-1"
COUNT = 2_000
# As schema 1 was written.
OLD = """
BEGIN;
CREATE TABLE records (tbl TEXT NOT NULL, owner TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,
                      sum INTEGER NOT NULL, PRIMARY KEY (tbl, owner, id)) WITHOUT ROWID;
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, attempts INTEGER NOT NULL, not_before REAL NOT NULL,
                     value BLOB NOT NULL, sum INTEGER NOT NULL);
PRAGMA user_version=1; COMMIT;
"""


def old(folder: Path, wrong: int | None = None) -> Path:
    """A folder that schema 1 left; the record `wrong` is not what was written."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "stoker.db")
    connection.executescript(OLD)
    for n in range(COUNT):
        owner, value = f"f{n:04d}", b'{"n":%d}' % n
        sum = crc32(f"function\0{owner}\0$LATEST".encode(), crc32(value)) + (n == wrong)
        connection.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?)", ("function", owner, "$LATEST", value, sum)
        )
    for n in range(3):
        connection.execute(
            "INSERT INTO events (attempts, not_before, value, sum) VALUES (?, ?, ?, ?)",
            (n, n / 2, b"e%d" % n, crc32(b"", crc32(b"e%d" % n))),
        )
    connection.execute("DELETE FROM events WHERE id=3")
    connection.commit()
    connection.close()
    return folder


def opened(folder: Path, partition: str = PART) -> Store:
    return Store(folder, [Records(partition), EventRows()])


def check(folder: Path) -> None:
    """All of it is there, in its partition, and goes on."""
    for _ in range(2):
        store = opened(folder)
        try:
            states = States(store)
            assert [state.partition for state in states.all()] == [PART]
            state = states.of(PART)
            assert state.owners("function") == [f"f{n:04d}" for n in range(COUNT)]
            assert [state.get("function", f"f{n:04d}", "$LATEST") for n in range(COUNT)] == [
                {"n": n} for n in range(COUNT)
            ]
            assert list(store.load(EventRows()))[:2] == [(1, 0, 0.0, b"e0"), (2, 1, 0.5, b"e1")]
            added = store.commit([AddEvent(b"")]).result(10)
            assert added is not None and added > 3, "an id does not come again"
        finally:
            store.close()


def version(folder: Path) -> int:
    connection = sqlite3.connect(folder / "stoker.db")
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def test_schema_1_is_brought_up_whole(tmp_path: Path) -> None:
    folder = old(tmp_path / "state")
    check(folder)
    assert version(folder) == SCHEMA


def test_it_happens_once(tmp_path: Path) -> None:
    """Who opens it next with another default does not move what is there."""
    folder = old(tmp_path / "state")
    opened(folder).close()
    opened(folder, "222222222222/us-east-1").close()
    check(folder)


DIES = """
import os, signal, sys
from pathlib import Path
from engine.durable.records import Records
from engine.durable.store import Store
from numbered import EventRows
class Dies(Records):
    def upgrade(self, connection, version):
        if sys.argv[2] == "before": os.kill(os.getpid(), signal.SIGKILL)
        connection.execute("PRAGMA cache_size=5")  # so that it is written out before its end
        super().upgrade(connection, version)
        os.kill(os.getpid(), signal.SIGKILL)
Store(Path(sys.argv[1]), [Dies("222222222222/us-east-1"), EventRows()])
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_on_the_way_nothing_has_happened(tmp_path: Path, moment: str) -> None:
    folder = old(tmp_path / "state")
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{DIES}", str(folder), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert version(folder) == 1
    check(folder)


def test_a_damaged_record_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    folder = old(tmp_path / "state", wrong=1234)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"damaged .the record function f1234 \$LATEST is not what was"):
            opened(folder)
        assert version(folder) == 1


def test_a_kind_that_comes_later_gets_its_table(tmp_path: Path) -> None:
    Store(tmp_path, [Records(PART)]).close()
    store = opened(tmp_path)
    try:
        assert store.commit([AddEvent(b"a"), Put(PART, "t", "o", "i", b"{}")]).result(10) == 1
    finally:
        store.close()


def test_a_kind_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    class Later(EventRows):
        version = 2

        def upgrade(self, connection: sqlite3.Connection, version: int) -> None:
            if not version:
                super().upgrade(connection, version)

    Store(tmp_path, [Later()]).close()
    with pytest.raises(StoreError, match=r"newer version .events schema 2, this one knows 1"):
        opened(tmp_path)


def test_partitions_do_not_see_each_other(tmp_path: Path) -> None:
    """The same names in two of them; a watcher hears which one changed."""
    store = opened(tmp_path)
    states = States(store)
    heard: list[tuple[str, int]] = []
    states.watchers.append(lambda state, change: heard.append((state.partition, len(change.steps))))
    others = (PART, "111111111111/us-east-1", "222222222222/eu-west-1")
    for partition in others:
        with states.of(partition).change() as change:
            change.put("function", "f", "1", {"of": partition})
    with states.of(PART).change() as change:
        change.delete("function", "f", "1")
        change.delete("function", "f", "none")
    store.close()
    assert heard == [*((partition, 1) for partition in others), (PART, 2)]
    store = opened(tmp_path)
    try:
        again = States(store)
        assert {state.partition for state in again.all()} == set(others[1:])
        assert again.of(PART).get("function", "f", "1") is None
        for partition in others[1:]:
            assert again.of(partition).get("function", "f", "1") == {"of": partition}
    finally:
        store.close()
