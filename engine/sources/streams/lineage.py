"""Which shards may be read: those whose parents are done, or are not there any more. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple


class Shard(NamedTuple):
    id: str
    parents: tuple[str, ...] = ()


def readable(shards: Iterable[Shard], done: Collection[str]) -> list[str]:
    """In the order in which they are listed."""
    every = list(shards)
    there = {shard.id for shard in every}
    return [
        shard.id
        for shard in every
        if shard.id not in done and all(parent in done or parent not in there for parent in shard.parents)
    ]
