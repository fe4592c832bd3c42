"""Where every event ends that will not run any more: counted, logged, and handed to what delivers its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..aws.names import Place
from ..calls.dispatch import uuid_text
from ..hosting.placements import Placement
from ..hosting.results import Result
from ..observe.counters import Counters
from ..observe.functions import DROPPED, RECURSIVE, FunctionMetrics
from ..observe.records import FunctionOutput
from . import retry
from .event import AcceptedEvent
from .retry import SUCCESS

STREAM = "asynchronous-events"  # the log stream, in each function's log group, of events that were given up


@dataclass(slots=True)
class Ended:
    """An event's end. condition: one of retry's; result: of its last attempt, if there was one; age: seconds; trace:
    the header that its function had."""

    event: AcceptedEvent
    payload: bytes
    placement: Placement
    condition: str
    result: Result | None
    age: float
    trace: str = ""


# Takes care of an event's end. The event is settled once the future is done, so that whatever is to come of it must
# be durable by then; None: there is nothing to wait for.
Deliver = Callable[[Ended], "asyncio.Future[None] | None"]


class Endings:
    """Where events end."""

    def __init__(
        self, counters: Counters, metrics: FunctionMetrics, log: Callable[[FunctionOutput], object]
    ) -> None:
        self._counters = counters
        self._metrics = metrics
        self._log = log
        self.deliver: Deliver = lambda ended: None

    def __call__(self, ended: Ended) -> asyncio.Future[None] | None:
        event, place = ended.event, ended.placement.place
        self._counters.event(place.function(event.name), ended.condition)
        if ended.condition != SUCCESS:
            self.measure(ended.placement.place, event.name, DROPPED)
            if ended.condition == retry.RECURSIVE:
                self.measure(ended.placement.place, event.name, RECURSIVE)
            self._warn(ended)
        return self.deliver(ended)

    def dropped(self, placement: Placement, name: str, reason: str, count: int) -> None:
        """Events of a function, or of a version of it, that is no more."""
        self._counters.event(placement.place.function(name), reason, count)
        self.measure(placement.place, name, DROPPED, times=count)

    def undelivered(self, placement: Placement, name: str, counter: str, target: str, reason: str) -> None:
        """What an event's end sent did not arrive, and is not sent again."""
        self._counters.event(placement.place.function(name), counter)
        self.measure(placement.place, name, counter)
        self._write(placement, name, f"[WARN] {counter}: {target} could not be reached: {reason}\n")

    def measure(self, place: Place, name: str, metric: str, value: float = 1, times: int = 1) -> None:
        """A metric of a function's asynchronous events."""
        self._metrics.event(place.region, place.account, name, metric, value, times)

    def _warn(self, ended: Ended) -> None:
        event = ended.event
        error = ""
        if ended.result is not None and ended.result.failed:
            error = f" Last error: {ended.result.payload[:1024].decode(errors='replace')}"
        text = (
            f"[WARN] RequestId: {uuid_text(event.id)} Asynchronous event given up: {ended.condition} "
            f"after {event.invocations} invocations, {ended.age:.0f} s old.{error}\n"
        )
        self._write(ended.placement, event.name, text)

    def _write(self, placement: Placement, name: str, text: str) -> None:
        """Into the function's log."""
        place = placement.place
        record = placement.state.get("function", name, "$LATEST") or {}
        group = record.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}"
        self._log(FunctionOutput(place.region, place.account, group, STREAM, int(time.time() * 1e3), text))
