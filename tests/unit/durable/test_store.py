"""The store: what was committed is there after opening again, in order, whole; opening is fast."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered import AddEvent, EventRows, FinishEvent, RetryEvent
from support import until

from engine.durable.folder import StoreError
from engine.durable.records import Delete, Put, Records
from engine.durable.store import SCHEMA, Step
from engine.durable.store import Store as AnyStore

Key = tuple[str, str, str]
PART = "111111111111/eu-west-1"


class Store(AnyStore):
    """A store of records and of events."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, [Records(PART), EventRows()])

    def records(self) -> list[tuple[str, str, str, bytes]]:
        """Those of the partition."""
        return [row for partition, *row in self.load(Records()) if partition == PART]  # type: ignore[misc]

    def events(self) -> list[tuple[int, int, float, bytes]]:
        return list(self.load(EventRows()))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    it = Store(tmp_path / "state")
    yield it
    it.close()


def reopened(folder: Path) -> tuple[dict[Key, bytes], list[tuple[int, int, float, bytes]]]:
    """The records and events that a new owner of the folder finds."""
    it = Store(folder)
    try:
        return {(table, owner, id): value for table, owner, id, value in it.records()}, it.events()
    finally:
        it.close()


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.records() == []
    assert store.events() == []


def test_records_come_back(store: Store, tmp_path: Path) -> None:
    value = bytes(range(256)) * 10
    store.commit(
        [
            Put(PART, "function", "f", "1", value),
            Put(PART, "function", "f", "2", b""),
            Put(PART, "é", "", "\0", b"x"),
        ]
    )
    store.commit([Put(PART, "function", "f", "1", b"newer"), Delete(PART, "function", "f", "absent")]).result(
        10
    )
    store.commit([Delete(PART, "é", "", "\0")]).result(10)
    store.close()
    assert reopened(tmp_path / "state")[0] == {
        ("function", "f", "1"): b"newer",
        ("function", "f", "2"): b"",
    }


def test_events_have_ids_that_never_come_again(store: Store, tmp_path: Path) -> None:
    first = store.commit([AddEvent(b"a", 12.5)]).result(10)
    second = store.commit(
        [Put(PART, "t", "o", "i", b""), AddEvent(b"b"), Put(PART, "t", "o", "j", b"")]
    ).result(10)
    assert first is not None and second is not None and second > first
    assert store.commit([Put(PART, "t", "o", "k", b"")]).result(10) is None
    store.commit([RetryEvent(first, 2, 99.25), FinishEvent(second)]).result(10)
    store.close()
    assert reopened(tmp_path / "state")[1] == [(first, 2, 99.25, b"a")]
    again = Store(tmp_path / "state")
    try:
        third = again.commit([AddEvent(b"c")]).result(10)
        assert third is not None and third > second
    finally:
        again.close()


def test_two_events_of_one_commit_answer_with_the_last_id(store: Store) -> None:
    result = store.commit([AddEvent(b"a"), AddEvent(b"b"), FinishEvent(10_000)]).result(10)
    store.close()
    assert result == 2


def test_what_was_asked_before_the_end_is_done(store: Store, tmp_path: Path) -> None:
    futures = [store.commit([Put(PART, "t", "o", str(n), b"%d" % n)]) for n in range(500)]
    store.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert len(reopened(tmp_path / "state")[0]) == 500


def test_after_the_end_nothing_is_taken(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.commit([Put(PART, "t", "o", "i", b"")]).result(10)


@pytest.mark.slow
def test_no_commit_is_left_without_an_answer_when_the_store_closes(tmp_path: Path) -> None:
    """Callers in other threads, while it closes: each future is done, and what it says is so."""
    for turn in range(5):
        it = Store(tmp_path / str(turn))
        futures_of: list[list[Future[int | None]]] = [[] for _ in range(3)]
        begun, stop = threading.Barrier(4), threading.Event()

        def ask(
            n: int,
            it: Store = it,
            futures_of: list[list[Future[int | None]]] = futures_of,
            begun: threading.Barrier = begun,
            stop: threading.Event = stop,
        ) -> None:
            begun.wait()
            while not stop.is_set():
                futures_of[n].append(it.commit([Put(PART, "t", str(n), str(len(futures_of[n])), b"")]))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        begun.wait()
        it.close()
        stop.set()
        for thread in threads:
            thread.join()
        futures = [future for each in futures_of for future in each]
        assert not wait(futures, timeout=10).not_done
        done = {
            (str(n), str(m))
            for n in range(3)
            for m, future in enumerate(futures_of[n])
            if future.exception() is None
        }
        assert {(owner, id) for _, owner, id in reopened(tmp_path / str(turn))[0]} == done


def transactions(folder: Path) -> int:
    """Commits in the write-ahead log: frames that say how large the database is after them."""
    data = (folder / "stoker.db-wal").read_bytes()
    page = int.from_bytes(data[8:12], "big")
    frames = range(32, len(data) - 24 - page + 1, 24 + page)
    return sum(
        1
        for at in frames
        if data[at + 8 : at + 16] == data[16:24] and int.from_bytes(data[at + 4 : at + 8], "big")
    )


def test_commits_that_wait_share_a_transaction(store: Store, tmp_path: Path) -> None:
    """While another connection holds the database, many commits wait; once it lets go, they are written together."""
    other = sqlite3.connect(tmp_path / "state" / "stoker.db", isolation_level=None)
    store.commit([Put(PART, "t", "o", "before", b"")]).result(10)
    before = transactions(tmp_path / "state")
    other.execute("BEGIN IMMEDIATE")
    first = store.commit([Put(PART, "t", "o", "first", b"")])
    futures = [store.commit([Put(PART, "t", "o", str(n), b"")]) for n in range(200)]
    other.execute("ROLLBACK")
    wait([first, *futures], timeout=10)
    assert [future.exception() for future in (first, *futures)] == [None] * 201
    assert transactions(tmp_path / "state") - before <= 2
    other.close()


def test_a_commit_that_cannot_be_done_leaves_nothing_of_itself(store: Store, tmp_path: Path) -> None:
    """Its steps are all or none, and later commits are done."""
    bad: list[Step] = [Put(PART, "t", "o", "half", b"1"), Put(PART, "t", "o", "bad", object())]  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.commit(bad).result(10)
    store.commit([Put(PART, "t", "o", "later", b"2")]).result(10)
    store.close()
    assert reopened(tmp_path / "state")[0] == {("t", "o", "later"): b"2"}


def test_a_caller_who_gave_up_harms_nobody(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "state" / "stoker.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    futures = [store.commit([Put(PART, "t", "o", str(n), b"")]) for n in range(3)]
    for future in futures[1:]:
        future.cancel()
    other.execute("ROLLBACK")
    other.close()
    assert futures[0].result(10) is None
    assert store.commit([Put(PART, "t", "o", "later", b"")]).result(10) is None


@pytest.mark.slow
def test_opening_ten_thousand_records_is_fast(store: Store, tmp_path: Path) -> None:
    value = b"x" * 1500
    store.commit([Put(PART, "function", f"f{n}", "$LATEST", value) for n in range(10_000)]).result(60)
    store.close()
    took = []
    for _ in range(3):
        began = time.monotonic()
        it = Store(tmp_path / "state")
        took.append(time.monotonic() - began)
        it.close()
    assert min(took) < 0.3


def test_the_log_does_not_grow_without_end(store: Store, tmp_path: Path) -> None:
    for n in range(300):
        store.commit([Put(PART, "t", "o", "same", bytes([n % 256]) * 100_000)]).result(10)
    assert (tmp_path / "state" / "stoker.db-wal").stat().st_size < 2_000_000


def test_every_commit_is_synchronised(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store._connection is not None
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)


NAMES = st.sampled_from(["a", "b", ""])
STEPS = st.one_of(
    st.builds(Put, st.just(PART), NAMES, NAMES, NAMES, st.binary(max_size=4)),
    st.builds(Delete, st.just(PART), NAMES, NAMES, NAMES),
    st.builds(AddEvent, st.binary(max_size=4), st.floats(0, 1e10)),
    st.builds(FinishEvent, st.integers(1, 6)),
    st.builds(RetryEvent, st.integers(1, 6), st.integers(0, 9), st.floats(0, 1e10)),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.lists(STEPS, max_size=5), max_size=4), max_size=3))
def test_the_store_does_what_a_dictionary_does(lives: list[list[list[Step]]]) -> None:
    """Commits in several lives of one store, against a model of it."""
    records: dict[Key, bytes] = {}
    events: dict[int, tuple[int, float, bytes]] = {}
    last = 0
    with tempfile.TemporaryDirectory() as folder:
        for life in lives:
            it = Store(Path(folder))
            futures = []
            expected: list[int | None] = []
            for steps in life:
                futures.append(it.commit(steps))
                added = None
                for step in steps:
                    match step:
                        case Put(_, table, owner, id, value):
                            records[table, owner, id] = value
                        case Delete(_, table, owner, id):
                            records.pop((table, owner, id), None)
                        case AddEvent(value, not_before):
                            last = added = last + 1
                            events[last] = (0, not_before, value)
                        case FinishEvent(number):
                            events.pop(number, None)
                        case RetryEvent(number, attempts, not_before) if number in events:
                            events[number] = (attempts, not_before, events[number][2])
                expected.append(added)
            it.close()
            assert [future.result(10) for future in futures] == expected
            assert reopened(Path(folder)) == (records, [(id, *rest) for id, rest in sorted(events.items())])


def sizes(folder: Path) -> tuple[int, int]:
    """Of the main file and its log, in bytes."""
    log = folder / "stoker.db-wal"
    return (folder / "stoker.db").stat().st_size, log.stat().st_size if log.exists() else 0


@pytest.mark.slow
@pytest.mark.promise(92)
def test_the_files_give_back_what_they_no_longer_need(store: Store, tmp_path: Path) -> None:
    """Once nothing is written for a moment; while others wait, in between."""
    folder = tmp_path / "state"
    until(lambda: sizes(folder)[1] == 0)
    small, _ = sizes(folder)
    for turn in range(2):
        keys = [f"{turn}-{n}" for n in range(400)]
        store.commit([Put(PART, "t", "o", id, bytes(10_000)) for id in keys]).result(10)
        until(lambda: sizes(folder) > (4_000_000, 0) and sizes(folder)[1] == 0)
        store.commit([Delete(PART, "t", "o", id) for id in keys]).result(10)
        until(lambda: sizes(folder)[0] <= small + 16_384 and sizes(folder)[1] == 0)
    store.commit([Put(PART, "t", "o", "i", b"x")]).result(10)
    assert [row[2:] for row in store.records()] == [["i", b"x"]]


@pytest.mark.slow
def test_a_file_of_before_can_shrink_after_its_upgrade(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "stoker.db")
    connection.executescript("CREATE TABLE kinds (name TEXT PRIMARY KEY, version INTEGER) WITHOUT ROWID;")
    Records().upgrade(connection, 0)
    connection.executescript("INSERT INTO kinds VALUES ('records', 2); PRAGMA user_version=2;")
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    Put(PART, "t", "o", "i", bytes(4_000_000)).apply(connection)
    connection.commit()
    connection.close()
    it = Store(tmp_path)
    try:
        assert [row[2:] for row in it.records()] == [["i", bytes(4_000_000)]]
        it.commit([Delete(PART, "t", "o", "i")]).result(10)
        until(lambda: sizes(tmp_path)[0] < 100_000)
    finally:
        it.close()
