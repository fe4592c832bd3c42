"""The function of a mapping: is it there, is there room for one more invocation, and the invocation itself."""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import NamedTuple

from .. import wire
from ..aws import traces
from ..aws.faults import Fault
from ..hosting.invoker import new_id
from ..hosting.placements import Placement
from ..hosting.usage import Usage
from ..observe.spans import Arrival
from ..routing.recursion import MOST, allowed, hop
from . import words
from .settings import Settings

_POLLED = Arrival()
PATIENCE = 60.0  # seconds after which room, and the function itself, are looked for again in any case


class How(Enum):
    """How an invocation ended."""

    DONE = "done"
    FAILED = "failed"  # the function's error
    REFUSED = "refused"  # it did not run: throttled, or a fault of the service's
    GONE = "gone"  # there is no such function


class Invoked(NamedTuple):
    """payload: the response, or the error object."""

    how: How
    payload: bytes
    words: str
    request_id: str = ""
    version: str = ""


class Function:
    """Any that a consumer feeds. Belongs to the event loop."""

    closed = False  # has it a reserved concurrency of 0?

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def problem(self) -> str:
        """Why it cannot be invoked at all; "" when it can."""
        raise NotImplementedError

    def full(self) -> Usage | None:
        """What must end before it may be invoked once more; None: nothing."""
        raise NotImplementedError

    def loops(self, trace: str) -> bool:
        """Was it invoked too often in the chain of invocations that this trace header is of?"""
        return False

    async def invoke(self, event: bytes, trace: str = "", arrival: Arrival | None = None) -> Invoked:
        """trace: the header of what caused it; arrival: how it came, where that is to be traced."""
        raise NotImplementedError

    async def changed(self, usage: Usage | None = None) -> None:
        """Until one of these invocations ends, the function or its concurrency is changed, or a while."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        if usage is not None:
            if self.full() is not usage:  # it has ended since
                wake()
            usage.wait(wake)
        try:
            await asyncio.wait((waiter,), timeout=PATIENCE)
        finally:
            self._waiters.discard(waiter)
            wake()

    def nudge(self) -> None:
        """It changed: who waits for it looks again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class DeployedFunction(Function):
    """A function of a server's, by its name."""

    def __init__(self, placement: Placement, settings: Settings, workers: int) -> None:
        """workers: of one version at most."""
        super().__init__()
        self._placement = placement
        self._invoker = placement.invoker
        self._name, self._qualifier = settings.function, settings.qualifier
        self._arn = settings.function_arn
        self._plain = placement.place.function(settings.function)
        self._workers = workers

    def problem(self) -> str:
        try:
            self._invoker.route(self._name, self._qualifier)
        except Fault:
            return words.no_function(self._arn)
        return ""

    def full(self) -> Usage | None:
        return self._invoker.full(self._name, self._workers)

    @property
    def closed(self) -> bool:  # type: ignore[override]
        return self._invoker.usage(self._name).reserved == 0

    def loops(self, trace: str) -> bool:
        if traces.LINEAGE not in trace:
            return False
        _, before = hop(trace, self._plain)
        return before >= MOST and not allowed(self._placement, self._name)

    async def invoke(self, event: bytes, trace: str = "", arrival: Arrival | None = None) -> Invoked:
        id = new_id()
        sampled = self._invoker.sampled(self._name, self._qualifier)
        whole = traces.completed(trace, id, time.time(), sampled)
        extras = wire.Extras(trace=hop(whole, self._plain)[0])
        try:
            result = await self._invoker.result(
                self._name, self._qualifier, event, id, extras, arrival or _POLLED
            )
        except Fault as fault:
            result = fault
        if not isinstance(result, Fault):
            how, text = (How.FAILED, words.FAILED) if result.failed else (How.DONE, words.OK)
            return Invoked(how, result.payload, text, result.request_id, result.version)
        if result.code == "ResourceNotFoundException":
            return Invoked(How.GONE, b"", words.no_function(self._arn))
        throttled = result.code == "TooManyRequestsException"
        return Invoked(How.REFUSED, b"", words.THROTTLED if throttled else words.INTERNAL)
