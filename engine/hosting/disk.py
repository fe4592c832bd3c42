"""What the disk must keep, and what it is to lose.

A tree is durable before it is seen: it is made under a name that nobody looks for, synchronised, renamed, and then the
folder that it lies in is synchronised. A crash leaves the old name, which the next start removes, or the new one and
with it all that the tree has, for the rename is written after the synchronisation has returned.

One fsync for each file is one journal transaction for each: 40,000 take as many. syncfs() writes everything that the
file system has yet to write, names included, in one go, and since Linux 5.8 fails when any of it could not be written.
It also waits for what other programs have written there, so a handful of files is synchronised one by one.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

_FEW = 32  # files and directories


def sync(path: Path) -> None:
    """A file's or a directory's own content. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(tree: Path) -> None:
    """A directory and all that is in it. Raises OSError."""
    few: list[str] = []
    for folder, _folders, files in os.walk(tree):
        few += [path for name in files if not os.path.islink(path := os.path.join(folder, name))]
        few.append(folder)
        if len(few) > _FEW:
            _sync_file_system(tree)
            return
    for path in few:
        sync(Path(path))


def _sync_file_system(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)


def seal(tree: Path) -> None:
    """Nothing is added to a tree's directories, nor taken out, by whoever has no more rights than their owner."""
    _directories(tree, 0o555)


def _directories(tree: Path, mode: int) -> None:
    os.chmod(tree, mode)
    for folder, folders, _files in os.walk(tree):
        for name in folders:
            if not os.path.islink(path := os.path.join(folder, name)):
                os.chmod(path, mode)


def move(path: Path, target: Path) -> None:
    """A file or a tree to another directory. Raises OSError."""
    mode = path.lstat().st_mode
    if path.is_dir():
        os.chmod(path, 0o755)  # its ".." changes
    path.rename(target)
    if target.is_dir():
        os.chmod(target, mode & 0o777)


def remove(path: Path) -> None:
    """A file, a link or a tree, if it is there. Raises OSError."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        _directories(path, 0o755)
        shutil.rmtree(path)


def bytes_in(tree: Path) -> int:
    """Of all files and links."""
    return sum(path.lstat().st_size for path in tree.rglob("*") if path.is_symlink() or not path.is_dir())
