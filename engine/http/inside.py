"""The server's second socket: a Unix one, for the functions that it runs (worker/endpoint.py).

It lies where sandboxes can show it, in a directory of the server's own that only its user may enter. The name is the
state directory's, which one server has at a time: what a killed one left is found and replaced.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

_MEMORY = "/dev/shm"


class Inside:
    """Listens from the start, is served like the other socket, and leaves nothing behind. Raises OSError."""

    VARIABLE = "STOKER_ENDPOINT"

    def __init__(self, state: Path) -> None:
        self._folder = _folder(state)
        self.path = f"{self._folder}/endpoint"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(self.path)
            self.socket.listen(1024)
        except OSError:
            self.close()
            raise

    def address(self, url: str) -> str:
        """What a function's environment has: which host and port lead here, and where."""
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or 80} {self.path}"

    def close(self) -> None:
        self.socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _folder(state: Path) -> str:
    """A new directory, for this user alone."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else tempfile.gettempdir()
    name = hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:16]
    folder = f"{parent}/stoker-{os.geteuid()}-{name}"
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        pass
    else:
        if found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode):
            shutil.rmtree(folder, ignore_errors=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:  # somebody else's
        folder = tempfile.mkdtemp(prefix="stoker-", dir=parent)
    return folder
