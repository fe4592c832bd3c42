"""Receives that a client may repeat: what a FIFO queue gave under a ReceiveRequestAttemptId, for five minutes."""

from __future__ import annotations

import time
from typing import Any

from ... import limits

_KEPT_BYTES = 16 << 20
_Messages = list[dict[str, Any]]


class Attempts:
    """Of all queues; in memory, as what was received is. The oldest go when there are too many bytes."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[float, int, _Messages]] = {}
        self._bytes = 0

    def keep(self, queue: str, attempt: str, messages: _Messages) -> None:
        size = sum(len(each["Body"]) for each in messages)
        self._drop((queue, attempt))
        self._kept[queue, attempt] = time.monotonic() + limits.SQS_DEDUPLICATION, size, messages
        self._bytes += size
        while self._kept:
            oldest = next(iter(self._kept))
            if self._bytes <= _KEPT_BYTES and self._kept[oldest][0] > time.monotonic():
                break
            self._drop(oldest)

    def find(self, queue: str, attempt: str) -> _Messages | None:
        until, _, messages = self._kept.get((queue, attempt), (0.0, 0, []))
        return messages if until > time.monotonic() else None

    def _drop(self, key: tuple[str, str]) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= found[1]
