"""Is an unpacked tree still what its archive holds? Code that was altered since must not run."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from pathlib import Path

_CHUNK = 1 << 20


def altered(tree: Path, archive: Path, digest: str) -> str:
    """What is not as it was deployed, "": nothing is. digest: the archive's SHA-256, in hex; the archive's directory
    has the size and CRC-32 of each file. Blocks on the disk."""
    try:
        with archive.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return archive.name
            return _difference(tree, zipfile.ZipFile(file))
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        return str(error)


def _difference(tree: Path, source: zipfile.ZipFile) -> str:
    found = _files(tree)
    for member in source.infolist():
        if member.is_dir():
            continue
        name = os.path.normpath(member.orig_filename)
        path = found.pop(name, None)
        if path is None:
            return f"{name} is missing"
        if stat.S_ISLNK(member.external_attr >> 16):
            same = path.is_symlink() and os.fsencode(os.readlink(path)) == source.read(member)
        else:
            is_now = path.lstat()
            same = (
                stat.S_ISREG(is_now.st_mode)
                and is_now.st_size == member.file_size
                and _crc(path) == member.CRC
            )
        if not same:
            return name
    return next((f"{name} is more than there was" for name in found), "")


def _files(tree: Path) -> dict[str, Path]:
    """All that is no directory, by its name in the tree."""
    found = {}
    for folder, folders, files in os.walk(tree):
        for name in [*files, *(each for each in folders if os.path.islink(os.path.join(folder, each)))]:
            path = Path(folder, name)
            found[os.path.relpath(path, tree)] = path
    return found


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value
