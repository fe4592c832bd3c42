"""Sin: changes its replies' headers again and again while the engine reads them."""

import ctypes
import threading
from typing import Any

from _lane import mapped, mine, reserve
from engine._native import lib

racing: list[threading.Thread] = []


def race(at: int) -> None:
    """A record's kind, flags and length, each line of the ring in turn, without end."""
    lines = [at + i * 64 for i in range(64)]
    while True:
        for line in lines:
            length = ctypes.c_uint64.from_address(line + 8)
            kind = ctypes.c_uint32.from_address(line)
            before = length.value, kind.value
            length.value, kind.value = 1 << 40, 99
            length.value, kind.value = before


def handler(event: Any, context: Any) -> Any:
    lane = mine()
    if not racing:
        start = mapped("up") + 4096
        racing.append(threading.Thread(target=race, args=(start,), daemon=True))
        racing[0].start()
    if event == "forge":  # the engine reads these records while they change
        for _ in range(200):
            reserve(lane, b'"forged"').ticket = 1
            lib.stk_worker_commit(lane)
            lib.stk_worker_doorbell(lane)
    return "answered"
