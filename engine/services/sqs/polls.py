"""Who waits for a message: woken one by one, in the order of their coming, bounded, and gone when their client is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

Left = Callable[[], Awaitable[object]]  # ends when the client has left


class Polls:
    """Those who wait at one queue. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._over = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def wake(self) -> None:
        """The one that waits longest looks again."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(True)
                return

    def end(self) -> None:
        """All go with nothing, and so do those who come: the queue or the server ends."""
        self._over = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(False)
        self._waiting.clear()

    async def wait(self, seconds: float, left: Left | None) -> bool:
        """Until there may be a message. False: the time is over, the client has left, or the queue ends."""
        if self._over or seconds <= 0:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiter)
        gone = asyncio.ensure_future(left()) if left is not None else None
        try:
            await asyncio.wait(
                (waiter, gone) if gone is not None else (waiter,),
                timeout=seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if gone is not None and gone.done():
                if waiter.done() and waiter.result():
                    self.wake()  # what it was woken for is another one's
                return False
            return waiter.done() and waiter.result()
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self.wake()
            raise
        finally:
            if gone is not None:
                gone.cancel()
            if not waiter.done():
                waiter.cancel()
                self._waiting.remove(waiter)
