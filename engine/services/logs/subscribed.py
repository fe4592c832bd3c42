"""What the subscription filters of a log group match: read on from where the server is, a part at a time.

The log's process keeps no place: the server says how far it has come with each filter, and keeps that with what it
delivers, so that nothing is delivered twice or left out, whatever ends when."""

from __future__ import annotations

from functools import lru_cache

from .pattern import compile_pattern
from .reading import FilterRead, Matched
from .store import LogStore
from .tokens import position

READ_BYTES = 1 << 20  # of messages that are looked at for one response
_matcher = lru_cache(1024)(compile_pattern)


def read(store: LogStore, group: str, places: dict[str, int]) -> list[FilterRead]:
    """places: how far the server is, by the ids of filters. Raises LogNotFound, OSError."""
    found = []
    for filter in store.meta(group).subscriptions:
        matches, members = _matcher(filter.pattern), filter.members
        after = max(filter.after, places.get(filter.id, 0))
        result = FilterRead(
            filter.name, filter.id, members["destinationArn"], members["distribution"], after, False, {}
        )
        size = 0
        for event in store.arrived(group, after):
            if size >= READ_BYTES:
                result.more = True
                break
            size += len(event.message)
            result.upto = event.sequence
            if matches(event.message):
                matched = Matched(position((event.timestamp, event.sequence)), event.timestamp, event.message)
                result.streams.setdefault(event.stream, []).append(matched)
        found.append(result)
    return found
