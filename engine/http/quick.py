"""Invokes like one that was answered before: from a request's key to its response, by way of nothing that they do not
need. What ended together is answered together: the lines of the journal, what metrics need and the responses are made
by one call of native code (`_http.answer`), which leaves what did not end quietly (an error, an output, a first
invocation) to the usual way. A large payload is sent from where the worker wrote it.

A connection has one cycle for all of its requests of this kind. It is begun again only once its response is complete,
and whatever completes it without an answer ends the connection: so an answer is never taken for a later request's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .._http import answer, bind
from .._native import ffi, lib
from ..aws.faults import Fault
from ..calls.dispatch import uuid_text
from ..calls.reaper import Owed
from ..errors import EngineError
from ..hosting.deployments import CLOCK, Deployment
from ..hosting.invoker import BESIDE, Invoker, Route, new_id
from ..hosting.placements import Hosting, Placement
from ..hosting.results import Result, refused, result_of
from ..limits import EVENT_BYTES
from .budget import FREE
from .cycle import COPIES, InvokeCycle
from .pace import Pace, expect

if TYPE_CHECKING:
    from .protocol import Protocol

Name = tuple[str, str | None]  # of a function, and its qualifier
_BEFORE = b"HTTP/1.1 200 OK\r\ndate: %b\r\ncontent-type: application/json\r\nx-amzn-requestid: "
_MIDDLE = b"\r\nx-amzn-remapped-content-length: 0\r\nx-amz-executed-version: %b\r\nx-amzn-trace-id: root=1-"
bind(
    int(ffi.cast("uintptr_t", ffi.addressof(lib, "stk_outcome_of"))),
    int(ffi.cast("uintptr_t", ffi.addressof(lib, "stk_call_free"))),
    CLOCK,
)


class Known(NamedTuple):
    """What all Invokes have in common whose requests differ in nothing but body, date and signature."""

    placement: Placement
    function: Name
    event: bool


class QuickCycle(InvokeCycle, Owed):
    """A connection's, of events and invocations that are known. route, place: of the invocation that runs; number: in
    its deployment's pace, 0: it has none."""

    __slots__ = ("body", "invoker", "number", "place", "route")
    invoker: Invoker
    number: int
    route: Route
    place: int
    body: bytes

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol, b"", [], True, FREE)
        self.more_body = False
        self.response_complete = True

    def again(self) -> None:
        """Another request of its connection, which is complete."""
        self.response_complete = False
        protocol = self.protocol
        protocol.cycle = protocol.running = self


# How a result is answered in the usual way, given its cycle, the event and the request's id.
Respond = Callable[[InvokeCycle, Result | Fault, bytes, str], object]


class Answers:
    """Of one endpoint."""

    def __init__(self, hosting: Hosting, respond: Respond, paces: dict[Deployment, Pace]) -> None:
        self._reaper = hosting.reaper
        self._reaper.together = self._ended
        self._loop = asyncio.get_running_loop()
        self._engine = int(ffi.cast("uintptr_t", hosting.reaper.engine))
        self._respond = respond
        self._paces = paces
        self._date = self._before = b""

    @staticmethod
    def take(protocol: Protocol, invoker: Invoker, route: Route) -> bool:
        """Is an invocation of this route one of these now?"""
        deployment = route.deployment
        return (
            deployment.entry is not None
            and deployment.reply_bytes >= 0
            and not deployment.retired
            and not deployment.sampled
            and not deployment.warm
            and not route.arn
            and route.other is None
            and invoker.tap is None
            and protocol.client is not None
        )

    def begin(self, cycle: QuickCycle, known: Known, body: bytes) -> bool:
        """Invoke. False, with nothing done: it is for the usual way."""
        invoker = known.placement.invoker
        route = invoker.routes.get(known.function)
        if route is None or not self.take(cycle.protocol, invoker, route):
            return False
        size, number = len(body), 0
        if size > FREE and (size > EVENT_BYTES or not cycle.holding().take(COPIES * size)):
            return False
        deployment = route.deployment
        if deployment.reply_bytes:
            pace = self._paces.get(deployment)
            if pace is None:
                pace = self._paces[deployment] = Pace()
            number = pace.at_once()
        place = invoker.enter(route) if number or not deployment.reply_bytes else -1
        if place < 0:
            cycle.release()
            self._paced(deployment, number)
            return False
        cycle.again()
        cycle.invoker, cycle.route, cycle.place = invoker, route, place
        cycle.number, cycle.body = number, body
        try:
            deployment.submit_owed(body or b"{}", cycle)
        except EngineError as error:
            invoker.leave(route, place)
            self._paced(deployment, number)
            self._respond(cycle, refused(deployment, error, ""), body, uuid_text(new_id()))
        return True

    def _paced(self, deployment: Deployment, number: int, took: float = 0.0) -> None:
        """One has ended that has a number, or has not begun, and its response kept the loop so long."""
        pace = self._paces.get(deployment)
        if pace is not None:
            if number:
                pace.ended(number, deployment.reply_bytes, took)
            if pace.at_rest:
                del self._paces[deployment]

    def _ended(self, owed: list[tuple[QuickCycle, int]]) -> None:
        """Of all that have ended, cycles and tickets."""
        by_deployment: dict[Deployment, list[tuple[int, int, QuickCycle]]] = {}
        paced: list[tuple[Deployment, int]] = []
        began = time.perf_counter()
        for cycle, ticket in owed:
            route, protocol = cycle.route, cycle.protocol
            deployment, transport = route.deployment, protocol.transport
            cycle.invoker.leave(route, cycle.place)
            cycle.release()
            try:
                deployment.over()
            except Exception as error:  # the others' results are not lost by it
                self._broke([], error)
            if cycle.number:
                paced.append((deployment, cycle.number))
            gone = cycle.response_complete or cycle.disconnected or transport.is_closing()
            if gone or not cycle.keep_alive or transport.get_write_buffer_size():
                self._one(cycle, ticket)
            elif (calls := by_deployment.get(deployment)) is None:
                by_deployment[deployment] = [(ticket, protocol.descriptor, cycle)]
            else:
                calls.append((ticket, protocol.descriptor, cycle))
        for deployment, calls in by_deployment.items():
            try:
                self._together(deployment, calls)
            except Exception as error:  # which of them are answered is not known
                self._broke([cycle for _, _, cycle in calls], error)
        for deployment, number in paced:
            self._paced(deployment, number, time.perf_counter() - began)

    def _together(self, deployment: Deployment, calls: list[tuple[int, int, QuickCycle]]) -> None:
        date = calls[0][2].protocol.acceptor.date()
        if date is not self._date:
            self._date, self._before = date, _BEFORE % date
        middle = _MIDDLE % deployment.key[1].encode()
        outcomes = deployment.outcomes
        room = calls[0][2].protocol.budget.room
        left, cut, longest = answer(
            self._engine, calls, self._before, middle, outcomes.number(), outcomes.quiet, room
        )
        if len(left) < len(calls):
            expect(deployment, longest)
        for index in left:
            ticket, _, cycle = calls[index]
            self._one(cycle, ticket)
        for index, rest in cut:
            calls[index][2].protocol.outgoing.left(rest)
        for _, _, cycle in calls:
            if not cycle.response_complete:
                cycle.response_complete, cycle.body = True, b""
                cycle.protocol.responded()  # which may begin the connection's next request, with this cycle

    def _one(self, cycle: QuickCycle, ticket: int) -> None:
        outcome = self._reaper.outcome(ticket)
        if outcome is None:
            return
        body, cycle.body = cycle.body, b""
        try:
            result = result_of(cycle.route.deployment, outcome, b"", "", bool(cycle.place & BESIDE))
            self._respond(cycle, result, body, outcome.request_id)
        except Exception as error:
            self._broke([cycle], error)

    def _broke(self, cycles: list[QuickCycle], error: Exception) -> None:
        message = "invocations could not be answered or ended"
        self._loop.call_exception_handler({"message": message, "exception": error})
        for cycle in cycles:
            cycle.protocol.transport.abort()
