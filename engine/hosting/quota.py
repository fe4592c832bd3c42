"""Limits of concurrency that hold over all processes of a server: native/engine/quota.h has the memory and its rules.

The first process gives each function, and each place for what reserves nothing, a slot, and keeps it for them as long
as the server lives; the others learn of it with the function.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Mapping

from .._native import ffi, lib

PROCESSES: int = lib.STK_QUOTA_PROCESSES
SLOTS: int = lib.STK_QUOTA_SLOTS
Key = tuple[str, str]  # a place's partition, and a function's name or "", for all that reserve nothing


class Quota:
    """One process's view. process: its number, less than PROCESSES; 0 is the first."""

    @classmethod
    def shared(cls) -> Quota:
        """The first process's, in new memory, which has a descriptor."""
        descriptor = os.memfd_create("stoker-quota", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, lib.stk_quota_bytes(SLOTS))
        return cls(descriptor, 0)

    def __init__(self, descriptor: int, process: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, lib.stk_quota_bytes(SLOTS))
        self._slots = ffi.from_buffer(self._memory)
        # What this process has. Only its loop writes there; a slot's other words are the native code's.
        self._columns = memoryview(self._memory).cast("I")
        self._stride = int(lib.stk_quota_bytes(1)) // 4
        self._own = self._stride - PROCESSES + process
        self._process = process
        self._known: dict[Key, int] = {}
        self._making = threading.Lock()

    def slot(self, key: Key) -> int | None:
        """That one's; None: there are no more, or this process has not learned of it. From any thread."""
        slot = self._known.get(key)
        return slot if slot is not None or self._process else self._make(key)

    def _make(self, key: Key) -> int | None:
        with self._making:
            slot = self._known.get(key)
            if slot is None and len(self._known) < SLOTS:
                slot = len(self._known)
                if lib.stk_quota_new(self._slots, slot) < 0:
                    return None
                self._known[key] = slot
            return slot

    def learn(self, slots: Mapping[Key, int]) -> None:
        self._known.update(slots)

    def take(self, slot: int, limit: int | None) -> bool:
        """One more, if there are fewer than that in all processes. limit: None, if there is none."""
        if limit is None:
            self._columns[slot * self._stride + self._own] += 1
            return True
        return bool(lib.stk_quota_take(self._slots, slot, self._process, limit))

    def give(self, slot: int) -> None:
        self._columns[slot * self._stride + self._own] -= 1

    def used(self, slot: int) -> int:
        """By all processes."""
        return int(lib.stk_quota_used(self._slots, slot))

    def clear(self, process: int) -> None:
        """That one is dead: what it had is given back."""
        lib.stk_quota_clear(self._slots, len(self._known), process)

    def names(self, partition: str) -> list[tuple[str, int]]:
        """Functions of a place, and their slots."""
        return [
            (name, slot) for (place, name), slot in list(self._known.items()) if place == partition and name
        ]
