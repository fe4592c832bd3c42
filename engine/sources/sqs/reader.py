"""A queue to read from, wherever it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ..function import Function
from .records import Message

# What the reader knows a message by, and as ReceiveMessage shows it; or all that is to be known of one that nobody
# else has to see.
Received = tuple[Any, dict[str, Any]] | Message


class Reader(Protocol):
    """Raises CallFailed, each of its methods. many: may several receives wait at once? most: messages of one;
    patience: seconds at most until a source that failed is asked again."""

    many: bool
    most: int
    patience: float

    async def receive(self, n: int, seconds: float, function: Function) -> list[Received]:
        """Up to n messages; none when there were none for so long. function: nothing is
        received while it is full."""

    async def delete(self, messages: Iterable[Message]) -> int:
        """How many are gone now, or will be soon."""

    async def keep(self, messages: Iterable[Message]) -> bool:
        """They are to be hidden for a whole visibility timeout from now on. False: that is not to be had."""
