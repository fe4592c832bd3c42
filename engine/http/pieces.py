"""A known request that comes in pieces, as every large one does and any whose client sends head and body apart: kept
until it is whole, so that it takes the short way of one that came at once.

It is kept where there is room for all of it, and by the rules of every body that is still to come: it must move
(budget.py), or be there in time. What turns out not to be for the short way goes the usual one, piece by piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._http import begins
from .budget import FREE
from .cycle import COPIES

if TYPE_CHECKING:
    from .protocol import Protocol
    from .quick import Known


class Pieces:
    """What has come of one request of a connection's: `came`, [] when there is none."""

    __slots__ = ("_left", "_protocol", "came")

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.came: list[bytes] = []
        self._left = 0  # bytes that are still to come

    def begin(self, data: bytes) -> bool:
        """Is that the beginning of a known one? Then it is kept."""
        protocol = self._protocol
        found = begins(data, protocol.acceptor.known)
        if found is None:
            return False
        known, there, left = found
        size = there + left
        if size > FREE:
            hold = protocol.head_hold
            if known.event or size > protocol.endpoint.body_limit or not hold.ask(COPIES * size):
                return False
            hold.watch(size, lambda: size - self._left, protocol.too_slow)
        self.came, self._left = [data], left
        return True

    def add(self, data: bytes) -> bool:
        """The next piece. Is this all of the request, or more?"""
        self.came.append(data)
        self._left -= len(data)
        return self._left <= 0

    def whole(self) -> tuple[Known, bytes] | None:
        """What is known of it now, and its body; None: nothing any more, or there is more behind it."""
        found = begins(self.came[0], self._protocol.acceptor.known)
        if found is None or self._left:
            return None
        known, there, _ = found
        first, *others = self.came
        return known, b"".join((memoryview(first)[len(first) - there :], *others))

    def end(self) -> list[bytes]:
        """What has come, which is not held here any more."""
        came, self.came = self.came, []
        self._protocol.head_hold.release()
        return came
