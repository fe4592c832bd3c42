"""Asynchronous invocations: accepted once they are durable, then run, at least once, each function at its own pace.

Every function has a queue of its own, and no more of its events run than it may run at once: its reserved
concurrency, or the workers that the engine would start for it. Those that wait do so on the disk, not in the engine's
line, where they would be in the way of synchronous callers. When an invocation of it ends, of whatever kind, the next
event begins; functions that have events and room take turns. So a function that is slow, throttled or crashing delays
no other.

Nor does a quick one: of its events no more run than keep up with the rate at which a server begins events (Little's
law; `_Function.width`). More would be no quicker, but each takes a worker, and all of those the cores.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial

from .. import wire
from ..aws import traces
from ..aws.faults import Fault
from ..aws.names import LATEST, Place
from ..durable.queue import Leased, QueueFull, Queues
from ..durable.state import Change
from ..hosting.placements import Hosting, Placement
from ..hosting.results import Result
from ..hosting.usage import Usage
from ..observe.functions import AGE, RECEIVED
from ..observe.spans import Arrival
from . import retry
from .endings import Ended, Endings
from .event import SERVICE, AcceptedEvent, decode, encode, function_of, queue_of
from .recursion import MOST, allowed, hop

TURN = 0.001  # seconds of each turn of the loop in which events are begun
NARROW = 16  # events of a function that may run at once, however quick they are
RATE = 5_000  # events a second: no server begins more
WIDENS = 0.01  # seconds without an end after which twice as many may run
LOOKED_AT = 5.0  # seconds: how often events that cannot begin are looked at for their age
DELETED = "Deleted"  # with their function: no condition of AWS's, which drops them in silence

# Called in the loop once an event cannot be lost any more, or with the reason why it was not taken.
OnStored = Callable[[BaseException | None], None]


class _Function:
    """A function that has events which run, or could."""

    __slots__ = (
        "arn", "blocked", "duration", "ended", "in_turn", "name", "placement", "queue", "running", "throttles", "timer",
        "widening", "width",
    )  # fmt: skip

    def __init__(self, queue: str, name: str, placement: Placement) -> None:
        self.queue = queue
        self.name = name
        self.placement = placement
        self.arn = placement.place.function(name)
        self.in_turn = False
        self.running = 0
        self.blocked: Usage | None = None  # what it waits for to end
        self.throttles = 0  # by the engine, in a row
        self.timer: asyncio.TimerHandle | None = None  # until it is tried again after one
        self.width = NARROW  # how many may run at once
        self.duration = 0.0  # seconds, of late
        self.ended = 0  # how many have
        self.widening = False

    def end(self, result: Result) -> None:
        """One ended."""
        self.throttles = 0
        self.ended += 1
        if result.record is not None:
            self.duration += (result.record.took / 1e9 - self.duration) / 8
            self.width = max(NARROW, int(self.duration * RATE))


class Events:
    """Runs the events of all functions of all places. Belongs to the event loop that serves requests."""

    def __init__(
        self,
        queues: Queues,
        hosting: Hosting,
        endings: Endings,
        *,
        workers: int,
        delays: Sequence[float] = retry.DELAYS,
    ) -> None:
        """workers: of one version at most. delays: seconds before the second and the third attempt."""
        self._queues = queues
        self.watchers = queues.watchers
        self._hosting = hosting
        self._endings = endings
        self._workers = workers
        self._delays = delays
        self._loop = asyncio.get_running_loop()
        self._functions: dict[str, _Function] = {}
        self._turns: deque[_Function] = deque()
        self._pumping = False
        self._closed = False
        self._sweep: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Take up what an earlier server accepted and did not finish."""
        self._queues.listen(SERVICE, self._due)
        self._hosting.watchers.append(self._changed)
        for queue in self._queues.queues(SERVICE):
            partition, name = function_of(queue)
            placement = self._hosting.of(Place.of(partition))
            if placement.state.get("function", name, LATEST) is None:
                self._delete(placement, name)
            elif self._queues.ready(queue):
                self._due(queue)
        self._look()

    def close(self) -> None:
        """Begin nothing more: what is not finished is taken up at the next start."""
        self._closed = True
        timers = [function.timer for function in self._functions.values()]
        for timer in [*timers, self._sweep]:
            if timer is not None:
                timer.cancel()

    def accept(self, event: AcceptedEvent, payload: bytes, on_stored: OnStored) -> None:
        """Raises Fault when there is no room for it."""
        name, partition = event.name, event.partition
        try:
            self._queues.post(
                queue_of(partition, name), payload, self._received, (partition, name, on_stored),
                meta=encode(event),
            )  # fmt: skip
        except QueueFull:
            reason = "FunctionInvocationRateLimitExceeded"
            raise Fault("TooManyRequestsException", "Rate Exceeded.", Reason=reason, Type="User") from None

    def _received(self, events: list[tuple[str, str, OnStored]], error: BaseException | None) -> None:
        if error is None:
            for (partition, name), times in Counter([(event[0], event[1]) for event in events]).items():
                self._endings.measure(Place.of(partition), name, RECEIVED, times=times)
        for _, _, on_stored in events:
            try:
                on_stored(error)
            except Exception as failure:  # it keeps no other from hearing
                text = "who sent an event could not be called"
                self._loop.call_exception_handler({"message": text, "exception": failure})

    # Turns.

    def _due(self, queue: str) -> None:
        """There are events of a function that could begin."""
        function = self._functions.get(queue)
        if function is None:
            partition, name = function_of(queue)
            function = _Function(queue, name, self._hosting.of(Place.of(partition)))
            self._functions[queue] = function
        if function.timer is None and function.blocked is None:
            self._take_turns(function)

    def _take_turns(self, function: _Function) -> None:
        if not function.in_turn and not self._closed:
            function.in_turn = True
            self._turns.append(function)
            if not self._pumping:
                self._pumping = True
                self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Begin one event of each function that may, in turn, for as long as that takes no longer than it should."""
        end = time.monotonic() + TURN
        while self._turns and not self._closed:
            function = self._turns.popleft()
            try:
                function.in_turn = self._begin(function)
            except Exception as error:  # it keeps no other from its turn
                function.in_turn = False
                text = f"an event of {function.queue} could not be run"
                self._loop.call_exception_handler({"message": text, "exception": error})
            if function.in_turn:
                self._turns.append(function)
            if time.monotonic() > end:
                break
        self._pumping = bool(self._turns) and not self._closed
        if self._pumping:
            self._loop.call_soon(self._pump)

    def _begin(self, function: _Function) -> bool:
        """The next event. False: there is none, or it has to wait."""
        if function.timer is not None or function.blocked is not None:
            return False
        invoker = function.placement.invoker
        nothing = invoker.usage(function.name).reserved == 0
        if not nothing:
            full = invoker.full(function.name, self._workers)
            if full is None and function.running >= function.width:
                full = invoker.usage(function.name)
                self._widen(function)
            if full is not None:
                self._wait(function, full)
                return False
        rows = self._queues.lease(function.queue)
        if not rows:
            if not function.running:
                self._functions.pop(function.queue, None)
            return False
        row, event = rows[0], decode(rows[0].meta)
        if nothing:
            self._end(function, row, event, retry.NO_CONCURRENCY)
        elif self._age(row) > retry.max_age(event.config(function.placement)):
            self._end(function, row, event, retry.TOO_OLD)
        else:
            self._run(function, row, event)
        return True

    def _wait(self, function: _Function, full: Usage) -> None:
        """Until one of these invocations ends."""
        function.blocked = full
        full.wait(partial(self._unblock, function))

    def _widen(self, function: _Function) -> None:
        """Unless one of it ends soon."""
        ended = function.ended

        def look() -> None:
            function.widening = False
            if function.ended == ended and function.timer is None:
                function.width *= 2
                self._unblock(function)

        if not function.widening:
            function.widening = True
            self._loop.call_later(WIDENS, look)

    def _unblock(self, function: _Function) -> None:
        if self._functions.get(function.queue) is not function:
            return
        if function.timer is not None:
            function.timer.cancel()
            function.timer = None
        function.blocked = None
        self._take_turns(function)

    def _throttled(self, function: _Function) -> None:
        """The engine had no room for one that should have had: all of the function's wait, until one of it ends, or a
        while."""
        function.throttles += 1
        if function.timer is None:
            delay = retry.back_off(function.throttles)
            function.timer = self._loop.call_later(delay, self._unblock, function)
        usage = function.placement.invoker.usage(function.name)
        if function.blocked is None and usage.in_flight:
            self._wait(function, usage)

    # One event.

    def _age(self, row: Leased) -> float:
        return (self._queues.now() - row.first) / 1e9

    def _run(self, function: _Function, row: Leased, event: AcceptedEvent) -> None:
        placement = function.placement
        extras = wire.Extras() if event.extras is None else event.extras
        sampled = placement.invoker.sampled(event.name, event.qualifier)
        trace, before = hop(traces.completed(extras.trace, event.id, event.accepted, sampled), function.arn)
        if before >= MOST and not allowed(placement, event.name):
            self._end(function, row, event, retry.RECURSIVE)
            return
        config = event.config(placement)  # as it is when the attempt begins
        sent = wire.Extras(client=extras.client, identity=extras.identity, trace=trace, tenant=extras.tenant)

        arrival = None
        if traces.SAMPLED in trace:
            event.begun = event.begun or time.time()
            arrival = Arrival(event.accepted, attempt=event.invocations + 1, first=event.begun)

        def on_result(result: Result | Fault) -> None:
            function.running -= 1
            if self._closed and (isinstance(result, Fault) or result.failed):
                return  # maybe because the server ends: it is taken up at the next start, as if it had not run
            if not function.running:
                self._take_turns(function)
            if isinstance(result, Fault):
                self._refused(function, row, event, result)
                return
            function.end(result)
            event.invocations += 1
            event.faults = 0
            if result.failed:
                event.failures += 1
                step = retry.after_failure(config, event.failures, self._age(row), self._delays)
                self._again(function, row, event, step, result, sent.trace)
            else:
                self._end(function, row, event, retry.SUCCESS, result, sent.trace)

        function.running += 1
        self._endings.measure(placement.place, event.name, AGE, self._age(row) * 1e3)
        try:
            route = placement.invoker.route(event.name, event.qualifier)
            placement.invoker.invoke(route, row.value, on_result, sent, event.id, arrival)
        except Fault as fault:
            function.running -= 1
            self._refused(function, row, event, fault)

    def _refused(self, function: _Function, row: Leased, event: AcceptedEvent, fault: Fault) -> None:
        """It did not run."""
        if fault.code == "ResourceNotFoundException":  # its version or alias was deleted
            self._endings.dropped(function.placement, event.name, DELETED, 1)
            self._queues.settle([row.id])
        elif fault.code == "TooManyRequestsException":
            self._throttled(function)
            self._queues.release(row.id)
        else:
            event.faults += 1
            step = retry.after_fault(event.config(function.placement), event.faults, self._age(row))
            self._again(function, row, event, step, None)

    def _again(
        self,
        function: _Function,
        row: Leased,
        event: AcceptedEvent,
        step: float | str,
        result: Result | None,
        trace: str = "",
    ) -> None:
        if isinstance(step, str):
            self._end(function, row, event, step, result, trace)
        else:
            self._queues.release(row.id, step, meta=encode(event))

    def _end(
        self,
        function: _Function,
        row: Leased,
        event: AcceptedEvent,
        condition: str,
        result: Result | None = None,
        trace: str = "",
    ) -> None:
        """It will not run any more: settled once what comes of that is durable."""
        ended = Ended(event, row.value, function.placement, condition, result, self._age(row), trace)
        delivered = self._endings(ended)
        if delivered is None:
            self._queues.settle([row.id])
        else:
            delivered.add_done_callback(partial(self._delivered, row.id))

    def _delivered(self, id: int, done: asyncio.Future[None]) -> None:
        """What comes of its end is durable, or the server ends before: then it is taken up at the next start."""
        if not done.cancelled() and done.exception() is None:
            self._queues.settle([id])

    # What happens beside them.

    def _changed(self, placement: Placement, change: Change) -> None:
        """A function that is deleted takes its events with it; one that changed is tried again at once."""
        for table, name, id, record in change.steps:
            if table == "function" and id == LATEST and record is None:
                self._delete(placement, name)
            elif table in ("function", "concurrency", "alias"):
                function = self._functions.get(queue_of(placement.place.partition, name))
                if function is not None:
                    function.throttles = 0
                    self._unblock(function)

    def _delete(self, placement: Placement, name: str) -> None:
        count, _ = self._queues.purge(queue_of(placement.place.partition, name))
        if count:
            self._endings.dropped(placement, name, DELETED, count)

    def _look(self) -> None:
        """Events that wait for room become too old, too."""
        for function in list(self._functions.values()):
            while (function.timer or function.blocked) and (rows := self._queues.lease(function.queue)):
                event = decode(rows[0].meta)
                if self._age(rows[0]) <= retry.max_age(event.config(function.placement)):
                    self._queues.release(rows[0].id)
                    break
                self._end(function, rows[0], event, retry.TOO_OLD)
        self._sweep = self._loop.call_later(LOOKED_AT, self._look)
