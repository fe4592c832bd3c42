"""What others wrote, on a terminal: without anything that the terminal would obey.

A function's output, its result, a server's error: each may hold escape sequences, which move the cursor, change what
was printed, or make the terminal type; and bidirectional overrides, which show text in another order than it has.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

# Control characters but for tab and newline, bidirectional overrides and isolates, and what no UTF-8 has.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_BAR = 28  # characters


def visible(text: str) -> str:
    """With those characters as escapes: \\x1b, \\u202e."""
    return _OBEYED.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


class _Visible:
    """A terminal's stream, through visible()."""

    def __init__(self, stream: TextIO) -> None:
        self.terminal = stream

    def write(self, text: str) -> int:
        self.terminal.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Meanwhile stdout and stderr, where they are terminals, show what they are given. Piped output stays as it is. An
    exception leaves it so: its traceback is still to be printed."""
    before = sys.stdout, sys.stderr
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty():
            setattr(sys, name, _Visible(stream))
    yield
    sys.stdout, sys.stderr = before


def unguarded(stream: TextIO) -> TextIO:
    """The terminal behind a stream, for what is to be obeyed; any other stream as it is."""
    return stream.terminal if isinstance(stream, _Visible) else stream


def write(data: bytes) -> None:
    """Bytes to stdout: as they are, or visible where that is a terminal."""
    if isinstance(sys.stdout, _Visible):
        sys.stdout.write(data.decode("utf-8", "backslashreplace"))
    else:
        sys.stdout.buffer.write(data)
    sys.stdout.flush()


class Bar:
    """How much of something is done, on stderr where that is a terminal. A line that is printed meanwhile goes between
    clear() and the next step()."""

    def __init__(self, what: str, steps: int) -> None:
        self._what = what
        self._steps = steps
        self._done = 0
        self._shown = steps > 1 and sys.stderr.isatty()

    def step(self) -> None:
        self._done = min(self._done + 1, self._steps)
        if self._shown:
            bar = ("#" * (self._done * _BAR // self._steps)).ljust(_BAR, ".")
            out = unguarded(sys.stderr)
            print(f"[{bar}] {self._done}/{self._steps} {self._what}", end="", file=out, flush=True)

    def clear(self) -> None:
        if self._shown and self._done:
            print("\r\x1b[K", end="", file=unguarded(sys.stderr), flush=True)
