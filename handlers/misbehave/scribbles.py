"""Sin: writes garbage into its own lane (event: where, what, and "waits" for its end or "answers")."""

import ctypes
import select
import threading
from typing import Any

from _lane import mapped, mine, reserve
from engine._native import lib

PAGE, RING = 4096, lib.STK_RING
WORDS = {"tail": 0, "head": 128, "asleep": 256, "started": 384, "bell": 512, "dropped": 640}


def insist(address: int, value: int) -> None:
    while not select.select([], [], [], 0.0002)[0]:
        ctypes.c_uint64.from_address(address).value = value


def handler(event: Any, context: Any) -> Any:
    where, value, then = event[:3]
    lane = mine()
    base = mapped("up")
    if where == "head":  # the next reply overwrites it: write it again and again
        if threading.active_count() == 1:
            threading.Thread(target=insist, args=(base + WORDS[where], value), daemon=True).start()
    elif where in WORDS:
        ctypes.c_uint64.from_address(base + WORDS[where]).value = value
    elif where == "everything":
        ctypes.memset(base, value, PAGE + RING)
    elif where == "flood":  # records of a kind that does not exist
        for _ in range(value):
            record = reserve(lane, b"?")
            record.kind = 99
            lib.stk_worker_commit(lane)
    elif where == "read-only":
        ctypes.memset(mapped("down"), value, 8)
    else:  # a committed record with one member of its header changed
        record = reserve(lane, b'"forged"')
        setattr(record, where, value)
        lib.stk_worker_commit(lane)
        lib.stk_worker_doorbell(lane)
    while then == "waits":
        select.select([], [], [], 1)
    return "answered"
