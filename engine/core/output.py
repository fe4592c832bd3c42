"""What a handler prints: sys.stdout, sys.stderr and logging, straight into the lane's log."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any


class Output(io.RawIOBase):
    """A binary stream whose every write is one call of `append`: in a template a write to its descriptor, in
    a worker a copy into the lane's log. One object for both, since the function's init may keep it."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self.append: Callable[[bytes], object] = lambda data: os.write(fd, data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        content = bytes(data)
        self.append(content)
        return len(content)


def redirect() -> list[Output]:
    """Replace sys.stdout and sys.stderr. Descriptors 1 and 2 are pipes, for native code and children."""
    outputs = []
    for name, fd in (("stdout", 1), ("stderr", 2)):
        raw = Output(fd)
        stream = io.TextIOWrapper(
            raw,  # type: ignore[type-var]
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
        outputs.append(raw)
    return outputs


class LambdaLogHandler(logging.Handler):
    """The root logger's handler on Lambda: level, time, request id and message, tab-separated."""

    request_id: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        formatter = logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
            "%Y-%m-%dT%H:%M:%S",
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
    """Give the root logger Lambda's handler, before the function's own code runs."""
    handler = LambdaLogHandler()
    logging.getLogger().addHandler(handler)
    return handler
