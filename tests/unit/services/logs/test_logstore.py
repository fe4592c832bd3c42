"""Logs on disk: order, pages, rotation, retention, torn tails, full disks, and what an append costs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.services.logs import group as loggroup
from engine.services.logs import store as logstore
from engine.services.logs.disk import Key, folder_name, name_of
from engine.services.logs.store import DAY_MS, LogNotFound, LogStore

G = "/aws/lambda/f"


class Wall:
    """A wall clock in seconds, moved by hand."""

    def __init__(self) -> None:
        self.at = 1_735_689_600.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., LogStore]]:
    opened: list[LogStore] = []

    def open_one(**options: Any) -> LogStore:
        opened.append(LogStore(tmp_path / "logs", **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., LogStore]) -> LogStore:
    return open_store()


def texts(store: LogStore, group: str = G, **options: Any) -> list[str]:
    return [e.message for e in store.filter(group, **options).events]


class TestReading:
    def test_what_was_appended_is_there_at_once(self, store: LogStore) -> None:
        store.append(G, "s", [(5, "b"), (3, "a")])
        assert [(e.timestamp, e.message, e.stream) for e in store.read(G, "s").events] == [
            (3, "a", "s"), (5, "b", "s"),
        ]  # fmt: skip
        assert store.groups() == [G]

    def test_from_the_tail(self, store: LogStore) -> None:
        store.append(G, "s", [(t, str(t)) for t in range(10)])
        page = store.read(G, "s", from_head=False, limit=3)
        assert [e.message for e in page.events] == ["7", "8", "9"]
        assert page.at is not None
        page = store.read(G, "s", from_head=False, limit=3, at=page.at)
        assert [e.message for e in page.events] == ["4", "5", "6"]

    def test_times(self, store: LogStore) -> None:
        store.append(G, "s", [(t, str(t)) for t in range(10)])
        assert [e.message for e in store.read(G, "s", 3, 6).events] == ["3", "4", "5"]

    def test_streams_are_apart_and_together(self, store: LogStore) -> None:
        store.append(G, "a", [(1, "a1"), (3, "a3")])
        store.append(G, "b", [(2, "b2"), (3, "b3")])
        assert texts(store) == ["a1", "b2", "a3", "b3"]
        assert texts(store, streams=["b"]) == ["b2", "b3"]
        assert texts(store, prefix="a") == ["a1", "a3"]
        assert [e.message for e in store.read(G, "a").events] == ["a1", "a3"]
        assert [(s.name, s.first, s.last) for s in store.streams(G)] == [("a", 1, 3), ("b", 2, 3)]

    def test_what_there_is_not(self, store: LogStore) -> None:
        with pytest.raises(LogNotFound) as raised:
            store.read("none", "s")
        assert raised.value.what == "group"
        store.create_group(G)
        with pytest.raises(LogNotFound) as raised:
            store.read(G, "s")
        assert raised.value.what == "stream"

    def test_a_page_ends_at_a_mebibyte(self, store: LogStore) -> None:
        store.append(G, "s", [(n, "x" * 300_000) for n in range(10)])
        page = store.filter(G)
        assert len(page.events) == 3
        sizes = []
        at: Key | None = None
        while True:
            page = store.filter(G, at=at)
            sizes.append(len(page.events))
            if (at := page.at) is None:
                break
        assert sizes == [3, 3, 3, 1]

    def test_a_search_without_hits_pauses(self, store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logstore, "SCAN_BYTES", 1000)
        store.append(G, "s", [(n, "x" * 100) for n in range(30)] + [(99, "hit")])
        pages, at = 0, None
        while True:
            page = store.filter(G, matches=lambda m: m == "hit", at=at)
            pages, at = pages + 1, page.at
            if at is None:
                break
        assert [e.message for e in page.events] == ["hit"]
        assert pages == 3

    @pytest.mark.slow
    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_every_event_once_however_it_is_paged(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        events = data.draw(st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc")), max_size=60))
        batch = data.draw(st.integers(1, 10))
        limit = data.draw(st.integers(1, 7))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loggroup, "BLOCK_BYTES", data.draw(st.integers(40, 400)))
            store = LogStore(tmp_path_factory.mktemp("logs"), segment_bytes=300, group_bytes=1 << 20)
            store.create_group(G)
            reads_first = data.draw(st.booleans())
            for n in range(0, len(events), batch):
                for number, (t, stream) in enumerate(events[n : n + batch], n):
                    store.append(G, stream, [(t, f"{number}")])
                if reads_first:
                    store.filter(G)
                store.flush()
            expected = [str(n) for n, _ in sorted(enumerate(events), key=lambda e: e[1][0])]
            for from_head in (True, False):
                seen: list[str] = []
                at: Key | None = None
                while True:
                    page = store.filter(G, from_head=from_head, limit=limit, at=at)
                    found = [e.message for e in page.events]
                    seen = seen + found if from_head else found + seen
                    if (at := page.at) is None:
                        break
                assert seen == expected
            store.close()


class TestWriting:
    def test_an_append_never_waits_for_the_disk(
        self, store: LogStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hold, entered = threading.Event(), threading.Event()
        write = os.write

        def slow(file: int, data: bytes) -> int:
            entered.set()
            assert hold.wait(60)
            return write(file, data)

        monkeypatch.setattr(os, "write", slow)
        store.append(G, "s", [(1, "a")])
        assert entered.wait(60)
        for n in range(1000):
            store.append(G, "s", [(n + 2, "b")])
        hold.set()
        assert len(store.filter(G).events) == 1001

    def test_beyond_the_bound_it_drops_and_says_so(self, open_store: Callable[..., LogStore]) -> None:
        store = open_store(pending_bytes=10_000)
        with store._writing:  # the disk stands still
            for n in range(100):
                store.append(G, "s", [(n, "x" * 872)])
        kept = texts(store)
        assert kept.count("x" * 872) == 10
        assert "[stoker] 90 log events of 90000 bytes were dropped\n" in kept
        store.append(G, "s", [(1, "again")])
        assert "again" in texts(store)

    def test_a_full_disk_costs_its_events_only(
        self, store: LogStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.append(G, "s", [(1, "first")])
        store.flush()
        write = os.write

        def full(file: int, data: bytes) -> int:
            write(file, data[:7])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            store.append(G, "s", [(2, "lost"), (3, "lost")])
            store.flush()
        store.append(G, "s", [(4, "last")])
        kept = texts(store)
        assert kept[:2] == ["first", "last"]
        assert kept[2].startswith("[stoker] 2 log events of ")
        assert len(kept) == 3

    def test_events_made_by_the_writer(self, store: LogStore) -> None:
        thread: list[int] = []

        def make() -> list[tuple[int, str]]:
            thread.append(threading.get_ident())
            return [(1, "made")]

        def fails() -> list[tuple[int, str]]:
            raise ValueError("broken")

        store.append(G, "s", make)
        store.append(G, "s", fails)
        lines = texts(store)
        assert lines[0] == "made"
        assert "broken" in lines[1]
        assert thread

    def test_text_that_is_none(self, store: LogStore) -> None:
        store.append(G, "s", [(1, "a\ud800b"), (2, "nul\0 \u2028 \r\n end"), (3, "")])
        assert texts(store) == ["a\\ud800b", "nul\0 \u2028 \r\n end"]

    def test_many_threads(self, store: LogStore) -> None:
        def write(name: str) -> None:
            for n in range(500):
                store.append(G, name, [(n, f"{name}{n}")])
                if n % 100 == 0:
                    store.filter(G)

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        assert sorted(texts(store)) == sorted(f"{name}{n}" for name in "abcd" for n in range(500))

    def test_files_are_closed_again(self, store: LogStore) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for n in range(200):
            store.append(f"g{n}", "s", [(1, "x")])
        store.flush()
        assert len(os.listdir("/proc/self/fd")) - before <= logstore.OPEN_FILES
        assert len(store.groups()) == 200


class TestKeeping:
    def test_across_a_restart(self, open_store: Callable[..., LogStore]) -> None:
        first = open_store()
        first.append(G, "s", [(1, "a")])
        first.create_group("x" * 512, "INFREQUENT_ACCESS", {"k": "v"})
        first.create_stream(G, "empty")
        first.put_retention("x" * 512, 7)
        first.close()
        second = open_store()
        assert second.groups() == [G, "x" * 512]
        second.append(G, "s", [(2, "b")])
        assert [(e.message, e.sequence) for e in second.filter(G).events] == [("a", 1), ("b", 2)]
        meta = second.meta("x" * 512)
        assert (meta.retention_days, meta.log_class, meta.tags) == (7, "INFREQUENT_ACCESS", {"k": "v"})
        assert [s.name for s in second.streams(G)] == ["empty", "s"]

    @pytest.mark.parametrize("torn", [b"[1,2,", b'[1,2,"s","half', b"\0\0\0", b"["])
    def test_a_torn_tail_is_dropped(
        self, open_store: Callable[..., LogStore], tmp_path: Path, torn: bytes
    ) -> None:
        first = open_store()
        first.append(G, "s", [(1, "a")])
        first.close()
        (file,) = (tmp_path / "logs" / folder_name(G)).glob("*.log")
        file.write_bytes(file.read_bytes() + torn)
        second = open_store()
        second.append(G, "s", [(2, "b")])
        assert texts(second) == ["a", "b"]

    def test_a_damaged_line_costs_itself(self, open_store: Callable[..., LogStore], tmp_path: Path) -> None:
        first = open_store()
        first.append(G, "s", [(1, "aaa"), (2, "bbb"), (3, "ccc")])
        first.close()
        (file,) = (tmp_path / "logs" / folder_name(G)).glob("*.log")
        file.write_bytes(file.read_bytes().replace(b'"bbb"', b"\r\xff{\0x"))
        assert [(e.message, e.sequence) for e in open_store().filter(G).events] == [("aaa", 1), ("ccc", 3)]

    def test_a_killed_process_keeps_what_was_flushed(self, tmp_path: Path) -> None:
        source = (
            "import os, sys, pathlib\nfrom engine.services.logs.store import LogStore\n"
            "s = LogStore(pathlib.Path(sys.argv[1]))\n"
            "s.append('g', 's', [(n, str(n)) for n in range(100)]); s.flush(); os.kill(os.getpid(), 9)\n"
        )
        done = subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=False, timeout=60)
        assert done.returncode == -9
        store = LogStore(tmp_path)
        assert texts(store, "g") == [str(n) for n in range(100)]
        store.close()

    def test_rotation_drops_the_oldest(self, open_store: Callable[..., LogStore], tmp_path: Path) -> None:
        store = open_store(segment_bytes=1000, group_bytes=4000)
        store.append(G, "old", [(0, "x")])
        for n in range(200):
            store.append(G, "s", [(n, f"{n:03d}" + "x" * 60)])
            store.flush()
            if n == 20:
                store.filter(G)  # from now on there is an index to keep right
        kept = [int(t[:3]) for t in texts(store)]
        assert kept == list(range(kept[0], 200))
        assert 20 <= len(kept) < 60
        assert store.stored_bytes(G) <= 4000
        assert [s.name for s in store.streams(G)] == ["s"]
        assert len(list((tmp_path / "logs" / folder_name(G)).glob("*.log"))) <= 4

    def test_reading_while_rotating(self, open_store: Callable[..., LogStore]) -> None:
        store = open_store(segment_bytes=2000, group_bytes=6000)
        done = threading.Event()
        wrong: list[Any] = []

        def read() -> None:
            while not done.is_set():
                found = [int(t) for t in texts(store)]
                if found != sorted(set(found)):
                    wrong.append(found)

        store.create_group(G)
        reader = threading.Thread(target=read)
        reader.start()
        for n in range(2000):
            store.append(G, "s", [(n, str(n))])
            if n % 10 == 0:
                store.flush()
        done.set()
        reader.join(60)
        assert wrong == []

    def test_retention(self, open_store: Callable[..., LogStore], tmp_path: Path) -> None:
        wall = Wall()
        store = open_store(clock=wall)
        now = store.now()
        store.append(G, "s", [(now - 2 * DAY_MS, "old"), (now, "new")])
        assert texts(store) == ["old", "new"]
        store.put_retention(G, 1)
        assert texts(store) == ["new"]
        folder = tmp_path / "logs" / folder_name(G)
        for file in folder.glob("*.log"):
            os.utime(file, (wall.at, wall.at))
        wall.at += 2 * 86_400
        store.expire()
        assert store.streams(G) == []
        assert store.stored_bytes(G) == 0
        store.append(G, "s", [(store.now(), "next")])
        assert [e.sequence for e in store.filter(G).events] == [3]

    def test_a_deleted_stream_stays_deleted(self, open_store: Callable[..., LogStore]) -> None:
        store = open_store()
        store.append(G, "a", [(1, "a1")])
        store.append(G, "b", [(2, "b2")])
        store.delete_stream(G, "a")
        with pytest.raises(LogNotFound):
            store.delete_stream(G, "a")
        store.append(G, "a", [(3, "a3")])
        assert texts(store) == ["b2", "a3"]
        store.close()
        assert texts(open_store()) == ["b2", "a3"]

    def test_a_deleted_group_can_be_made_again(self, store: LogStore) -> None:
        store.append(G, "s", [(1, "a")])
        store.delete_group(G)
        assert store.groups() == []
        with pytest.raises(LogNotFound):
            store.filter(G)
        assert store.create_group(G)
        assert not store.create_group(G)
        assert texts(store) == []
        store.append(G, "s", [(1, "b")])
        assert texts(store) == ["b"]

    def test_groups_are_not_opened_before_they_are_read(
        self, open_store: Callable[..., LogStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A store of thousands of groups is there at once."""
        first = open_store()
        for n in range(100):
            first.append(f"/aws/lambda/f{n}", "s", [(1, "x")])
        first.close()
        made: list[str] = []
        group = logstore.Group
        monkeypatch.setattr(logstore, "Group", lambda *args: made.append(args[1]) or group(*args))
        second = open_store()
        assert len(second.groups()) == 100 and not made
        assert texts(second, "/aws/lambda/f50") == ["x"] and made == ["/aws/lambda/f50"]


@given(st.text(min_size=1, max_size=300).filter(lambda s: not any(0xD800 <= ord(c) < 0xE000 for c in s)))
def test_a_folders_name_is_safe_and_says_the_group(name: str) -> None:
    folder = folder_name(name)
    assert "/" not in folder
    assert not folder.startswith(".")
    assert len(folder.encode()) <= 200
    if "~" not in folder:
        assert name_of(Path(folder)) == name
