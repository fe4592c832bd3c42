"""What a broker is asked for that keeps itself what is done: a stream of one shard, which is acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from ...aws.clients import CallFailed
from ..streams.api import Stream

GONE = "ResourceNotFoundException"  # the code of a stream that is not there
REFUSED = "AccessDenied"  # of credentials that are refused
AGAIN = "ExpiredIterator"  # when `iterator` is to be asked once more
POLL = 20.0  # seconds that a read waits for something to come
MOST = 1000  # records of one read

_Handle = TypeVar("_Handle")


class Broker(Stream, Protocol):
    """Raises CallFailed, each of its methods. kept: seconds after which what is held must be kept again."""

    kept: float

    def begin(self, at: float, known: Mapping[str, str]) -> None:
        """Before anything else, if the mapping has been there before: since when, epoch seconds, and by shard the last
        record before which everything was done ("": there was none)."""

    async def look(self) -> object:
        """Is the stream there?"""

    async def settle(self, sequence: str) -> None:
        """What was read up to this record is done: the broker need not keep it."""

    async def keep(self) -> None:
        """What was read and is not settled is still worked on: it must not go to another consumer."""

    async def lag(self) -> int:
        """How many records are there that are not settled."""

    async def release(self) -> None:
        """What is held may come again, here or elsewhere; then disconnect. Never raises."""


class Held(Generic[_Handle]):
    """What was read and is not settled, in the order in which it was read. Pure."""

    def __init__(self) -> None:
        self._handles: dict[str, _Handle] = {}

    def __contains__(self, id: str) -> bool:
        return id in self._handles

    def __len__(self) -> int:
        return len(self._handles)

    @property
    def ids(self) -> list[str]:
        return list(self._handles)

    @property
    def handles(self) -> list[_Handle]:
        return list(self._handles.values())

    def add(self, id: str, handle: _Handle) -> bool:
        """False: it is held already, and only known by another handle from now on."""
        fresh = id not in self._handles
        self._handles[id] = handle
        return fresh

    def until(self, id: str) -> dict[str, _Handle]:
        """Up to and including this one; nothing, if it is not held."""
        if id not in self._handles:
            return {}
        found: dict[str, _Handle] = {}
        for each, handle in self._handles.items():
            found[each] = handle
            if each == id:
                break
        return found

    def drop(self, ids: Iterable[str]) -> None:
        for id in ids:
            self._handles.pop(id, None)

    def clear(self) -> None:
        self._handles.clear()


def gone(what: str) -> CallFailed:
    return CallFailed(GONE, what, retriable=True)


def missing(package: str, extra: str) -> CallFailed:
    """The client library is not installed."""
    return CallFailed(
        "NotInstalled", f'{package} is not installed: pip install "stoker[{extra}]"', retriable=False
    )
