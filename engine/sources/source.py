"""What every kind of source brings: a consumer, that polls, decodes, has the function invoked, and settles."""

from __future__ import annotations

from typing import Protocol


class Consumer(Protocol):
    """Of one enabled mapping. Belongs to the event loop."""

    async def start(self) -> None:
        """Begin to poll; done when nothing that comes from now on is missed, or after a while."""

    async def stop(self) -> None:
        """Poll no more; done once the batches in flight are settled."""

    def close(self) -> None:
        """The server ends: poll no more; what is in flight may still be settled."""

    def nudge(self) -> None:
        """The function, or its concurrency, changed."""
