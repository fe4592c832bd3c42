"""What the log's process has for the server: events that a subscription filter matches, and those of a live tail."""

from __future__ import annotations

import msgspec


class Matched(msgspec.Struct, array_like=True):
    """A log event, as a record has it. timestamp: epoch ms."""

    id: str
    timestamp: int
    message: str


class FilterRead(msgspec.Struct, array_like=True):
    """What a filter matches. upto: the sequence of the last event that was looked at; more: there are others behind
    it; streams: events by log stream."""

    name: str
    id: str
    destination: str
    distribution: str
    upto: int
    more: bool
    streams: dict[str, list[Matched]]


class TailedEvent(msgspec.Struct, array_like=True):
    """group: as its session names it. Times in epoch ms."""

    timestamp: int
    ingested: int
    stream: str
    message: str
    group: str
