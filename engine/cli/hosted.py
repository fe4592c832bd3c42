"""A server that a command starts for itself, and ends with itself."""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..errors import EngineError
from .client import ServerError

DEFAULT_PORT = 9001
_LAST = 8000  # characters of what it said
_DYING_SECONDS = 5.0  # that a process whose sockets are closed takes to end
_END_SECONDS = 40.0  # in which it has ended, or is killed


@contextlib.contextmanager
def hosted(options: argparse.Namespace) -> Iterator[str]:
    """Its URL. options: --port, --state and --aws. Raises ServerError with what it said, if it does not start."""
    command = [sys.executable, "-m", "engine.cli", "serve", "--state", options.state]
    command += ["--port", str(DEFAULT_PORT if options.port is None else options.port)]
    command += ["--aws", options.aws] if options.aws else []
    with (
        tempfile.TemporaryFile("w+") as log,
        # In a session of its own: a Ctrl-C is this command's, which ends it in order.
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if " on " not in line:
                process.wait(_END_SECONDS)
                log.seek(0)
                raise ServerError(f"the server did not start: {log.read().strip()[-_LAST:] or line}")
            url = line.split()[-1]
            try:
                yield url
            except (EngineError, OSError):
                if not _listens(url):  # it is ending: what of?
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_DYING_SECONDS)
                raise
        finally:
            if process.poll() is not None:  # by itself
                log.seek(0)
                lines = log.read().strip()[-_LAST:]
                print(f"the server has ended, with status {process.returncode}:\n{lines}", file=sys.stderr)
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((str(parts.hostname), parts.port or 0), timeout=1).close()
    except OSError:
        return False
    return True
