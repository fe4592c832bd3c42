"""The protocol every peer keeps: start, call, close; and what some can do besides."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

PIPELINE = 64  # calls in flight wherever a comparison says "pipelined"


class Unavailable(Exception):
    """This peer cannot run here; the text says why."""


class Peer:
    """One way to get an event to another process and its answer back."""

    name = "peer"

    def start(self) -> None:
        raise NotImplementedError

    def call(self, event: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around one round: what must hold only while this peer is measured (pinning, say)."""
        yield

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


def echo(event: Any) -> Any:
    """The peers' handler: never slowed by the gate, which slows only the engine's."""
    return event


def interpreter(*arguments: str) -> list[str]:
    """The command of a fresh interpreter that reads no site customisation of the caller's."""
    return [sys.executable, *arguments]
