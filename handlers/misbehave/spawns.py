"""Sin: leaves processes behind (event: how, and a file for their ids; then whether to be killed)."""

import os
import select
import signal
import subprocess
import sys
from typing import Any


def linger(note: str) -> None:
    """What the descendant does: note its id, ignore what it can, and stay."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with open(note, "a") as file:
        file.write(f"{os.getpid()}\n")
    while True:
        select.select([], [], [], 60)


def detach(note: str, sessions: int) -> None:
    """A daemon: each generation starts a session of its own and loses its parent."""
    if os.fork():
        return
    os.setsid()
    if sessions:
        detach(note, sessions - 1)
        os._exit(0)
    linger(note)


def handler(event: Any, context: Any) -> Any:
    how, note, end = event
    match how:
        case "subprocess":
            subprocess.Popen(["sleep", "1000"])
            subprocess.Popen(
                [sys.executable, "-c", f"import spawns; spawns.linger({note!r})"], cwd=os.getcwd()
            )
        case "double fork":
            if not os.fork():
                if not os.fork():
                    linger(note)
                os._exit(0)
        case "setsid":
            detach(note, 0)
        case "daemons":
            for _ in range(5):
                detach(note, 3)
    while not os.path.exists(note):
        select.select([], [], [], 0.002)
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "hangs":
        select.select([], [], [], 60)
    return os.getpid()
