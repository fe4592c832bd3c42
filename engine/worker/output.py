"""What a handler prints: sys.stdout, sys.stderr and logging, straight into the lane's log."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import _print, frames
from .._native import ffi, lib

_LOG = ffi.addressof(lib, "stk_worker_log")


class Output(io.RawIOBase):
    """A binary stream whose every write is one call of `append`: in a template, and in what a handler forks, a write
    to its descriptor; in a worker a copy into the lane's log. One object for all: the function's init may keep it."""

    append: Callable[[bytes], object]

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self.to_descriptor()

    def to_descriptor(self) -> None:
        self.append = partial(_write, self._fd)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        content = bytes(data)
        self.append(content)
        return len(content)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


class Text(io.TextIOWrapper):
    """An Output's text. In a worker print() needs nothing between its text and the lane; who changes how the stream
    encodes has a stream like any other."""

    def __init__(self, raw: Output) -> None:
        super().__init__(raw, "utf-8", "backslashreplace", write_through=True)  # type: ignore[arg-type]
        self.raw = raw

    def to_lane(self, lane: Any) -> None:
        self.raw.append = lambda data: lib.stk_worker_log(lane, data, len(data))
        log, address = (int(ffi.cast("uintptr_t", each)) for each in (_LOG, lane))
        self.write = _print.writer(log, address, super().write)  # type: ignore[method-assign]

    def to_descriptor(self) -> None:
        self.raw.to_descriptor()
        self._as_any_other()

    def _as_any_other(self) -> None:
        self.__dict__.pop("write", None)

    def reconfigure(self, **changes: Any) -> None:
        self._as_any_other()
        super().reconfigure(**changes)

    def detach(self) -> Any:
        self._as_any_other()
        return super().detach()

    def close(self) -> None:
        self._as_any_other()
        super().close()


def redirect() -> list[Text]:
    """Replace sys.stdout and sys.stderr. Descriptors 1 and 2 are pipes, for native code and children."""
    streams = []
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = Text(Output(fd))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
        streams.append(stream)
    return streams


class Records:
    """Where log records go: a deployed function's each in a frame, past whatever it made of sys.stdout; an embedded
    one's to sys.stdout, each on lines of its own."""

    def __init__(self, stream: Output, framed: bool) -> None:
        self._stream = stream
        self._framed = framed
        self.indent = "\u00a0" if framed else " "  # of an error's traceback

    def write(self, text: str, at: float) -> None:
        """at: epoch seconds."""
        if self._framed:
            self._append(frames.framed(text, at))
        else:
            sys.stdout.write(_whole(text))

    def error(self, text: str) -> None:
        """One that must get there, whatever the function made of sys.stdout."""
        self._append(frames.framed(text, time.time()) if self._framed else _whole(text))

    def _append(self, text: str) -> None:
        self._stream.append(text.encode("utf-8", "backslashreplace"))


def _whole(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON, with the members that AWS's Python runtime gives it."""

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": record.__dict__.get("aws_request_id", ""),
        }
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, trace = record.exc_info
            members["stackTrace"] = [line.rstrip("\n") for line in traceback.format_tb(trace)]
            members["errorType"] = kind.__name__
            members["errorMessage"] = str(error)
            members["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        members |= {
            name: value for name, value in record.__dict__.items() if name not in _OWN and name not in members
        }
        return json.dumps(members, default=str) + "\n"


# What every record has: whatever else it has comes from `extra`.
_OWN = {*logging.LogRecord("", 0, "", 0, "", (), None).__dict__, "aws_request_id", "asctime", "message"}


class LambdaLogHandler(logging.Handler):
    """The root logger's handler on Lambda: level, time, request id and message, tab-separated; or JSON."""

    request_id: Callable[[], str]

    def __init__(self, records: Records, as_json: bool = False) -> None:
        super().__init__()
        self._records = records
        text = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
        formatter = JsonFormatter() if as_json else logging.Formatter(text, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)
        self.request_id = lambda: ""

    def emit(self, record: logging.LogRecord) -> None:
        record.aws_request_id = self.request_id()
        try:
            self._records.write(self.format(record), record.created)
        except Exception:
            self.handleError(record)


def install_logging(records: Records) -> LambdaLogHandler:
    """Give the root logger Lambda's handler, before the function's own code runs."""
    as_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
    handler = LambdaLogHandler(records, as_json)
    root = logging.getLogger()
    root.addHandler(handler)
    if as_json:
        level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO")
        root.setLevel({"TRACE": "DEBUG", "FATAL": "CRITICAL", "WARN": "WARNING"}.get(level, level))
    return handler
