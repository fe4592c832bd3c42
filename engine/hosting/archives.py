"""Archives: unpacked with nothing in them trusted, and packed so that the same files make the same bytes.

An archive comes from anywhere: names stay inside the tree, sizes are counted while they inflate, and what is neither a
file, a directory nor a link within the tree is refused.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from .. import limits
from ..aws.faults import Fault
from . import disk

_CHUNK = 1 << 20
_HEADER = b"PK\1\2"  # of a member, in the archive's directory
_ENCRYPTED = 0x1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # what Lambda takes; others are not bounded in memory
# What zipfile raises for an archive that it cannot read.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, KeyError, struct.error)
_ENTRIES = 100_000  # members, and the directories that their names imply
_NAME_BYTES = 1024
_NAME_PARTS = 100  # directories within each other
_PART_BYTES = 255  # what file systems take
_BYTECODE = "__pycache__"
_SKIPPED = {
    _BYTECODE,
    ".git",
    ".venv",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".DS_Store",
    ".stoker",
    ".aws-sam",
}


def members(archive: bytes) -> int:
    """About how many, without reading its directory."""
    return archive.count(_HEADER)


def backslashed(archive: bytes) -> int:
    """How many members of a good archive have a backslash in their names. Tools of Windows' mean a directory by it; on
    AWS, and here, it is a character like others."""
    if b"\\" not in archive:
        return 0
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        return sum("\\" in member.orig_filename for member in source.infolist())


def unpack(archive: bytes, target: Path, limit: int = limits.UNZIPPED_BYTES) -> int:
    """Unpack into a new folder; the bytes of all files. Raises Fault, and leaves what there is to its caller."""
    total = 0
    seen: set[str] = set()  # files and links
    folders: set[str] = set()
    try:
        if members(archive) > _ENTRIES:  # before there is an object for each
            raise _bad(f"it has more than {_ENTRIES} files and directories")
        with zipfile.ZipFile(io.BytesIO(archive)) as source:
            listed = source.infolist()
            if sum(member.compress_size for member in listed) > len(archive):
                raise _bad()  # they overlap, or are not all there
            paths = _planned(listed)
            _make(target, PurePosixPath(), folders)
            for member, path in zip(listed, paths, strict=True):
                name = str(path)
                _make(target, path if member.is_dir() else path.parent, folders)
                if member.is_dir():
                    continue
                if name in seen:
                    raise _bad(f"it has two members named {name!r}")
                seen.add(name)
                mode = member.external_attr >> 16
                if stat.S_ISLNK(mode):
                    total += _link(source, member, path, target)
                elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                    total += _file(source, member, target / path, limit - total)
                else:
                    raise _bad(f"{name!r} is neither a file nor a directory")
    except _BROKEN as error:
        raise _bad() from error
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        raise _bad("one of its files is a directory, too") from error
    disk.seal(target)
    return total


def _planned(listed: list[zipfile.ZipInfo]) -> list[PurePosixPath]:
    """Where each member goes, before anything is written. Raises Fault."""
    entries: set[PurePosixPath] = set()
    paths = [_safe(member) for member in listed]
    for path in paths:
        each = path
        while each not in entries:
            entries.add(each)
            each = each.parent
        if len(entries) > _ENTRIES:
            raise _bad(f"it has more than {_ENTRIES} files and directories")
    return paths


def _safe(member: zipfile.ZipInfo) -> PurePosixPath:
    """A member's name as a path inside the tree. Raises Fault."""
    name = member.orig_filename
    parts = PurePosixPath(name).parts
    bad = (
        not parts
        or name.startswith("/")
        or "\0" in name
        or ".." in parts
        or (len(parts[0]) == 2 and parts[0][1] == ":")
        or len(name.encode("utf-8", "replace")) > _NAME_BYTES
        or len(parts) > _NAME_PARTS
        or any(len(part.encode("utf-8", "replace")) > _PART_BYTES for part in parts)
    )
    if bad:
        raise _bad(f"the member name {name[:100]!r} is too long, or does not stay inside the package")
    if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
        raise _bad()
    return PurePosixPath(*parts)


def _make(target: Path, path: PurePosixPath, made: set[str]) -> None:
    """A directory of the tree, and those above it; never behind a link. Raises FileExistsError."""
    missing: list[PurePosixPath] = []
    while str(path) not in made:
        missing.append(path)
        if str(path) == ".":
            break
        path = path.parent
    for each in reversed(missing):
        os.mkdir(target / each)
        os.chmod(target / each, 0o755)
        made.add(str(each))


def _file(source: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path, room: int) -> int:
    mode = 0o555 if (member.external_attr >> 16) & 0o111 else 0o444
    size = 0
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file, source.open(member) as data:
        while chunk := data.read(_CHUNK):
            size += len(chunk)
            if size >= room:  # AWS: smaller than its limit
                text = f"Unzipped size must be smaller than {limits.UNZIPPED_BYTES} bytes"
                raise Fault("InvalidParameterValueException", text, Type="User")
            file.write(chunk)
    if size != member.file_size:
        raise _bad()
    os.chmod(place, mode)
    return size


def _link(source: zipfile.ZipFile, member: zipfile.ZipInfo, path: PurePosixPath, target: Path) -> int:
    with source.open(member) as data:
        content = data.read(_NAME_BYTES + 1)
    text = content.decode("utf-8", "surrogateescape")
    parts = PurePosixPath(text).parts
    up = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    # No ".." behind a name: that may be another link, and what is above it elsewhere.
    if (
        len(content) > _NAME_BYTES
        or not text
        or "\0" in text
        or text.startswith("/")
        or ".." in parts[up:]
        or up > len(path.parent.parts)
    ):
        raise _bad(f"the link {path.name!r} leads out of the package")
    if len(content) != member.file_size:
        raise _bad()
    (target / path).symlink_to(text)
    return len(content)


def _bad(why: str = "") -> Fault:
    text = "Could not unzip uploaded file. Please check your file, then try to upload again."
    return Fault("InvalidParameterValueException", f"{text} ({why})" if why else text, Type="User")


def pack(source: Path, *, beside: Path | None = None, under: str = "", bytecode: bool = False) -> bytes:
    """A folder, or one .py file, as an archive: the same files make the same bytes. Raises OSError.

    beside: a folder whose files are in it, too, where the source has none of their names. under: a path in the archive
    that all of them go to ("python/"). bytecode: Python's of the source is packed, too; that of `beside` is."""
    found = {under + name: path for path, name in _packed(beside, bytecode=True)} if beside else {}
    found |= {under + name: path for path, name in _packed(source, bytecode)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(found.items(), key=lambda pair: pair[0].split("/")):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            mode = path.stat().st_mode
            info.external_attr = (stat.S_IFREG | (0o755 if mode & 0o111 else 0o644)) << 16
            archive.writestr(info, path.read_bytes())
    return out.getvalue()


def packs(parts: Iterable[str], bytecode: bool = False) -> bool:
    """Is a file with this path within a source packed?"""
    skipped = _SKIPPED.intersection(parts)
    return not skipped or (bytecode and skipped == {_BYTECODE})


def _packed(source: Path, bytecode: bool = False) -> Iterator[tuple[Path, str]]:
    if source.is_file():
        yield source, source.name
        return
    if not source.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        if packs(parts, bytecode) and path.is_file():
            yield path, "/".join(parts)
