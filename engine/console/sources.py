"""A function's source files, for reading: those of its package, within bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

FILES = 2_000  # that are listed
TEXT_BYTES = 512 * 1024  # of a file that is shown


def listed(tree: Path) -> dict[str, Any]:
    """`files`, in order, each a path and its bytes; `more`: there are others."""
    found: list[list[Any]] = []
    for folder, folders, names in os.walk(tree):
        folders[:] = sorted(each for each in folders if each != "__pycache__")
        for name in sorted(names):
            path = Path(folder, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                if len(found) >= FILES:
                    return {"files": found, "more": True}
                found.append([path.relative_to(tree).as_posix(), status.st_size])
    found.sort(key=lambda each: (each[0].count("/"), each[0]))
    return {"files": found, "more": False}


def text(tree: Path, name: str) -> dict[str, Any] | None:
    """`text`: None of one that is none, or is too large. None: there is no such file."""
    try:
        path = (tree / name).resolve()
        if not path.is_relative_to(tree.resolve()) or not stat.S_ISREG((tree / name).lstat().st_mode):
            return None
        size = path.stat().st_size
        if size > TEXT_BYTES:
            return {"text": None, "size": size}
        body = path.read_bytes()
    except (OSError, ValueError):
        return None
    try:
        return {"text": None if b"\0" in body else body.decode(), "size": size}
    except UnicodeDecodeError:
        return {"text": None, "size": size}
