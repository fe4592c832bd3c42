"""A function of an engine for ordinary code: called, submitted, mapped over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from threading import Condition
from typing import TYPE_CHECKING, Any, NoReturn

from ._native import lib
from .calls import batch
from .calls.dispatch import FunctionEntry, Outcome, encode_event, failure, raw_event, value_of
from .errors import FunctionError
from .observe.report import Reply, reply
from .runtime import NOT_PICKLED

if TYPE_CHECKING:
    from .sync import Engine


class Function:
    """A function of an engine. Stays valid when the function is configured anew under the same name."""

    __slots__ = ("_dispatch", "_engine", "_entries", "_runtime", "name")

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._runtime = engine._runtime
        self._dispatch = self._runtime.dispatch
        self._entries = self._runtime.entries

    def invoke(self, event: Any = None) -> Any:
        """Run the handler on an event and return its result.

        Raises FunctionError (the handler's own exception), FunctionTimeout, FunctionCrashed, InitError,
        TooManyRequests, PayloadTooLarge, InvalidEvent, FunctionNotFound, EngineClosed.
        """
        entry = self._entries.get(self.name)
        return self._dispatch.invoke(entry if entry is not None else self._runtime.entry(self.name), event)

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
        return _submit(self._engine, entry, raw_event(event) if entry.raw else encode_event(event))

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


class _Submitted(Future[Any]):
    """A future whose cancel() and running() reach into the engine."""

    _condition: Condition
    _state: str
    _done_callbacks: list[Callable[[Future[Any]], object]]

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__()
        self._owner = engine
        self._name = name
        self.ticket = -1
        self.withdrawn = False

    def running(self) -> bool:
        if self.done() or self._owner._runtime.closed:
            return False
        return bool(lib.stk_begun(self._owner._runtime.pointer, self.ticket))

    def __repr__(self) -> str:
        state = "running" if self.running() else self._state.lower()
        return f"<Future of {self._name}, {state}>"

    def cancel(self) -> bool:
        """Withdraw the invocation if it has not begun. False: it runs, or has ended."""
        if self.cancelled():
            return True
        self.withdrawn = True  # before it is: the loop may learn of it before this thread goes on
        if self.done() or not lib.stk_cancel(self._owner._runtime.pointer, self.ticket):
            return False
        return super().cancel()  # it completes as cancelled: what waits for it is woken there


def _submit(engine: Engine, entry: FunctionEntry, data: bytes) -> Future[Any]:
    future = _Submitted(engine, entry.name)
    dispatch = engine._runtime.dispatch

    def finish(outcome: Outcome | None, value: Any) -> None:
        if outcome is None:
            future.set_result(value)
            return
        dispatch.log(entry, outcome)
        if outcome.status == lib.STK_OK:
            try:
                future.set_result(outcome.data if entry.raw else value_of(outcome.data))
            except FunctionError as error:
                future.set_exception(error)
        elif outcome.status == lib.STK_CANCELLED and future.withdrawn:
            Future.cancel(future)
            future.set_running_or_notify_cancel()
        else:
            future.set_exception(failure(entry, outcome))

    def done(outcome: Outcome | None, value: Any) -> None:
        with future._condition:  # so that none comes in between
            if not future._done_callbacks:
                finish(outcome, value)
                return
        engine._callbacks.run(lambda: finish(outcome, value))

    future.ticket = engine._reaper.submit(entry, data, done)
    return future
