"""Row 48: a directory that is not ours, or not whole, as state: refused or set aside, and nothing in it is touched."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ROOT, Served

from engine.durable.folder import FORMAT, MARKER, StoreError, claim
from engine.durable.records import Put, Records
from engine.durable.store import Store

from .conftest import marked, wait_until
from .deployed import deployed, trees, works

_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def contents(folder: Path) -> Any:
    """Everything about a directory, or a file, that its owner would see changed."""
    found = {}
    for path in [folder, *folder.rglob("*")] if folder.is_dir() else [folder]:
        status = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, data)
    return found


def refusal(state: Path, **options: Any) -> str:
    """The one line that a server says which does not start."""
    command = [sys.executable, "-m", "engine.cli", "serve", "--port", "0", "--state", str(state)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment, **options
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("stoker serve: ")
    return done.stderr


def store(folder: Path) -> Path:
    """A directory of ours with a record in it."""
    it = Store(folder, [Records("p")])
    it.commit([Put("p", "t", "o", "i", b"{}")]).result(10)
    it.close()
    return folder


# What is no state directory, or not a whole one: how it is made, and what is said of it.


def somebodys(path: Path) -> None:
    for name in ("code/main.py", "code/" + "0" * 64 + "/x.py", "opt/" + "0" * 32 + "/y", "notes.txt"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("mine")


def one_file(path: Path) -> None:
    path.mkdir()
    (path / "lock").write_text("mine")


def empty_folder_inside(path: Path) -> None:
    (path / "code").mkdir(parents=True)


def hidden(path: Path) -> None:
    path.mkdir()
    (path / ".git").write_text("mine")


def other_database(path: Path) -> None:
    path.mkdir()
    with contextlib.closing(sqlite3.connect(path / "stoker.db")) as connection:
        connection.executescript("CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('a');")


def no_database(path: Path) -> None:
    path.mkdir()
    (path / "stoker.db").write_bytes(b"something else" * 1000)


def other_marker(path: Path) -> None:
    path.mkdir()
    (path / MARKER).write_text('{"name": "a configuration"}')
    (path / "data").write_text("mine")


def newer(path: Path) -> None:
    store(path)
    (path / MARKER).write_text(json.dumps({"format": FORMAT + 1, "id": "x", "more": []}))


def beside_its_log(path: Path) -> None:
    """Killed with commits in the log, and then the database was deleted."""
    code = f"import sys; sys.path[:] = {sys.path!r}\n" + (
        "import os, signal, pathlib\nfrom engine.durable.records import Put, Records\n"
        "from engine.durable.store import Store\nit = Store(pathlib.Path(sys.argv[1]), [Records('p')])\n"
        "it.commit([Put('p', 't', 'o', 'i', b'{}')]).result()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert (path / "stoker.db-wal").stat().st_size
    (path / "stoker.db").unlink()


def beside_its_log_without_marker(path: Path) -> None:
    beside_its_log(path)
    (path / MARKER).unlink()


def taken_away(path: Path) -> None:
    store(path)
    (path / "code" / ("0" * 64)).mkdir(parents=True)
    (path / "stoker.db").unlink()


def emptied(path: Path) -> None:
    taken_away(path)
    (path / "stoker.db").touch()


def another_ones(path: Path) -> None:
    store(path)
    other = store(path.with_name("other"))
    shutil.copy(other / "stoker.db", path / "stoker.db")


def a_file(path: Path) -> None:
    path.write_text("mine")


REFUSED: list[tuple[Callable[[Path], None], str]] = [
    (somebodys, "is not a state directory of Stoker's (it has no stoker.json, and has code, notes.txt, opt)"),
    (one_file, "is not a state directory of Stoker's (it has no stoker.json, and has lock)"),
    (empty_folder_inside, "is not a state directory of Stoker's"),
    (hidden, "is not a state directory of Stoker's"),
    (
        other_database,
        "is not a state directory of Stoker's (it has no stoker.json, and its stoker.db is another",
    ),
    (no_database, "its stoker.db cannot be read: file is not a database"),
    (other_marker, "is not what Stoker writes there"),
    (newer, f"was written by a newer version (format {FORMAT + 1}, this one knows {FORMAT})"),
    (
        beside_its_log,
        "has no stoker.db, but has what belongs to one (stoker.db-shm, stoker.db-wal): move stoker.db",
    ),
    (beside_its_log_without_marker, "has no stoker.db, but has what belongs to one"),
    (taken_away, "has no stoker.db, but has what belongs to one (code): move stoker.db back"),
    (emptied, "has an empty stoker.db, but has what belongs to one (code): move stoker.db back"),
    (a_file, "is, or lies in, a file"),
]


@pytest.mark.promise(91)
@pytest.mark.parametrize(("make", "text"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_row_48_what_is_not_ours_or_not_whole_is_refused_untouched(
    tmp_path: Path, make: Callable[[Path], None], text: str
) -> None:
    state = tmp_path / "state"
    make(state)
    before = contents(state)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            Store(state, [Records("p")])
        assert text in str(caught.value)
        assert contents(state) == before
    assert text in refusal(state)
    assert contents(state) == before


@pytest.mark.promise(91)
def test_row_48_another_ones_database_is_refused(tmp_path: Path) -> None:
    another_ones(tmp_path / "state")
    code = tmp_path / "state" / "code" / ("0" * 64)
    code.mkdir(parents=True)
    before = (tmp_path / "state" / "stoker.db").read_bytes()
    assert "stoker.db belongs to another state directory" in refusal(tmp_path / "state")
    assert code.exists() and (tmp_path / "state" / "stoker.db").read_bytes() == before


def test_row_48_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "is, or lies in, a file" in refusal(tmp_path / "file" / "state")


# What cannot be written. Each takes a directory and makes it so.


@contextlib.contextmanager
def mounted(path: Path, *options: str) -> Iterator[None]:
    path.mkdir(exist_ok=True)
    command = ["mount", *options, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("used", [False, True])
def test_row_48_a_read_only_directory(tmp_path: Path, used: bool) -> None:
    source = tmp_path / "source"
    store(source) if used else source.mkdir()
    with mounted(tmp_path / "state", "--bind", "-o", "ro", str(source)):
        text = refusal(tmp_path / "state")
    assert f"{tmp_path / 'state'} cannot be used to keep state in: Read-only file system" in text


@pytest.mark.parametrize("used", [False, True])
def test_row_48_no_permission(tmp_path: Path, used: bool) -> None:
    state = tmp_path / "state"
    store(state) if used else state.mkdir()
    if used:
        (state / "lock").unlink()
    state.chmod(0o555)

    def ordinary() -> None:  # what root may, too, is not to be asked for
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE)

    assert "cannot be used to keep state in: Permission denied" in refusal(state, preexec_fn=ordinary)
    assert "cannot be used" in refusal(state / "deeper", preexec_fn=ordinary)
    state.chmod(0o755)


@pytest.mark.parametrize("free", [0, 1, 2, 5, 10])
def test_row_48_a_full_disk_at_the_start(tmp_path: Path, free: int) -> None:
    """One line says so, and once there is room it starts."""
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=256k", "tmpfs"):
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        os.truncate(filler, filler.stat().st_size - free * 4096)
        text = refusal(disk / "state")
        assert "No space left on device" in text or "the disk is full" in text
        filler.unlink()
        store(disk / "state")


# What is ours


def test_row_48_an_empty_directory_and_one_that_is_not_there_are_claimed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ids = {claim(tmp_path / "empty"), claim(tmp_path / "a" / "new")}
    assert len(ids) == 2
    assert {claim(tmp_path / "empty"), claim(tmp_path / "a" / "new")} == ids
    store(tmp_path / "empty")
    assert claim(tmp_path / "empty") in ids


def test_row_48_a_start_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """Killed at any moment of its first start: the next one starts."""
    moments = ["os.link", "os.fsync", "os.open", "sqlite3.connect", "threading.Thread.start"]
    code = f"import sys; sys.path[:] = {sys.path!r}\n" + (
        "import os, signal, pathlib, sqlite3, threading\nfrom engine.durable.store import Store\n"
        "owner, name = sys.argv[2].rsplit('.', 1)\nowner = eval(owner)\nreal = getattr(owner, name)\n"
        "count = int(sys.argv[3])\n"
        "def dies(*args, **more):\n    global count\n    count -= 1\n"
        "    if count < 0: os.kill(os.getpid(), signal.SIGKILL)\n    return real(*args, **more)\n"
        "setattr(owner, name, dies)\nStore(pathlib.Path(sys.argv[1]), [])\n"
    )
    killed = 0
    for moment in moments:
        for n in range(3):
            state = tmp_path / f"{moment}{n}"
            done = subprocess.run([sys.executable, "-c", code, str(state), moment, str(n)], check=False)
            killed += done.returncode == -signal.SIGKILL
            store(state)
    assert killed >= 6


@pytest.mark.parametrize("marker", [False, True])
def test_row_48_an_older_ones_directory_is_adopted(tmp_path: Path, marker: bool) -> None:
    """Its database has no id, or its marker is gone."""
    id = claim(store(tmp_path / "state"))
    if not marker:
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / "stoker.db")) as connection:
            connection.executescript("DROP TABLE folder; PRAGMA user_version=2;")
    (tmp_path / "state" / MARKER).unlink()
    it = Store(tmp_path / "state", [Records("p")])
    rows = list(it.load(Records("p")))
    it.close()
    assert rows == [("p", "t", "o", "i", b"{}")]
    assert (claim(tmp_path / "state") == id) is marker
    store(tmp_path / "state")


def test_row_48_an_older_one_that_was_killed_is_adopted_with_its_log(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    first = store(tmp_path / "first")
    with contextlib.closing(sqlite3.connect(first / "stoker.db")) as connection:
        (dump,) = ["\n".join(connection.iterdump())]
    code = (
        "import os, signal, sqlite3, sys\nit = sqlite3.connect(sys.argv[1])\n"
        "it.execute('PRAGMA journal_mode=WAL'); it.execute('PRAGMA wal_autocheckpoint=0')\n"
        "it.executescript(sys.argv[2]); it.execute('PRAGMA user_version=2'); it.execute('DROP TABLE folder')\n"
        "it.commit(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(state / "stoker.db"), dump], check=False)
    assert (state / "stoker.db-wal").stat().st_size
    it = Store(state, [Records("p")])
    assert list(it.load(Records("p"))) == [("p", "t", "o", "i", b"{}")]
    it.close()


@pytest.mark.promise(91)
def test_row_48_a_database_that_is_moved_away_and_back(nothing_is_left: str, tmp_path: Path) -> None:
    """Between the two a start is refused, killed or stopped before; then every function works."""
    state, names = tmp_path / "state", ["one", "two"]
    server = Served(state)
    for name in names:
        deployed(server.client(), name, tmp_path)
    works(server.client(), names)
    for kill in (False, True):
        if kill:
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.communicate()
            wait_until(lambda: not marked(nothing_is_left))
        else:
            assert server.stop() == 0
        away = tmp_path / "away"
        (state / "stoker.db").rename(away)
        before = contents(state)
        assert "has no stoker.db, but has what belongs to one" in refusal(state)
        assert contents(state) == before
        away.rename(state / "stoker.db")
        server = Served(state)
        works(server.client(), names)
    assert server.stop() == 0


@pytest.mark.promise(91)
def test_row_48_an_older_database_sets_aside_and_the_newer_one_finds_it_all(tmp_path: Path) -> None:
    """A backup from before a function was deployed is put in place; later the database that it replaced is."""
    state = tmp_path / "state"
    server = Served(state)
    deployed(server.client(), "one", tmp_path)
    assert server.stop() == 0
    shutil.copy(state / "stoker.db", tmp_path / "backup")
    server = Served(state)
    deployed(server.client(), "two", tmp_path)
    works(server.client(), ["one", "two"])
    assert server.stop() == 0
    had = trees(state)
    shutil.copy(state / "stoker.db", tmp_path / "newer")
    shutil.copy(tmp_path / "backup", state / "stoker.db")
    server = Served(state)
    works(server.client(), ["one"])
    assert server.stop() == 0
    aside = {path.name for path in (state / "code" / "set-aside").iterdir()}
    assert {name for name in aside if len(name) == 64} == had - trees(state) and aside
    assert "set aside" in server.log.read_text()
    shutil.copy(tmp_path / "newer", state / "stoker.db")
    server = Served(state)
    works(server.client(), ["one", "two"])
    assert server.stop() == 0
    assert trees(state) == had
