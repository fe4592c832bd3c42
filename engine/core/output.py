"""What a handler prints: sys.stdout, sys.stderr and logging, straight into the lane's log."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable
from typing import Any


class LaneOutput(io.RawIOBase):
    """A binary stream whose every write is one append to the log: a copy, no system call."""

    def __init__(self, append: Callable[[bytes], None], fd: int) -> None:
        super().__init__()
        self._append = append
        self._fd = fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._append(content)
        return len(content)


def redirect(append: Callable[[bytes], None]) -> None:
    """Send Python's own output to `append`. Descriptors 1 and 2 are a pipe, for native code and children."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(
            LaneOutput(append, fd),  # type: ignore[type-var]
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


class LambdaLogHandler(logging.Handler):
    """The root logger's handler on Lambda: level, time, request id and message, tab-separated."""

    request_id: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        formatter = logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
        )
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self.request_id = lambda: ""

    def emit(self, record: logging.LogRecord) -> None:
        record.aws_request_id = self.request_id()
        try:
            sys.stdout.write(self.format(record))
        except Exception:
            self.handleError(record)


def install_logging() -> LambdaLogHandler:
    """Give the root logger Lambda's handler, unless the function's init configured its own."""
    handler = LambdaLogHandler()
    logging.getLogger().addHandler(handler)
    return handler
