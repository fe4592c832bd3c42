"""Rows 8, 9, 10 and 39, the store's part: killed at any moment, torn, damaged, on a full disk, opened by two."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from numbered import AddEvent, EventRows

from engine.durable.folder import MARKER, StoreError, claim
from engine.durable.records import Put, Records
from engine.durable.store import SCHEMA, Store

KINDS = (Records(), EventRows())
KILLS = int(os.environ.get("STOKER_KILLS", "12"))
Script = Callable[[str], list[str]]

# Three callers commit until they are killed: a record and an event each, and the same number in a shared record.
WRITES = """
import os, threading
from pathlib import Path
from engine.durable.records import Put, Records
from engine.durable.store import Store
from numbered import AddEvent, EventRows
store = Store(Path(sys.argv[1]), [Records(), EventRows()])
output = threading.Lock()
def work(caller):
    for n in range(int(sys.argv[2]), 10**9):
        store.commit([
            Put("p", "one", caller, str(n), b"%d" % n * 50), AddEvent(f"{caller} {n}".encode()),
            Put("p", "two", caller, str(n), b""),
        ]).result()
        with output:
            os.write(1, f"{caller} {n}\\n".encode())
for caller in "abc":
    threading.Thread(target=work, args=(caller,)).start()
"""


def test_row_08_what_was_acknowledged_survives_being_killed(script: Script, tmp_path: Path) -> None:
    command = script(WRITES)
    folder = tmp_path / "state"
    acknowledged: set[str] = set()
    chance = random.Random(8)
    for life in range(KILLS):
        process = subprocess.Popen([*command, str(folder), str(life * 100_000)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        count = chance.randrange(
            1, 60
        )  # acknowledgements before the end: any moment of what is going on then
        lines = [process.stdout.readline() for _ in range(count)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        text = b"".join(lines) + rest
        acknowledged |= {line.decode() for line in text.splitlines(keepends=True) if line.endswith(b"\n")}
        store = Store(folder, KINDS)
        try:
            records = {(table, f"{owner} {id}\n") for _, table, owner, id, _ in store.load(Records())}
            events = [value.decode() + "\n" for _, _, _, value in store.load(EventRows())]
        finally:
            store.close()
        first = {name for table, name in records if table == "one"}
        assert acknowledged <= first
        # Commits are whole, and none is there twice.
        assert first == {name for table, name in records if table == "two"} == set(events)
        assert len(events) == len(set(events))
        # No more is there than was under way: three callers, each with one commit at a time.
        assert len(first - acknowledged) <= 3 * (life + 1)
    assert len(acknowledged) >= KILLS


def filled(folder: Path, commits: int) -> tuple[bytes, bytes]:
    """The files of a store that was killed after so many commits: its main file and its log."""
    store = Store(folder, KINDS)
    try:
        for n in range(commits):
            store.commit([Put("p", "t", "o", str(n), b"%d" % n * 300), AddEvent(b"%d" % n * 300)]).result(10)
        return (folder / "stoker.db").read_bytes(), (folder / "stoker.db-wal").read_bytes()
    finally:
        store.close()


def laid(folder: Path, main: bytes, log: bytes = b"") -> Path:
    """A state directory with these files, and the marker of the one beside it that they are from."""
    folder.mkdir()
    if (marker := folder.parent / "first" / MARKER).exists():
        (folder / MARKER).write_bytes(marker.read_bytes())
    (folder / "stoker.db").write_bytes(main)
    if log:
        (folder / "stoker.db-wal").write_bytes(log)
    return folder


def found(folder: Path) -> int:
    """How many commits a store has; they must be the first ones, whole, and it must take another one."""
    store = Store(folder, KINDS)
    try:
        records = {id: value for _, _, _, id, value in store.load(Records())}
        events = [value for _, _, _, value in store.load(EventRows())]
        assert records == {str(n): b"%d" % n * 300 for n in range(len(records))}
        assert events == [b"%d" % n * 300 for n in range(len(records))]
        store.commit([Put("p", "t", "o", "more", b"")]).result(10)
        return len(records)
    finally:
        store.close()


def test_row_09_a_torn_tail_is_dropped(tmp_path: Path) -> None:
    """The log is cut at every kind of place: what was whole before the cut is there, and no part of a commit."""
    main, log = filled(tmp_path / "first", 12)
    chance = random.Random(9)
    counts = []
    cuts = sorted([0, 1, 31, 32, 33, 56, len(log) - 1, len(log), *chance.sample(range(len(log)), 20)])
    for n, cut in enumerate(cuts):
        try:
            counts.append(found(laid(tmp_path / str(n), main, log[:cut])))
        except StoreError as error:  # cut before the tables were made: the main file may not be one yet
            raise AssertionError(f"cut at {cut}") from error
    assert counts == sorted(counts)
    assert counts[-1] == 12


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\xff" * 5000, b"noise" * 2000])
def test_row_09_noise_behind_the_log_is_dropped(tmp_path: Path, tail: bytes) -> None:
    main, log = filled(tmp_path / "first", 12)
    assert found(laid(tmp_path / "noise", main, log + tail)) == 12


def test_row_09_a_last_commit_of_which_sectors_are_missing_is_dropped(tmp_path: Path) -> None:
    main, log = filled(tmp_path / "first", 12)
    for n, at in enumerate(range(len(log) - 4096, len(log), 512)):
        torn = log[:at] + bytes(512) + log[at + 512 :]
        if torn != log:
            assert found(laid(tmp_path / str(n), main, torn)) in (11, 12)


def test_row_09_damage_before_the_tail_of_the_log_is_refused(tmp_path: Path) -> None:
    """A frame that was synchronised long ago is broken: what came after it would be lost in silence."""
    main, log = filled(tmp_path / "first", 12)
    chance = random.Random(10)
    for n, at in enumerate(chance.sample(range(len(log) // 2), 25)):
        broken = bytearray(log)
        broken[at] ^= 0xFF
        folder = laid(tmp_path / str(n), main, bytes(broken))
        for _ in range(2):  # and it is not swept away by being looked at
            with pytest.raises(StoreError, match=rf"{re.escape(str(folder))}/stoker.db-wal is damaged"):
                Store(folder, KINDS)
        assert (folder / "stoker.db-wal").read_bytes() == bytes(broken)


def whole(folder: Path, records: int = 300) -> bytes:
    """A main file with everything in it, closed in order."""
    store = Store(folder, KINDS)
    store.commit(
        [
            *(Put("p", "function", f"f{n}", "1", b"%05d" % n * 100) for n in range(records)),
            *(AddEvent(b"%05d" % n * 20) for n in range(records)),
        ]
    ).result(10)
    store.close()
    assert not (folder / "stoker.db-wal").exists()
    return (folder / "stoker.db").read_bytes()


def test_row_09_damage_in_the_main_file_is_refused_or_of_no_account(tmp_path: Path) -> None:
    """Bytes change anywhere in it: either it is refused with what to do about it, or everything is as it was."""
    main = whole(tmp_path / "first")
    chance = random.Random(11)
    refused = 0
    for n in range(60):
        broken = bytearray(main)
        at = chance.randrange(len(main))
        for offset in range(at, min(at + chance.choice([1, 16, 512]), len(main))):
            broken[offset] ^= chance.randrange(1, 256)
        folder = laid(tmp_path / str(n), bytes(broken))
        store = None
        try:
            store = Store(folder, KINDS)
            records = {owner: value for _, _, owner, _, value in store.load(Records())}
            events = [value for _, _, _, value in store.load(EventRows())]
        except StoreError as error:
            refused += 1
            assert str(folder / "stoker.db") in str(error)
            assert re.search(
                "restore it from a backup|another --state directory|could not be opened|put the one back",
                str(error),
            )
        else:
            assert records == {f"f{n}": b"%05d" % n * 100 for n in range(300)}, at
            assert events == [b"%05d" % n * 20 for n in range(300)], at
        finally:
            if store is not None:
                store.close()
    assert refused > 30


@pytest.mark.parametrize("length", [100, 4096, -4096, -1])
def test_row_09_a_main_file_that_was_cut_is_refused(tmp_path: Path, length: int) -> None:
    folder = laid(tmp_path / "cut", whole(tmp_path / "first")[:length])
    with pytest.raises(StoreError, match=r"stoker.db is damaged.*restore it from a backup; to start"):
        found(folder)


def test_row_09_what_is_no_database_is_refused(tmp_path: Path) -> None:
    claim(tmp_path / "first")
    folder = laid(tmp_path / "other", b"something else" * 1000)
    with pytest.raises(StoreError, match=r"stoker.db is damaged \(file is not a database\)"):
        Store(folder, KINDS)
    assert (folder / "stoker.db").read_bytes() == b"something else" * 1000


def test_row_09_a_newer_schema_is_refused(tmp_path: Path) -> None:
    whole(tmp_path / "state")
    connection = sqlite3.connect(tmp_path / "state" / "stoker.db")
    connection.execute(f"PRAGMA user_version={SCHEMA + 1}")
    connection.close()
    with pytest.raises(StoreError, match=f"newer version .schema {SCHEMA + 1}, this one knows {SCHEMA}"):
        Store(tmp_path / "state", KINDS)


# Row 10: the disk is full. RLIMIT_FSIZE makes any write beyond it fail as a full disk does.
FULL = """
import resource, signal
from pathlib import Path
from engine.durable.records import Put, Records
from engine.durable.folder import StoreError
from engine.durable.store import Store
from numbered import AddEvent, EventRows
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(Path(sys.argv[1]), [Records(), EventRows()])
store.commit([Put("p", "t", "o", "before", b"1")]).result(10)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
done, failed = ["before"], []
for n in range(40):
    ids = [f"{n}-{m}" for m in range(3)]
    futures = [store.commit([Put("p", "t", "o", id, b"x" * 9000), AddEvent(b"")]) for id in ids]
    for id, future in zip(ids, futures):
        try:
            future.result(10)
            done.append(id)
        except StoreError as error:
            assert "stoker.db could not be written" in str(error), error
            failed.append(id)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.commit([Put("p", "t", "o", "after", b"2")]).result(10)
done.append("after")
store.close()
print(len(done), len(failed), *done)
"""


@pytest.mark.parametrize("limit", [0, 20_000, 60_000, 200_000])
def test_row_10_a_full_disk_is_an_error_and_passes(script: Script, tmp_path: Path, limit: int) -> None:
    ran = subprocess.run(
        [*script(FULL), str(tmp_path / "state"), str(limit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    count, failed, *done = ran.stdout.split()
    assert int(count) == len(done) and int(failed) > 0 and done[-1] == "after"
    store = Store(tmp_path / "state", KINDS)
    try:
        kept = {id for _, _, _, id, _ in store.load(Records())}
    finally:
        store.close()
    assert set(done) <= kept


# A small file system: written until it is full, then room is made. Once for the log, once while it is opened.
SMALL = """
from pathlib import Path
from engine.durable.records import Put, Records
from engine.durable.folder import StoreError
from engine.durable.store import Store
folder, filler = Path(sys.argv[1]) / "state", Path(sys.argv[1]) / "filler"
store = Store(folder, [Records()])
store.commit([Put("p", "t", "o", "before", b"1")]).result(10)
with open(filler, "wb", buffering=0) as file:
    try:
        while file.write(b"x" * 4096): pass
    except OSError: pass
done, failed = ["before"], 0
for n in range(30):
    try:
        store.commit([Put("p", "t", "o", str(n), b"x" * 20000)]).result(10)
        done.append(str(n))
    except StoreError: failed += 1
filler.unlink()
store.commit([Put("p", "t", "o", "after", b"2")]).result(10)
done.append("after")
store.close()
store = Store(folder, [Records()])
assert set(done) <= {id for _, _, _, id, _ in store.load(Records())}
store.close()
print(failed)
"""


def test_row_10_a_file_system_without_room_is_an_error_and_passes(script: Script, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        ran = subprocess.run(
            [*script(SMALL), str(disk)], capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert int(ran.stdout) > 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_row_10_a_store_that_cannot_be_opened_again_answers_all_the_same(tmp_path: Path) -> None:
    """After an error the connection is opened anew; while that fails, each commit does, and later ones work."""
    store = Store(tmp_path / "state", KINDS)
    try:
        store.commit([Put("p", "t", "o", "before", b"1")]).result(10)
        real = store._open

        def refuse() -> sqlite3.Connection:
            raise StoreError("not now")

        store._open = refuse  # type: ignore[method-assign]
        bad = object()
        for _ in range(3):
            with pytest.raises(StoreError):
                store.commit([Put("p", "t", "o", "bad", bad)]).result(10)  # type: ignore[arg-type]
        store._open = real  # type: ignore[method-assign]
        store.commit([Put("p", "t", "o", "after", b"2")]).result(10)
        assert store._thread.is_alive()
    finally:
        store.close()


# Row 39: the lock.
HOLDS = """
import os, time
from pathlib import Path
from engine.durable.store import Store
store = Store(Path(sys.argv[1]), [])
os.write(1, b"open\\n")
sys.stdin.read()
"""


def test_a_lock_is_respected_while_its_owner_lives_and_taken_over_after(
    script: Script, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    with subprocess.Popen(
        [*script(HOLDS), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        for _ in range(2):
            with pytest.raises(
                StoreError, match=f"{folder} is in use by another server .process {owner.pid}."
            ):
                Store(folder, KINDS)
        owner.kill()
        owner.wait()
    assert (folder / "lock").read_text() == f"{owner.pid}\n"
    store = Store(folder, KINDS)
    assert (folder / "lock").read_text() == f"{os.getpid()}\n"
    store.close()


@pytest.mark.parametrize("content", [b"", b"not a number", b"1\n", b"99999999999999999999\n", b"\xff" * 100])
def test_a_stale_lock_is_taken_over_whatever_is_in_it(tmp_path: Path, content: bytes) -> None:
    claim(tmp_path)
    (tmp_path / "lock").write_bytes(content)
    store = Store(tmp_path, KINDS)
    try:
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(StoreError, match=f"process {os.getpid()}"):
            Store(tmp_path, KINDS)
    finally:
        store.close()
    Store(tmp_path, KINDS).close()


def test_of_many_who_open_at_once_one_has_it(tmp_path: Path) -> None:
    begin = threading.Barrier(8)
    got: list[Store] = []
    refused: list[StoreError] = []

    def open_() -> None:
        begin.wait()
        try:
            got.append(Store(tmp_path, KINDS))
        except StoreError as error:
            refused.append(error)

    threads = [threading.Thread(target=open_) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in got:
        store.close()
    assert len(got) == 1
    assert len(refused) == 7
