"""A state directory: recognised by a marker of ours, so that nothing in any other is ever touched.

The marker, stoker.json, has the number of the directory's format and a random id. The database has the same id, so
that the two are known to belong together: the directory of one and the database of another are not taken for a whole.
What is found decides, and it is only looked at until that is decided:

- nothing, or an empty directory: claimed. The marker is the first file in it, so no directory of ours is without one.
- our marker and a database: opened. The store then holds the two ids against each other.
- our marker and no database: a start was interrupted if there is nothing else. Otherwise the database was taken away
  from what belongs to it (its log, packages, logs): refused, for a new one would know of none of that.
- no marker, but a database of ours: a directory from before there were markers, or one whose marker was removed.
  Adopted, under the id that the database has, if it has one.
- anything else is somebody else's: refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import uuid
from pathlib import Path
from urllib.parse import quote

from ..errors import EngineError

FORMAT = 1
MARKER = "stoker.json"
DATABASE = "stoker.db"
LOCK = "lock"
ID_TABLE = "CREATE TABLE folder (id TEXT NOT NULL)"  # one row: the directory that a database belongs to
_HALF_MADE = re.compile(re.escape(MARKER) + r"\.[0-9a-f]{32}\.new")
_OURS = {"records", "events"}  # a database with one of these tables is ours


class StoreError(EngineError):
    """The state could not be read or made durable; the message says which file, and why."""


def claim(folder: Path) -> str:
    """The id of a state directory, which is made when there is none. Raises StoreError, and has touched nothing, when
    it is not one of ours, or not whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(name for name in os.listdir(folder) if not _HALF_MADE.fullmatch(name))
        if MARKER in names:
            return _marked(folder, names)
        id = _unmarked(folder, names) if names else None
        return _mark(folder, id or uuid.uuid4().hex)
    except (FileExistsError, NotADirectoryError):
        raise StoreError(f"{folder} is, or lies in, a file: --state needs a directory") from None
    except OSError as error:
        raise unusable(folder, error) from None


def strangers(folder: Path) -> list[str]:
    """What is in a state directory beside its marker, its lock and its database with its log."""
    names = {MARKER, LOCK, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"}
    return sorted(name for name in set(os.listdir(folder)) - names if not _HALF_MADE.fullmatch(name))


def unusable(path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(
        f"{path} cannot be used to keep state in: {reason}. Give a --state directory that can be written"
    )


def without_database(folder: Path, what: str, names: list[str]) -> StoreError:
    found = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return StoreError(
        f"{folder} {what}, but has what belongs to one ({found}): move {DATABASE} back to where it was; "
        "to start with nothing deployed, give another --state directory. Nothing was changed"
    )


def _marked(folder: Path, names: list[str]) -> str:
    path = folder / MARKER
    try:
        marker = json.loads(path.read_bytes())
        number, id = marker["format"], marker["id"]
        if not isinstance(number, int) or not isinstance(id, str) or not id:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{path} is not what Stoker writes there: is {folder} a state directory? If so, remove that file"
        ) from None
    if number > FORMAT:
        raise StoreError(
            f"{folder} was written by a newer version (format {number}, this one knows {FORMAT}): "
            "use that version, or another --state directory"
        )
    others = [name for name in names if name not in (MARKER, LOCK, DATABASE)]
    missing = DATABASE not in names
    if others and (missing or (_empty(folder / DATABASE) and _empty(folder / f"{DATABASE}-wal"))):
        what = f"has no {DATABASE}" if missing else f"has an empty {DATABASE}"
        raise without_database(folder, what, others)
    return id


def _unmarked(folder: Path, names: list[str]) -> str | None:
    """The id in the database of an older Stoker's directory, None if it has none."""
    if DATABASE not in names:
        if f"{DATABASE}-wal" in names:
            raise without_database(folder, f"has no {DATABASE}", names)
        raise _foreign(folder, f"it has no {MARKER}, and {_listed(names)}")
    try:
        tables, id = _read(folder)
    except sqlite3.Error as error:
        raise _foreign(folder, f"it has no {MARKER}, and its {DATABASE} cannot be read: {error}") from None
    # One without tables was given up before its first transaction.
    if not tables & _OURS and (tables or strangers(folder)):
        raise _foreign(folder, f"it has no {MARKER}, and its {DATABASE} is another program's")
    return id


def _read(folder: Path) -> tuple[set[str], str | None]:
    """The tables of a database without a marker, and its id. Nothing is written beside it: its main file is read as
    it is; if everything is in its log still, a copy of both is."""
    path, log = folder / DATABASE, folder / f"{DATABASE}-wal"
    found = _tables(f"file:{quote(str(path))}?mode=ro&immutable=1")
    if found[0] or _empty(log):
        return found
    with tempfile.TemporaryDirectory(prefix="stoker-") as copies:
        for each in (path, log):
            shutil.copy(each, copies)
        return _tables(f"file:{quote(str(Path(copies, DATABASE)))}")


def _tables(uri: str) -> tuple[set[str], str | None]:
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")}
        row = connection.execute("SELECT id FROM folder").fetchone() if "folder" in tables else None
        return tables, row and str(row[0])


def _mark(folder: Path, id: str) -> str:
    """Write the marker, whole and on the disk. Of several that do at once one has written it: its id."""
    path = folder / MARKER
    made = folder / f"{MARKER}.{uuid.uuid4().hex}.new"
    try:
        with made.open("x") as file:
            file.write(json.dumps({"format": FORMAT, "id": id}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        with contextlib.suppress(OSError):
            made.unlink()
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return _marked(folder, [MARKER])


def _empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True


def _foreign(folder: Path, why: str) -> StoreError:
    return StoreError(
        f"{folder} is not a state directory of Stoker's ({why}): give an empty directory, or one that is not there "
        "yet, as --state. Nothing was changed"
    )


def _listed(names: list[str]) -> str:
    return f"has {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
