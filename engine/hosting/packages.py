"""Code packages: content-addressed, unpacked once, shared by every version that has the same bytes, gone with the last.

On the disk, in a folder of ours:

    DIGEST.zip, DIGEST     an archive, by the SHA-256 of its bytes, and the tree that was unpacked from it
    DIGEST.*.new, .old     on its way in, on its way out: whoever renames whole is never seen half
    set-aside/             what the records did not name when a server started

and in another, what is made of several: the layers of a function, one over the other.

What may be removed, and when. A package is needed by the records that name it and by whoever uses it: an upload that
is about to be recorded, a version that runs. A server counts both from its start on; when neither is left, the package
goes. The last record was taken out of the database that runs, durably, so there is no doubt about it.
At a start there is: what no record names may be the rest of an interrupted upload or removal, but also what a newer
database named, if an older one was put back in its place, or its log was lost. So nothing is removed then but what was
on its way (.new, .old) and what can be made again (merged layers). A package without a record is set aside, and comes
back by itself as soon as a database that names it does. Names that are not of our making are never touched.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import logging
import os
import re
import threading
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import disk
from .archives import members, unpack
from .unpacking import unpacked
from .verify import altered

_log = logging.getLogger("stoker.hosting")
_LARGE_BYTES = 1 << 20  # an archive's, beyond which it is unpacked in a process of its own
_LARGE_MEMBERS = 100
_PROCESSES = 2
_PACKAGE = re.compile(r"([0-9a-f]{64})(\.zip)?")
_MERGED = re.compile(r"[0-9a-f]{32}")
_PASSING = re.compile(r"[0-9a-f]{32,64}(\.zip)?\.[0-9a-f]+(\.zip)?\.(new|old)")


@dataclass(frozen=True, slots=True)
class Package:
    """A stored package. digest: SHA-256 in hex; sha256: in base64, as CodeSha256 has it; sizes in bytes."""

    digest: str
    sha256: str
    size: int
    unzipped: int


def merged_name(layers: Sequence[str]) -> str:
    """Of the tree that has these layers, by digest, one over the other."""
    return hashlib.sha256("\n".join(layers).encode()).hexdigest()[:32]


def needs(record: Mapping[str, Any]) -> list[str]:
    """The names of what a version's, or a layer's, record needs on the disk."""
    if "_digest" not in record:
        return []
    layers = record.get("_layers") or ()
    return [record["_digest"], *layers, *([merged_name(layers)] if layers else ())]


class Packages:
    """A folder of packages, and one of merged layers. From any thread."""

    def __init__(self, folder: Path, merged: Path | None = None) -> None:
        """Raises OSError."""
        self._folder = folder
        self._merged = merged
        self.aside = folder / "set-aside"
        self._recorded: Counter[str] = Counter()  # by name: records
        self._used: Counter[str] = Counter()  # by name: uploads, versions that run
        self._sizes: dict[str, int] = {}  # unzipped, by digest: of what was added lately
        self._verified: set[str] = set()  # digests
        self._busy: set[str] = set()  # being added or removed
        self._change = threading.Condition()
        self._large = threading.BoundedSemaphore(_PROCESSES)
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="stoker-remover")
        folder.mkdir(parents=True, exist_ok=True)
        for left in _entries(folder, merged):
            if _PASSING.fullmatch(left.name):
                disk.remove(left)

    def archive(self, digest: str) -> Path:
        return self._folder / f"{digest}.zip"

    def tree(self, digest: str) -> Path:
        """The unpacked files, none of them writable."""
        return self._folder / digest

    def add(self, archive: bytes) -> Package:
        """Verify, unpack and keep an archive; the same bytes again cost nothing. It is in use until the caller says
        `release((package.digest,))`. Takes as long as it takes: not for a thread that others wait for. Raises Fault
        (InvalidParameterValueException) for what cannot be taken, OSError when the disk cannot take it."""
        raw = hashlib.sha256(archive).digest()
        digest, sha256 = raw.hex(), base64.b64encode(raw).decode()
        self.use((digest,))
        try:
            with self._turn(digest):
                if not (self.tree(digest).exists() and self.archive(digest).exists()):
                    self._sizes[digest] = self._make(digest, archive)
                elif digest not in self._sizes:
                    self._sizes[digest] = disk.bytes_in(self.tree(digest))
                return Package(digest, sha256, len(archive), self._sizes[digest])
        except BaseException:
            self.release((digest,))
            raise

    def _make(self, digest: str, archive: bytes) -> int:
        tree, kept = self.tree(digest), self.archive(digest)
        made = self._folder / f"{digest}.{uuid.uuid4().hex}.new"
        zipped = made.with_suffix(".zip.new")
        try:
            if len(archive) <= _LARGE_BYTES and members(archive) <= _LARGE_MEMBERS:
                size = unpack(archive, made)
                disk.sync_tree(made)
                zipped.write_bytes(archive)
            else:
                with self._large:
                    zipped.write_bytes(archive)
                    size = unpacked(zipped, made)
            disk.sync(zipped)
            disk.remove(tree)
            made.rename(tree)
            zipped.rename(kept)
            disk.sync(self._folder)
        finally:
            disk.remove(zipped)
            disk.remove(made)
        return size

    def verify(self, digest: str, *, again: bool) -> None:
        """See that a tree is as it was deployed; one that was altered is made anew of its archive. again: even if that
        was seen since the start. Raises OSError when the archive is not what was deployed, either."""
        with self._turn(digest):
            if not again and digest in self._verified:
                return
            tree, kept = self.tree(digest), self.archive(digest)
            if difference := altered(tree, kept, digest):
                _log.warning("the package %s was altered (%s), and is unpacked anew", digest, difference)
                archive = kept.read_bytes()
                if hashlib.sha256(archive).hexdigest() != digest:
                    raise OSError(
                        errno.EIO, "the package and its archive were altered: deploy it again", str(kept)
                    )
                self._make(digest, archive)
            self._verified.add(digest)

    @contextlib.contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """What is added or removed is so by one thread at a time."""
        with self._change:
            self._change.wait_for(lambda: name not in self._busy)
            self._busy.add(name)
        try:
            yield
        finally:
            with self._change:
                self._busy.discard(name)
                self._change.notify_all()

    def record(self, names: Iterable[str]) -> None:
        """A record needs these."""
        self._count(self._recorded, names)

    def use(self, names: Iterable[str]) -> None:
        """Somebody uses these, until `release`."""
        self._count(self._used, names)

    def unrecord(self, names: Iterable[str]) -> None:
        """A record needs these no more, and that is durable. What nobody needs goes, in a thread of its own."""
        self._uncount(self._recorded, names)

    def release(self, names: Iterable[str]) -> None:
        """The end of `use`. What nobody needs goes, in a thread of its own."""
        self._uncount(self._used, names)

    def _count(self, counter: Counter[str], names: Iterable[str]) -> None:
        with self._change:
            counter.update(names)

    def _uncount(self, counter: Counter[str], names: Iterable[str]) -> None:
        unneeded: list[str] = []
        with self._change:
            for name in names:
                counter[name] -= 1
                if counter[name] <= 0:
                    del counter[name]
                if not self._needed(name):
                    unneeded.append(name)
        with contextlib.suppress(RuntimeError):  # closed: close() has done it
            for name in unneeded:
                self._remover.submit(self._drop, name)

    def _needed(self, name: str) -> bool:
        return name in self._recorded or name in self._used

    def _drop(self, name: str) -> None:
        """Remove a package or merged layers, unless somebody needs it after all."""
        with (
            contextlib.suppress(OSError),
            self._turn(name),
        ):  # what cannot be removed is set aside at the next start
            with self._change:
                if self._needed(name):
                    return
                self._sizes.pop(name, None)
                self._verified.discard(name)
            for path in self._paths(name):
                old = path.with_name(f"{path.name}.{uuid.uuid4().hex}.old")
                with contextlib.suppress(FileNotFoundError):
                    path.rename(old)
                    disk.remove(old)

    def _paths(self, name: str) -> list[Path]:
        if _MERGED.fullmatch(name):
            return [self._merged / name] if self._merged else []
        return [self.archive(name), self.tree(name)]

    def reconcile(self, named: Collection[str]) -> list[str]:
        """At start, before anything is added: only what is in `named` stays in its place, and what of it was set aside
        comes back. The names of what is set aside now. Raises OSError."""
        for path in _entries(self.aside):
            found = _PACKAGE.fullmatch(path.name)
            if found and found[1] in named and not (self._folder / path.name).exists():
                disk.move(path, self._folder / path.name)
        aside = []
        for path in _entries(self._folder):
            found = _PACKAGE.fullmatch(path.name)
            if found and found[1] not in named:
                self.aside.mkdir(exist_ok=True)
                disk.remove(self.aside / path.name)  # the same bytes, as its name says
                disk.move(path, self.aside / path.name)
                aside.append(path.name)
        for path in _entries(self._merged):
            if _MERGED.fullmatch(path.name) and path.name not in named:
                disk.remove(path)
        return aside

    def close(self) -> None:
        """Nothing runs any more: what only a version that ran needed goes, and this waits for it."""
        with self._change:
            left = list(self._used)
            self._used.clear()
        for name in left:
            self._drop(name)
        self._remover.shutdown()


def _entries(*folders: Path | None) -> list[Path]:
    """What is in these folders, if they are there."""
    return [
        folder / name
        for folder in folders
        if folder and folder.is_dir()
        for name in sorted(os.listdir(folder))
    ]
