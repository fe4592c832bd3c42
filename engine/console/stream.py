"""One page's stream of server-sent events: what waits to be sent, and the logs that the page follows."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator

from .. import wire
from ..aws.names import Place

BEHIND = 4  # frames that a page may be behind; of one that reads more slowly, all is sent anew
HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Stream:
    """Belongs to the event loop. owner: whoever may change what it follows. fresh: it has not had a snapshot since it
    began, or since it fell behind."""

    def __init__(self, place: Place, owner: object) -> None:
        self.id = secrets.token_urlsafe(16)
        self.place = place
        self.owner = owner
        self.fresh = True
        self.group = ""  # the log group that it follows
        self.tail = ""  # the session of a live tail that it does so by
        self._waiting: list[bytes] = []
        self._more = asyncio.Event()
        self._ended = False

    def send(self, event: bytes) -> None:
        """An event, as `event` makes it."""
        if len(self._waiting) >= BEHIND:
            self._waiting.clear()
            self.fresh = True
            return
        self._waiting.append(event)
        self._more.set()

    def end(self) -> None:
        self._ended = True
        self._more.set()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield event("hello", {"stream": self.id, "place": self.place.partition})
        while not self._ended:
            await self._more.wait()
            self._more.clear()
            waiting, self._waiting = self._waiting, []
            if waiting:
                yield b"".join(waiting)


def event(kind: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), wire.encode(data))
