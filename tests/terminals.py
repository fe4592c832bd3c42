"""A program at a terminal of its own: what it shows, and keys for it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from support import until

COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """text: all that was shown so far, without colours; raw: with them."""

    def __init__(self, command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        ours, its = pty.openpty()
        self._descriptor = ours
        self._pieces: list[bytes] = []
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True
        )
        os.close(its)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def raw(self) -> str:
        return b"".join(self._pieces).decode("utf-8", "replace").replace("\r\n", "\n")

    @property
    def text(self) -> str:
        return COLOURS.sub("", self.raw)

    def wait(self, text: str, after: int = 0) -> int:
        """Until it is shown, behind so many characters. Where it ends."""
        until(
            lambda: text in self.text[after:] or self.process.poll() is not None,
            60, f"{text!r} in what was shown:\n{self.text[-2000:]}",
        )  # fmt: skip
        assert text in self.text[after:], self.text
        return self.text.index(text, after) + len(text)

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def ended(self) -> int:
        """Its exit status."""
        try:
            return self.process.wait(60)
        finally:
            self._reader.join(5)
            with contextlib.suppress(OSError):
                os.close(self._descriptor)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while piece := os.read(self._descriptor, 65536):
                self._pieces.append(piece)
