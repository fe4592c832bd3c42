"""Invocations and workers as a model of the C engine knows them; what is in a lane is read from the shared memory."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from engine._native import lib

PAGE = 4096
RUNNING, ENDED = "running", "ended"


@dataclass(eq=False)
class Call:
    """An accepted invocation, as the model knows it."""

    token: int
    ticket: int
    function: int
    payload: bytes
    state: str = RUNNING
    expected: tuple[int, bytes] | None = None  # status and payload, once it has ended
    log: bytes = b""
    starts: int = 0
    forgotten: bool = False
    lost: int = 0  # workers that ended with it at their head, before they began it
    reaped: bool = False


@dataclass(repr=False, eq=False)
class Worker:
    """A lane with its worker's end."""

    lane: int
    function: int
    end: Any  # stk_worker *
    event_fd: int
    up: memoryview
    down: memoryview
    ready: bool = False
    hand: Call | None = None
    doomed: bool = False
    retired: bool = False
    order: list[int] = field(default_factory=list)  # tokens, as it took them

    def __repr__(self) -> str:
        return f"<worker of lane {self.lane}>"

    def word(self, view: memoryview, at: int) -> int:
        return int(struct.unpack_from("=Q", view, at)[0])

    def records(self) -> list[tuple[int, int, bool]]:
        """(kind, ticket, revoked) of what it has not taken yet."""
        head, tail = self.word(self.up, 128), self.word(self.down, 0)
        found = []
        while head != tail:
            at = PAGE + head % lib.STK_RING
            kind, flags, length, ticket = struct.unpack_from("=IIQQ", self.down, at)
            seq = struct.unpack_from("=I", self.down, at + 56)[0]
            if kind in (lib.STK_INVOKE, lib.STK_SHUTDOWN):
                revoked = (
                    kind == lib.STK_INVOKE
                    and self.word(self.down, 512 + 8 * (seq % lib.STK_DEPTH)) == seq + 1
                )
                found.append((kind, ticket, revoked))
            inline = 0 if flags & 1 else length
            head += (64 + inline + 63) & ~63
        return found[1:] if self.hand else found

    def coming(self) -> list[int]:
        """Tickets of the invocations that it will take, in their order."""
        return [ticket for kind, ticket, revoked in self.records() if kind == lib.STK_INVOKE and not revoked]
