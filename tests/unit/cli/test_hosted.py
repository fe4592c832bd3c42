"""A server that a command starts for itself, and what is shown of one that ends by itself."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import pytest
from support import until

from engine.cli.hosted import hosted


def children() -> set[int]:
    """The process ids of this process's children."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


@pytest.mark.promise(277)
def test_a_server_that_ends_says_with_what_and_where(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = children()
    options = argparse.Namespace(state=str(tmp_path / "state"), port=0, aws=None)
    with hosted(options) as url:
        assert url.startswith("http://127.0.0.1:")
        (server,) = children() - before
        os.kill(server, signal.SIGSEGV)  # as a fault in native code ends it

        def dead() -> bool:
            return Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

        until(dead, what="the server's end")
    shown = capfd.readouterr().err
    assert "the server has ended, with status -11:" in shown
    assert "Fatal Python error: Segmentation fault" in shown
    assert 'File "' in shown
