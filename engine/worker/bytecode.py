"""Bytecode files beside a function's sources: none of a source that may still change unnoticed.

A .pyc says of its source the second of its last change and its size. Written within that second, it would stand for the
source as it was before the next change: a function that is changed and configured anew would run its old code.
"""

from __future__ import annotations

import os
import time
from importlib.machinery import SourceFileLoader
from typing import Any

SETTLED_S = 2.0  # after its change: file systems round, and clocks are read at different times


def keep_only_of_settled_sources() -> None:
    """In this process and those that it forks."""
    write: Any = SourceFileLoader.set_data

    def set_data(self: SourceFileLoader, path: str, data: bytes, **options: Any) -> None:
        try:
            changed = os.stat(self.path).st_mtime
        except OSError:
            return
        if time.time() - changed >= SETTLED_S:
            write(self, path, data, **options)

    SourceFileLoader.set_data = set_data  # type: ignore[assignment,method-assign]
