"""Asynchronous invocations: accepted once they are durable, then run, at least once, and again when they fail.

An event is in the store from before its 202 until it is done. What happens in between belongs to the event loop; a
server that dies runs at its next start whatever was not finished, so an event may run twice, but never not at all.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec

from .. import wire
from ..aws.faults import Fault
from ..aws.names import LATEST, Place
from ..durable.store import Damage, Store, checksum, intact
from .invoker import Result
from .placements import Hosting

RETRIES = 2  # AWS's default, and most
MAX_AGE = 21_600.0  # seconds; AWS's default, and most
DELAYS = (60.0, 120.0)  # seconds before the second and the third attempt
THROTTLED = (1.0, 300.0)  # seconds to wait after a throttle, at first and at most
AT_ONCE = 256  # events that run at the same time

_TABLE = """
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, attempts INTEGER NOT NULL, not_before REAL NOT NULL,
                     value BLOB NOT NULL, sum INTEGER NOT NULL)
"""
# Called in the loop once an event cannot be lost any more, or with the reason why it was not taken.
OnStored = Callable[[Exception | None], None]


class AcceptedEvent(msgspec.Struct, array_like=True):
    """An accepted event. accepted: epoch seconds; partition: of its place, "": the server's own."""

    name: str
    qualifier: str | None
    payload: bytes
    id: bytes
    accepted: float
    extras: wire.Extras | None = None
    partition: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AcceptedEvent).decode


@dataclass(frozen=True, slots=True)
class AddEvent:
    """An accepted event; not_before: epoch seconds. Its commit's future has the event's id."""

    value: bytes
    not_before: float = 0.0

    def apply(self, connection: sqlite3.Connection) -> int | None:
        cursor = connection.execute(
            "INSERT INTO events (attempts, not_before, value, sum) VALUES (0, ?, ?, ?)",
            (self.not_before, self.value, checksum(self.value)),
        )
        return cursor.lastrowid


@dataclass(frozen=True, slots=True)
class FinishEvent:
    id: int

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM events WHERE id=?", (self.id,))


@dataclass(frozen=True, slots=True)
class RetryEvent:
    id: int
    attempts: int
    not_before: float

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE events SET attempts=?, not_before=? WHERE id=?", (self.attempts, self.not_before, self.id)
        )


EventRow = tuple[int, int, float, bytes]  # id, attempts, not before, value


class EventRows:
    """The store's table of events that are not finished."""

    name = "events"
    version = 1

    def upgrade(self, connection: sqlite3.Connection, _version: int) -> None:
        connection.execute(_TABLE)

    def load(self, connection: sqlite3.Connection) -> Iterator[EventRow]:
        """Oldest first."""
        for id, attempts, not_before, value, sum in connection.execute(
            "SELECT id, attempts, not_before, value, sum FROM events ORDER BY id"
        ):
            if not intact(sum, value):
                raise Damage(f"the event {id} is not what was written")
            yield id, attempts, not_before, value


@dataclass(slots=True)
class _Pending:
    """An event that is not finished."""

    number: int
    event: AcceptedEvent
    attempts: int  # that failed
    throttles: int = 0  # in a row


class Events:
    """The queue of all functions of all places. Belongs to the event loop that serves requests."""

    def __init__(
        self,
        store: Store,
        hosting: Hosting,
        default: Place,
        *,
        clock: Callable[[], float] = time.time,
        delays: tuple[float, ...] = DELAYS,
    ) -> None:
        """default: the place of events that were stored without one."""
        self._store = store
        self._hosting = hosting
        self._default = default
        self._clock = clock
        self._delays = delays
        self._ready: deque[_Pending] = deque()
        self._running = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._closed = False

    def now(self) -> float:
        """Epoch seconds, as events are stamped."""
        return self._clock()

    def start(self) -> None:
        """Take up what an earlier server accepted and did not finish."""
        for number, attempts, not_before, value in list(self._store.load(EventRows())):
            self._at(not_before, _Pending(number, _decode(value), attempts))

    def close(self) -> None:
        """Begin nothing more: what is not finished is taken up at the next start."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()

    def accept(self, event: AcceptedEvent, on_stored: OnStored) -> None:
        loop = asyncio.get_running_loop()

        def stored(future: Future[int | None]) -> None:
            loop.call_soon_threadsafe(taken, future)

        def taken(future: Future[int | None]) -> None:
            error = future.exception()
            if error is not None:
                on_stored(error if isinstance(error, Exception) else Exception(str(error)))
                return
            number = future.result()
            assert number is not None
            on_stored(None)
            self._ready.append(_Pending(number, event, 0))
            self._pump()

        self._store.commit([AddEvent(_encode(event))]).add_done_callback(stored)

    def _pump(self) -> None:
        while self._ready and self._running < AT_ONCE and not self._closed:
            self._run(self._ready.popleft())

    def _run(self, pending: _Pending) -> None:
        event = pending.event
        placement = self._hosting.of(Place.of(event.partition) if event.partition else self._default)
        config = placement.state.get("invoke-config", event.name, event.qualifier or LATEST) or {}
        if self._clock() - event.accepted > config.get("MaximumEventAgeInSeconds", MAX_AGE):
            self._finish(pending)
            return

        def on_result(result: Result | Fault) -> None:
            self._running -= 1
            if isinstance(result, Fault):
                self._throttled(pending)
            elif result.failed and not self._closed:
                self._failed(pending, config)
            elif not result.failed:
                self._finish(pending)
            self._pump()

        self._running += 1
        try:
            route = placement.invoker.route(event.name, event.qualifier)
            placement.invoker.invoke(route, event.payload, on_result, event.extras, event.id)
        except Fault as fault:
            self._running -= 1
            if fault.code == "ResourceNotFoundException":  # the function was deleted, and its events with it
                self._finish(pending)
            else:
                self._throttled(pending)

    def _failed(self, pending: _Pending, config: Mapping[str, Any]) -> None:
        pending.attempts += 1
        pending.throttles = 0
        if pending.attempts > config.get("MaximumRetryAttempts", RETRIES):
            self._finish(pending)
            return
        delay = self._delays[min(pending.attempts, len(self._delays)) - 1]
        when = self._clock() + delay
        self._store.commit([RetryEvent(pending.number, pending.attempts, when)])
        self._at(when, pending)

    def _throttled(self, pending: _Pending) -> None:
        """No attempt: it is tried again until it is too old."""
        first, most = THROTTLED
        self._at(self._clock() + min(most, first * 2**pending.throttles), pending)
        pending.throttles += 1

    def _finish(self, pending: _Pending) -> None:
        self._store.commit([FinishEvent(pending.number)])

    def _at(self, when: float, pending: _Pending) -> None:
        def due() -> None:
            self._timers.discard(timer)
            self._ready.append(pending)
            self._pump()

        timer = asyncio.get_running_loop().call_later(max(0.0, when - self._clock()), due)
        self._timers.add(timer)
