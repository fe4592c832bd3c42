"""Unpacking in a process of its own: 40,000 files are seconds of Python, which a thread would take from the event loop.

`python unpacking ARCHIVE TREE` makes the tree, synchronised, and says on its output how that went. It ends with its
parent thread, which waits for it, and yields the processor to whatever serves requests.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ..aws.faults import Fault
from . import disk
from .archives import unpack

_PR_SET_PDEATHSIG = 1
_NICE = 5


def unpacked(archive: Path, tree: Path) -> int:
    """Make a tree of an archive, in another process; the bytes of all files. Raises Fault, OSError."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from engine.hosting.unpacking import main; main()"
    command = [sys.executable, "-P", "-c", code, str(archive), str(tree), str(os.getpid())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise OSError(f"unpacking ended with status {done.returncode}")
    outcome = json.loads(done.stdout)
    if "fault" in outcome:
        raise Fault(outcome["fault"], outcome["message"], **outcome["members"])
    if "error" in outcome:
        raise OSError(*outcome["error"])
    return int(outcome["bytes"])


def main() -> None:
    archive, tree, parent = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return  # nobody waits any more
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal's are for the server: it waits
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    outcome: dict[str, object]
    try:
        outcome = {"bytes": unpack(archive.read_bytes(), tree)}
        disk.sync_tree(tree)
    except Fault as fault:
        outcome = {"fault": fault.code, "message": fault.message, "members": fault.members}
    except OSError as error:
        outcome = {"error": [error.errno, error.strerror, error.filename]}
    print(json.dumps(outcome))
