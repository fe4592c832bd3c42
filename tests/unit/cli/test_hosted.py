"""A server that a command starts for itself, and what is shown of one that ends by itself."""

from __future__ import annotations

import argparse
import ctypes
import signal
import socket
from pathlib import Path

import pytest
from support import until

from engine.cli.client import ServerError
from engine.cli.hosted import hosted


def children() -> set[int]:
    """The process ids of this process's children."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


@pytest.mark.promise(285)
def test_a_server_that_ends_says_with_what_and_where(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = children()
    options = argparse.Namespace(state=str(tmp_path / "state"), port=0, aws=None)
    with pytest.raises(ServerError, match="it has gone"), hosted(options) as url:
        port = int(url.rpartition(":")[2])
        (server,) = children() - before
        # As a fault in native code ends it: in a thread of Python's, where a signal to the process is for any.
        assert ctypes.CDLL(None).tgkill(server, server, signal.SIGSEGV) == 0

        def closed() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        until(closed, what="the server's end")
        raise ServerError("it has gone")  # as whoever speaks with it finds, before the process is at its end
    shown = capfd.readouterr().err
    assert "the server has ended, with status -11:" in shown
    assert "Fatal Python error: Segmentation fault" in shown
    assert 'File "' in shown
