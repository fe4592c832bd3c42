"""A function of an engine for ordinary code: called, submitted, mapped over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

from ._native import lib
from .calls import batch
from .calls.collector import Collector
from .calls.dispatch import (
    Dispatch,
    FunctionEntry,
    Outcome,
    encode_event,
    failure,
    invoke,
    invoke_bytes,
    raw_event,
    refusal,
    value_of,
)
from .calls.future import EngineFuture, Withdrawn
from .observe.report import Reply, reply
from .runtime import NOT_PICKLED

if TYPE_CHECKING:
    from .sync import Engine


class Function:
    """A function of an engine. Stays valid when the function is configured anew under the same name."""

    __slots__ = ("_cells", "_dispatch", "_engine", "_entries", "_runtime", "name")

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._runtime = engine._runtime
        self._dispatch = self._runtime.dispatch
        self._cells = self._dispatch.cells
        self._entries = self._runtime.entries

    def invoke(self, event: Any = None) -> Any:
        """Run the handler on an event and return its result.

        Raises FunctionError (the handler's own exception), FunctionTimeout, FunctionCrashed, InitError,
        TooManyRequests, PayloadTooLarge, InvalidEvent, FunctionNotFound, EngineClosed.
        """
        entry = self._entries.get(self.name)
        if entry is None:
            entry = self._runtime.entry(self.name)
        if entry.raw:
            found = invoke_bytes(self._cells, entry.index, raw_event(event))
        else:
            found = invoke(self._cells, entry.index, event)
        return self._dispatch.settle(entry, event, found) if type(found) is tuple else found

    def invoke_raw(self, payload: bytes | bytearray | memoryview = b"null") -> Reply:
        """Run the handler on a payload that is JSON already. A failing function does not raise: see
        Reply.function_error. Raises TooManyRequests, PayloadTooLarge, InvalidEvent, FunctionNotFound, EngineClosed."""
        entry = self._entries.get(self.name)
        if entry is None:
            entry = self._runtime.entry(self.name)
        data = payload if type(payload) is bytes else raw_event(payload)
        return reply(entry, self._dispatch.outcome(entry, data))

    def submit(self, event: Any = None) -> Future[Any]:
        """Run the handler in the background. cancel() withdraws what has not started."""
        entry = self._runtime.entry(self.name)
        data = raw_event(event) if entry.raw else encode_event(event)
        collector = self._engine._collecting()
        future = _Submitted(collector, self._dispatch, entry)
        ticket = future.ticket = collector.submit(entry.index, data, len(data), future)
        if ticket < 0:
            raise refusal(ticket, self._dispatch.payload_limit, len(data), entry)
        return future

    def map(
        self,
        events: Iterable[Any],
        *,
        ahead: int = batch.AHEAD,
        return_exceptions: bool = False,
        ordered: bool = True,
    ) -> Iterator[Any]:
        """The results for many events, in their order, or (`ordered=False`) as they come. Reads at most `ahead` events
        before it yields, so an endless iterator is welcome. The first failure is raised in its place and ends the
        iteration; with return_exceptions each is a result like any other."""
        entry = self._runtime.entry(self.name)
        return batch.run(self._dispatch, entry, events, ahead, return_exceptions, ordered)

    def workers(self) -> list[int]:
        """The process ids of its workers now."""
        return self._runtime.workers(self.name)

    def remove(self) -> None:
        """What runs ends, what waits is cancelled, new calls raise FunctionNotFound."""
        self._runtime.remove(self.name)

    def __repr__(self) -> str:
        return f"<Function {self.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(NOT_PICKLED.format(self))


class _Submitted(EngineFuture):
    """The future of a function's invocation."""

    def __init__(self, collector: Collector, dispatch: Dispatch, entry: FunctionEntry) -> None:
        super().__init__(collector)
        self._dispatch = dispatch
        self._name = entry.name
        self._entry: FunctionEntry | None = entry  # until the result is there: then its slot may be another's
        self._withdrawn = False

    def value(self, result: bytes | Outcome) -> Any:
        entry, self._entry = self._entry, None
        assert entry is not None, "delivered once"
        if isinstance(result, bytes):
            return result if entry.raw else value_of(result)
        self._dispatch.log(entry, result)
        if result.status == lib.STK_OK:
            return result.data if entry.raw else value_of(result.data)
        if result.status == lib.STK_CANCELLED and self._withdrawn:
            raise Withdrawn
        raise failure(entry, result)

    def cancel(self) -> bool:
        """Withdraw the invocation if it has not begun. False: it runs, or has ended."""
        self._withdrawn = (
            True  # before it is: who looks for results may learn of it before this thread goes on
        )
        return super().cancel()

    def __repr__(self) -> str:
        state = "running" if self.running() else self._state.lower()
        return f"<Future of {self._name}, {state}>"
