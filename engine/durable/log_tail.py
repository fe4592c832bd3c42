"""What a commit that failed left at the end of SQLite's write-ahead log.

When the synchronisation fails, all of its frames may be in the log, sound: at the next start they would be a commit
that was refused. So they are cut off. SQLite's index of the log, a file that its connections map, says how many frames
are committed; only this process writes, and nobody reads behind them. SQLite's file format, "WAL-Index Format"."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

_HEADER = struct.Struct("=3I2BH8I")  # the index begins with two copies of it
_VERSION = 3_007_000
_LOG_HEADER, _FRAME_HEADER = 32, 24


class LogTail:
    """Of the log of a database that this process has open. Belongs to the thread that writes."""

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(f"{database.name}-wal")
        self._index = database.with_name(f"{database.name}-shm")
        self._fd = -1  # of the index: to close one that is in use would give up SQLite's locks on it

    def cut(self) -> None:
        """What is not committed. Nothing happens when the disk refuses that, too."""
        with contextlib.suppress(OSError):
            end = self._end()
            if end and self._log.stat().st_size > end:
                os.truncate(self._log, end)

    def _end(self) -> int:
        """Bytes of the log that are committed; 0: that is not known. Raises OSError."""
        if self._fd < 0 or not os.path.samestat(os.fstat(self._fd), self._index.stat()):
            self.close()
            self._fd = os.open(self._index, os.O_RDONLY | os.O_CLOEXEC)
        first, second = os.pread(self._fd, _HEADER.size, 0), os.pread(self._fd, _HEADER.size, _HEADER.size)
        if len(first) < _HEADER.size or first != second:
            return 0
        version, _, _, ready, _, size, frames, *_ = _HEADER.unpack(first)
        if version != _VERSION or not ready:
            return 0
        page = 65_536 if size == 1 else size
        return int(_LOG_HEADER + frames * (_FRAME_HEADER + page))

    def close(self) -> None:
        """Once the database, or this index, is no longer in use."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
