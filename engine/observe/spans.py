"""The one stream of spans: what an invocation or a delivery that is traced did and when, gathered for a moment and
handed to every subscriber.

Nothing is made for what is not sampled. Documents and exports are made of it elsewhere (segments.py, otlp_spans.py,
X-Ray's store): publishing costs an append.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

FLUSH_SECONDS = 0.1
MOST = 50_000  # that wait for the next flush; what comes beyond is dropped


class Arrival(msgspec.Struct, gc=False):
    """How an invocation came that was no direct call. since: when it began to wait, epoch seconds; queue: the ARN of
    the queue that it waited in; attempt: of an accepted event, from 1; first: when the
    first attempt began, epoch seconds; links: root and parent of other traces that its messages are of."""

    since: float = 0.0
    queue: str = ""
    attempt: int = 0
    first: float = 0.0
    links: tuple[tuple[str, str], ...] = ()


class Invocation(msgspec.Struct, gc=False):
    """One that was traced. Ids are X-Ray's; times are epoch seconds, 0: that did not happen. own: the segment that
    Lambda makes; function: the one that the function's subsegments are of; parent: "" of a trace that begins here."""

    region: str
    account: str
    root: str
    parent: str
    own: str
    function: str
    name: str
    arn: str
    version: str
    request_id: str
    submitted: float
    arrival: Arrival | None = None
    began: float = 0.0
    handled: float = 0.0  # when the handler had ended
    ended: float = 0.0
    init_at: float = 0.0
    init_seconds: float = 0.0
    status: str = "success"  # a record's, "throttle", or "refused"
    error_type: str = ""
    payload: bytes = b""  # of one that failed


class Delivery(msgspec.Struct, gc=False):
    """Something on its way to a target. name, kind: what sends it ("AWS::Events"); since: when it began to wait."""

    region: str
    account: str
    root: str
    parent: str
    own: str
    name: str
    kind: str
    target: str
    since: float
    began: float
    ended: float = 0.0
    error: str = ""


class ApiRequest(msgspec.Struct, gc=False):
    """A request to a stage of a REST API. name: the API's and the stage's; call: the subsegment that is the call of its
    integration; target: the ARN of that one's function, or a URL; called: when, 0: it was not; size: bytes of the
    response."""

    region: str
    account: str
    root: str
    parent: str
    own: str
    call: str
    name: str
    api_id: str
    stage: str
    request_id: str
    extended_id: str
    method: str
    url: str
    client: str
    agent: str
    began: float
    target: str = ""
    called: float = 0.0
    answered: float = 0.0
    ended: float = 0.0
    status: int = 0
    size: int = 0


Span = Invocation | Delivery | ApiRequest
Subscriber = Callable[[Sequence[Span]], object]


def new_id() -> str:
    """Of a segment: 16 hexadecimal digits."""
    return f"{random.getrandbits(64) or 1:016x}"


class Spans:
    """Belongs to the event loop that serves requests. every: is what nobody has decided about sampled?"""

    def __init__(self, loop: asyncio.AbstractEventLoop, every: bool = False) -> None:
        self.every = every
        self.dropped = 0
        self._loop = loop
        self._subscribers: list[Subscriber] = []
        self._pending: list[Span] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def add(self, span: Span) -> None:
        if not self._pending:
            self._loop.call_later(FLUSH_SECONDS, self.flush)
        elif len(self._pending) >= MOST:
            self.dropped += 1
            return
        self._pending.append(span)

    def flush(self) -> None:
        """Hand on what was published since the last time."""
        pending, self._pending = self._pending, []
        for subscriber in self._subscribers if pending else ():
            try:
                subscriber(pending)
            except Exception as error:  # one that fails does not take the others' spans
                context = {"message": "a subscriber to spans failed", "exception": error}
                self._loop.call_exception_handler(context)

    @contextmanager
    def delivering(self, span: Delivery) -> Iterator[None]:
        """What is done within is the delivery, and its end that one's."""
        try:
            yield
        except BaseException as error:
            span.error = str(error) or type(error).__name__
            raise
        finally:
            span.ended = time.time()
            self.add(span)
