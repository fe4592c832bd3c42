"""Sin: takes all the memory it can get (event: how, and how many MB at most)."""

import mmap
import os
import select
from typing import Any

MIB = 1024 * 1024


def take(megabytes: int) -> list[bytearray]:
    held = []
    for _ in range(megabytes):
        held.append(bytearray(b"x" * MIB))
    return held


def handler(event: Any, context: Any) -> Any:
    how, megabytes = event
    if how == "at once":
        return len(bytearray(megabytes * MIB))
    if how == "bit by bit":
        return len(take(megabytes))
    if how == "in a child":
        if not os.fork():
            held = take(megabytes)
            select.select([], [], [], 60)
            os._exit(len(held) & 1)
        os.wait()
    if how == "shared":  # which RLIMIT_DATA does not count
        area = mmap.mmap(-1, megabytes * MIB)
        for at in range(0, len(area), 4096):
            area[at] = 1
        select.select([], [], [], 60)
    return "got it all"
