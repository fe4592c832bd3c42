"""Waiting for what a request changed to be on the disk, but not for ever: a disk that refuses it for seconds is an
error, though the change may be made later."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from ...aws.faults import Fault

PATIENCE = 5.0  # seconds
_T = TypeVar("_T")


def deadline() -> float:
    """Until when a request waits for what it changes now: a time of the running loop."""
    return asyncio.get_running_loop().time() + PATIENCE


async def stored(change: asyncio.Future[_T], end: float) -> _T:
    """The future's result. Raises Fault when there is none by the deadline; the future is not cancelled."""
    if not change.done():
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def over(*_: object) -> None:
            if not waiter.done():
                waiter.set_result(None)

        change.add_done_callback(over)
        timer = loop.call_at(end, over)
        try:
            await waiter
        finally:
            timer.cancel()
            change.remove_done_callback(over)
        if not change.done():
            raise Fault(
                "ServiceException", "The change could not be stored yet: the server's disk refuses it"
            )
    return change.result()
