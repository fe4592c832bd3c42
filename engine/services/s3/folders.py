"""A folder of this machine as a bucket: its files are the objects, their paths the keys. For any thread."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import heapq
import json
import mimetypes
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ...aws.faults import Fault
from ...errors import InvalidConfiguration
from ...hosting import disk
from .faults import invalid

SCHEME = "directory://"
STAGED = ".stoker-"  # what the names of files begin with that are not objects yet
KEY_BYTES = 1024
_ETAGS = 10_000  # kept
_ATTRIBUTE = "user.stoker.s3"  # a file's extended attribute: what its object has beside its bytes


class Entry(NamedTuple):
    """A file as it is now. stamp: another one means other bytes."""

    key: str
    size: int
    modified: float
    stamp: str


class Listing(NamedTuple):
    entries: list[Entry]
    prefixes: list[str]
    next: str  # what the last one listed is called, where there are more; else ""


def parse_bucket(text: str) -> tuple[str, Path]:
    """NAME=directory:///PATH. Raises InvalidConfiguration."""
    name, _, url = text.partition("=")
    path = Path(url.removeprefix(SCHEME))
    if not name or not url.startswith(SCHEME) or not path.is_absolute():
        raise InvalidConfiguration(
            f"--bucket {text}: write NAME={SCHEME}/PATH, for example pictures={SCHEME}/srv/pictures"
        )
    if not path.is_dir():
        raise InvalidConfiguration(f"--bucket {text}: {path} is no directory")
    return name, path.resolve()


class Folder:
    """root: resolved. What leads out of it, by .. or a link, is no object."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._etags: dict[tuple[str, str], str] = {}  # by key and stamp

    def path(self, key: str) -> Path:
        """Raises Fault for a key that no file could have."""
        parts = key.removesuffix("/").split("/")
        if len(key.encode("utf-8", "replace")) > KEY_BYTES:
            raise Fault("KeyTooLongError", "Your key is too long")
        if (
            any(
                part in ("", ".", "..") or part.startswith(STAGED) or len(part.encode()) > 255
                for part in parts
            )
            or "\0" in key
        ):
            raise invalid("This bucket is a folder: the key is no path of a file in it", "Key", key)
        path = self.root.joinpath(*parts)
        if os.path.realpath(path) != str(path):
            raise Fault("AccessDenied", "This bucket is a folder: the key leads out of it, through a link")
        return path

    def key(self, path: str) -> str | None:
        """Of a file; None for what is no object."""
        key = os.path.relpath(path, self.root)
        with contextlib.suppress(UnicodeEncodeError):
            key.encode()
            if not any(part in (".", "..") or part.startswith(STAGED) for part in key.split("/")):
                return key
        return None

    def entry(self, key: str) -> Entry | None:
        """None when there is no such file. Raises Fault."""
        path = self.path(key)
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            if key.endswith("/"):
                return Entry(key, 0, found.st_mtime, "") if path.is_dir() else None
            if os.path.isfile(path) and not os.path.islink(path):
                return _entry(key, found)
        return None

    def open(self, key: str) -> tuple[Entry, BinaryIO]:
        """Raises Fault: NoSuchKey."""
        self.existing(key)
        try:
            file = open(self.path(key), "rb")  # noqa: SIM115
        except OSError:
            raise _no_key(key) from None
        return _entry(key, os.fstat(file.fileno())), file

    def existing(self, key: str) -> Entry:
        """Raises Fault: NoSuchKey."""
        found = self.entry(key)
        if found is None:
            raise _no_key(key)
        return found

    def etag(self, entry: Entry, at_most: int | None = None) -> str:
        """The MD5 of its bytes, in hexadecimal digits; "" where more than `at_most` had to be read for it. Raises
        OSError."""
        if not entry.stamp:
            return hashlib.md5().hexdigest()
        found = self._etags.get((entry.key, entry.stamp), "")
        if not found and (at_most is None or entry.size <= at_most):
            with open(self.path(entry.key), "rb") as file:
                found = hashlib.file_digest(file, "md5").hexdigest()
            self.knows(entry, found)
        return found

    def knows(self, entry: Entry, etag: str) -> None:
        if len(self._etags) >= _ETAGS:
            with contextlib.suppress(RuntimeError):  # another thread has put one meanwhile
                self._etags.pop(next(iter(self._etags)), None)
        self._etags[entry.key, entry.stamp] = etag

    def stage(self) -> tuple[Path, BinaryIO]:
        """A file that is no object yet."""
        path = self.root / f"{STAGED}{uuid.uuid4().hex}"
        return path, path.open("xb")

    def staged(self, path: Path, key: str, about: Mapping[str, Any]) -> Entry:
        """What a staged file will be: on the disk. about: what the object has beside its bytes."""
        with contextlib.suppress(OSError):  # a file system without extended attributes
            os.setxattr(path, _ATTRIBUTE, json.dumps(about).encode())
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return _entry(key, os.lstat(path))

    def place(self, staged: Path, key: str) -> None:
        """The staged file is the object from now on, durably. Raises Fault, OSError."""
        path = self.path(key)
        with _named(key):
            _make(path.parent)
            os.replace(staged, path)
        disk.sync(path.parent)

    def make(self, key: str) -> None:
        """The folder that a key with / at its end names is there, durably. Raises Fault, OSError."""
        with _named(key):
            _make(self.path(key))

    def delete(self, key: str) -> None:
        path = self.path(key)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if key.endswith("/"):
                with contextlib.suppress(OSError):  # one that is not empty stays
                    path.rmdir()
            elif path.is_file():
                path.unlink()
                disk.sync(path.parent)

    def about(self, key: str) -> dict[str, Any]:
        """What the object has beside its bytes."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(os.getxattr(self.path(key), _ATTRIBUTE))
            return found
        return {"content-type": mimetypes.guess_type(key)[0] or "binary/octet-stream"}

    def entries(self, below: str = "") -> Iterator[Entry]:
        """Every file, in no order. below: of a folder ("a/b"), or of all."""
        for folder, names, files in os.walk(self.root / below if below else self.root):
            names[:] = [name for name in names if not name.startswith(STAGED)]
            for name in files:
                path = os.path.join(folder, name)
                key = self.key(path)
                with contextlib.suppress(OSError):
                    if key is not None and not os.path.islink(path) and os.path.isfile(path):
                        yield _entry(key, os.lstat(path))

    def listing(self, prefix: str, delimiter: str, after: str, most: int) -> Listing:
        """In the order of the keys' bytes; after: the key, or the common prefix, behind which it begins."""
        found: list[Entry] = []
        prefixes: list[str] = []
        last, more = "", False
        below = prefix.rpartition("/")[0]
        if below and (".." in below.split("/") or not (self.root / below).is_dir()):
            return Listing([], [], "")
        for entry in _ordered(each for each in self.entries(below) if each.key.startswith(prefix)):
            common = ""
            if delimiter and delimiter in entry.key[len(prefix) :]:
                common = prefix + entry.key[len(prefix) :].partition(delimiter)[0] + delimiter
            name = common or entry.key
            if name.encode() <= after.encode() or (common and prefixes[-1:] == [common]):
                continue
            if len(found) + len(prefixes) >= most:
                more = True
                break
            if common:
                prefixes.append(common)
            else:
                found.append(entry)
            last = name
        return Listing(found, prefixes, last if more else "")


def being_written(path: str) -> bool | None:
    """Does anyone have it open for writing? None: that cannot be told. A read lease can be had of no such file; who
    opens it in the moment in which we have one waits, and SIGURG, which we ignore, tells us of him."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _no_key(key: str) -> Fault:
    return Fault("NoSuchKey", "The specified key does not exist.", Key=key)


def _ordered(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Smallest first, and no more sorted than is asked for."""
    heap = [(entry.key.encode(), entry) for entry in entries]
    heapq.heapify(heap)
    while heap:
        yield heapq.heappop(heap)[1]


def _entry(key: str, found: os.stat_result) -> Entry:
    return Entry(key, found.st_size, found.st_mtime, f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}")


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Raises Fault where a file is in the way of a folder, or a folder in that of a file."""
    try:
        yield
    except (NotADirectoryError, FileExistsError, IsADirectoryError):
        text = "This bucket is a folder: a file cannot be named as a folder of another is"
        raise invalid(text, "Key", key) from None


def _make(folder: Path) -> None:
    """A folder, and those that it lies in, each in one that is synchronised."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        disk.sync(each.parent)
