"""Events as earlier versions stored them, in a table of their own: taken over into the queue when the store is
opened."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

import msgspec

from .. import wire
from ..durable.queue_rows import append
from ..durable.store import Damage, intact
from .event import AcceptedEvent, encode, queue_of
from .retry import BACK_OFF


class _StoredEvent(msgspec.Struct, array_like=True):
    name: str
    qualifier: str | None
    payload: bytes
    id: bytes
    accepted: float
    extras: wire.Extras | None = None
    partition: str = ""  # "": the server's own


_decode = msgspec.msgpack.Decoder(_StoredEvent).decode


class EventRows:
    """The kind whose version 1 was a table; since version 2 there is none. After QueueRows."""

    name = "events"
    version = 2

    def __init__(self, partition: str = "") -> None:
        """Of the place of events that were stored without one."""
        self._partition = partition

    def upgrade(self, connection: sqlite3.Connection, version: int) -> None:
        """They are due when they were, by the wall clock, but for what it may have jumped meanwhile."""
        if version:
            append(connection, list(self._stored(connection)))
            connection.execute("DROP TABLE events")

    def _stored(self, connection: sqlite3.Connection) -> Iterator[tuple[str, bytes, bytes, float]]:
        for id, attempts, not_before, value, sum in connection.execute(
            "SELECT id, attempts, not_before, value, sum FROM events ORDER BY id"
        ):
            if not intact(sum, value):
                raise Damage(f"the event {id} is not what was written")
            old = _decode(value)
            partition = old.partition or self._partition
            event = AcceptedEvent(
                old.name, old.qualifier, partition, old.id, old.accepted, old.extras, attempts, attempts
            )
            delay = min(max(0.0, not_before - time.time()), BACK_OFF[1])
            yield queue_of(partition, old.name), old.payload, encode(event), delay

    def load(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Nothing: they are in the queue."""
        return iter(())
