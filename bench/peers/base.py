"""The protocol of every peer: start, call, close; and of those that can do more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

PIPELINE = 64  # calls in flight wherever a comparison says "pipelined"


class Unavailable(Exception):
    """This peer cannot run here; the message is the reason."""


class Peer:
    """One way to send an event to another process and get its result."""

    name = "peer"

    def start(self) -> None:
        raise NotImplementedError

    def call(self, event: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def turn(self) -> AbstractContextManager[None]:
        """Around one round: what must hold only while this peer is measured (pinning, say)."""
        return nullcontext()

    def __enter__(self) -> Peer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PipelinedPeer(Peer):
    """A peer that can have many calls in flight."""

    def pipelined(self, events: Sequence[Any], window: int = PIPELINE) -> list[Any]:
        raise NotImplementedError

    def mapped(self, events: Sequence[Any], chunksize: int = 1) -> list[Any]:
        raise NotImplementedError


class AsyncPeer(Peer):
    """A peer whose calls are awaited; start and close run in the loop too."""

    async def start_async(self) -> None:
        raise NotImplementedError

    async def call_async(self, event: Any) -> Any:
        raise NotImplementedError

    async def close_async(self) -> None:
        raise NotImplementedError


@contextmanager
def pinned(cores: Sequence[int] = ()) -> Iterator[None]:
    """This thread on these cores, if any are named; afterwards where it was allowed before."""
    allowed = os.sched_getaffinity(0)
    try:
        if cores:
            os.sched_setaffinity(0, cores)
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def echo(event: Any) -> Any:
    """The peers' handler. (The gate slows only the engine's.)"""
    return event


def interpreter(*arguments: str) -> list[str]:
    """The command of a fresh interpreter that reads no site customisation of the caller's."""
    return [sys.executable, *arguments]
