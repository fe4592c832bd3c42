"""What functions say outside their invocations: put together to whole lines, and into the log that is theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_HOLD = 0.05  # seconds that the beginning of a line waits for its end

# Takes a log group, a stream, epoch ms, and text.
Send = Callable[[str, str, int, str], object]


class Outside:
    """Takes text as processes write it, in pieces, from any thread. Its log is looked up in the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, log_of: Callable[[str], tuple[str, str]], send: Send
    ) -> None:
        self._loop = loop
        self._log_of = log_of
        self._send = send
        self._held: dict[str, tuple[int, str]] = {}  # by function: since when, and what

    def __call__(self, function: str, _request_id: str, text: str) -> None:
        self._loop.call_soon_threadsafe(self._take, function, int(time.time() * 1000), text)

    def _take(self, function: str, at: int, text: str) -> None:
        since, held = self._held.pop(function, (at, ""))
        *lines, rest = (held + text).split("\n")
        for line in lines:
            self._send(*self._log_of(function), since, line + "\n")
            since = at
        if rest:
            if not self._held:
                self._loop.call_later(_HOLD, self.flush)
            self._held[function] = since, rest

    def flush(self) -> None:
        """What has no end yet goes as it is."""
        held, self._held = self._held, {}
        for function, (since, text) in held.items():
            self._send(*self._log_of(function), since, text)
