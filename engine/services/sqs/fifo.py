"""A FIFO queue's messages: each group is a line of its own, and what is in flight holds back what comes after it.

As on AWS, a receive gives as many of one group as it can, and messages of a group that come before the first one in
flight may be given again. A lease is in place: a message whose time is over is where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ... import limits
from ...durable.queue import Leased, Queues
from ...durable.store import Step
from .handles import Handle
from .messages import Message


class _Flight(NamedTuple):
    place: tuple[int, int]  # in its line
    receive: int
    at: int


class Groups:
    """The rows of a FIFO queue. name: with a group's, of that group's line in the durable queue."""

    in_place = True

    def __init__(self, rows: Queues, name: str, run: int) -> None:
        self._rows = rows
        self._prefix = f"{name}\0"
        self._run = run
        self._known: dict[str, None] = {}  # lines that may have rows
        self._ready: dict[str, None] = {}  # and those that may have one to give, in turn
        self._flights: dict[str, dict[int, _Flight]] = {}  # by line and row
        self._lines: dict[int, str] = {}  # of rows in flight
        self.floor = 0  # by the service clock: what a longer delay of the queue still holds is due by then

    def lines(self) -> Iterable[str]:
        for line in [line for line in self._known if not self._rows.sizes(line)[0]]:
            del self._known[line]
        return tuple(self._known)

    def line_of(self, message: Message) -> str:
        return f"{self._prefix}{message.group}"

    def owns(self, line: str) -> bool:
        return line.startswith(self._prefix)

    def put(
        self, message: Message, value: bytes, meta: bytes, delay: float, also: Sequence[Step] = ()
    ) -> asyncio.Future[int]:
        """Raises QueueFull."""
        line = self.line_of(message)
        late = self.floor - self._rows.now()
        if late > 0 and self._rows.sizes(line)[0]:
            delay = max(delay, late / 1e9)  # not before those that a longer delay holds
        future = self._rows.put(line, value, meta=meta, delay=delay, also=also)
        self._known[line] = None
        return future

    def lease(self, n: int, seconds: float | None, briefly: bool = False) -> list[Leased]:
        out: list[Leased] = []
        room = limits.SQS_IN_FLIGHT - len(self._lines)
        n = min(n, room)
        while self._ready and len(out) < n:
            line = next(iter(self._ready))
            more = self._of_line(line, n, seconds, briefly, out)
            del self._ready[line]
            if more:
                self._ready[line] = None
        return out

    def _of_line(self, line: str, n: int, seconds: float | None, briefly: bool, out: list[Leased]) -> bool:
        """Those of a group that may be given, up to n in all. True: maybe there are more."""
        flights = self._landed(line)
        first_held = min((flight.place for flight in flights.values()), default=None)
        while len(out) < n:
            first = self._rows.first(line)
            if first is None or (first_held is not None and (first.due, first.id) > first_held):
                return False
            leased = self._rows.lease(line, 1, seconds, in_place=True, briefly=briefly)
            if not leased:
                return False
            (row,) = leased
            self._flights.setdefault(line, {})[row.id] = _Flight(
                (first.due, row.id), row.attempts, self._rows.now()
            )
            self._lines[row.id] = line
            out.append(row)
        return True

    def _landed(self, line: str) -> dict[int, _Flight]:
        """The line's flights, without those that are over. One that is being deleted is not, until the disk has it:
        after a kill it would come back behind its successor."""
        flights = self._flights.get(line, {})
        for id in list(flights):
            if self._rows.settling(id):
                continue
            standing = self._rows.standing(id)
            if standing is None or standing.queue != line or not standing.leased:
                self._land(id)
        return self._flights.get(line, {})

    def _land(self, id: int) -> str | None:
        line = self._lines.pop(id, None)
        if line is not None:
            flights = self._flights[line]
            del flights[id]
            if not flights:
                del self._flights[line]
        return line

    def ready(self) -> bool:
        return bool(self._ready)

    def wake(self, line: str) -> None:
        self._known[line] = None
        self._ready[line] = None

    def gone(self, id: int) -> None:
        """A row was settled or moved: its group goes on."""
        line = self._land(id)
        if line is not None and self._rows.ready(line):
            self.wake(line)

    def in_flight(self) -> int:
        return len(self._lines)

    def received_at(self, id: int, now: int) -> int:
        """When a row that was leased now was received, by the service clock."""
        return self._flights[self._lines[id]][id].at

    def current(self, handle: Handle) -> bool:
        """Is the handle of the last receive, which still hides the message?"""
        line = self._lines.get(handle.id)
        if line is None:
            return False
        flight = self._landed(line).get(handle.id)
        return flight is not None and (flight.receive, flight.at) == (handle.receive, handle.at)

    def deletable(self, handle: Handle) -> bool:
        """As long as it hides the message; one of an earlier run of the server, until somebody else receives it."""
        if handle.run == self._run or handle.id in self._lines:
            return self.current(handle)
        standing = self._rows.standing(handle.id)
        return standing is not None and standing.attempts <= handle.receive
