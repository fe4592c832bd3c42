"""The engine for asynchronous code: awaited in the caller's own loop, asyncio's or uvloop's."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Unpack

import uvloop  # noqa: F401  # which the control loop takes then (control/loop.py)

from . import errors, limits, wire
from ._native import lib
from .calls import batch
from .calls.dispatch import FunctionEntry, LogSink, Outcome, encode_event, failure, raw_event, value_of
from .calls.reaper import Reaper
from .config import configure
from .observe.report import Reply, reply
from .observe.stats import FunctionStats
from .routing import retry
from .runtime import NOT_PICKLED, Runtime

if TYPE_CHECKING:
    from .bus import AsyncBus, AsyncRule
    from .bus_routing import Router
    from .consume import Source, Wanted
    from .consume.consumption import AsyncConsumption, Consumptions
    from .queues import AsyncQueue, QueueStore


_OTHER_LOOP = "an AsyncEngine belongs to one event loop: make another for this one"


class AsyncFunction:
    """A function of an AsyncEngine."""

    __slots__ = ("_create_future", "_dispatch", "_entries", "_loop", "_reaper", "_runtime", "_start", "name")

    def __init__(self, engine: AsyncEngine, reaper: Reaper, name: str) -> None:
        self.name = name
        self._runtime = engine._runtime
        self._dispatch = engine._runtime.dispatch
        self._reaper = reaper
        self._entries = self._runtime.entries
        self._loop = asyncio.get_running_loop()
        self._create_future = self._loop.create_future
        self._start = reaper.start

    async def invoke(self, event: Any = None) -> Any:
        """Run the handler on an event and return its result. Cancelling withdraws what has not begun;
        what runs goes on, and its result is dropped. Raises as Function.invoke."""
        entry = self._entries.get(self.name) or self._runtime.entry(self.name)
        if entry.raw:
            data = raw_event(event)
        else:
            try:
                data = wire.fast_encode(event)
            except Exception:
                data = encode_event(event)
        future = self._create_future()
        try:
            ticket = self._start(entry, data, future)
            value = await future
        except asyncio.CancelledError:
            self._reaper.withdraw(ticket)
            raise
        except RuntimeError:  # asyncio's, of a future of another loop, or one that is closed
            self._check_loop()
            raise
        return self._result(entry, value) if type(value) is Outcome else value

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise errors.EngineError(_OTHER_LOOP) from None

    def submit(self, event: Any = None) -> asyncio.Task[Any]:
        """Run the handler in the background: a task of its invocation."""
        self._check_loop()
        return self._loop.create_task(self.invoke(event))

    def _result(self, entry: FunctionEntry, outcome: Outcome) -> Any:
        self._dispatch.log(entry, outcome)
        if outcome.status != lib.STK_OK:
            raise failure(entry, outcome)
        return outcome.data if entry.raw else value_of(outcome.data)

    async def invoke_raw(self, payload: bytes | bytearray | memoryview = b"null") -> Reply:
        """As Function.invoke_raw."""
        entry = self._runtime.entry(self.name)
        self._check_loop()
        future: asyncio.Future[Any] = self._loop.create_future()
        ticket = self._start(entry, raw_event(payload), future, lib.STK_WANT_TAIL)
        try:
            outcome = await future
        except asyncio.CancelledError:
            self._reaper.withdraw(ticket)
            raise
        self._dispatch.log(entry, outcome)
        return reply(entry, outcome)

    async def map(
        self,
        events: Iterable[Any] | Any,
        *,
        ahead: int = batch.AHEAD,
        return_exceptions: bool = False,
        ordered: bool = True,
    ) -> AsyncIterator[Any]:
        """The results for many events (an iterable, asynchronous or not), as Function.map; at most `ahead`
        events are read before the first result is yielded."""
        self._check_loop()
        if ahead < 1:
            raise errors.InvalidConfiguration(f"ahead={ahead!r}: use 1 or more")
        entry = self._runtime.entry(self.name)
        flying: deque[tuple[int, asyncio.Future[Any]]] = deque()
        source = events.__aiter__() if hasattr(events, "__aiter__") else None
        plain = None if source is not None else iter(events)
        held: bytes | None = None  # an event that found the line full
        more = True
        try:
            while True:
                while (more or held is not None) and len(flying) < ahead:
                    if held is None:
                        try:
                            event = await source.__anext__() if source is not None else next(plain)  # type: ignore[arg-type]
                        except (StopAsyncIteration, StopIteration):
                            more = False
                            break
                        held = raw_event(event) if entry.raw else encode_event(event)
                    future = self._loop.create_future()
                    try:
                        flying.append((self._start(entry, held, future), future))
                    except errors.TooManyRequests:
                        if not flying:
                            raise
                        break  # others fill the line: go on when one of ours is done
                    held = None
                if not flying:
                    return
                if not ordered:
                    await asyncio.wait([future for _, future in flying], return_when=asyncio.FIRST_COMPLETED)
                    flying.rotate(-next(i for i, (_, future) in enumerate(flying) if future.done()))
                _, future = flying[0]
                value = await future
                flying.popleft()
                if type(value) is not Outcome:
                    yield value
                    continue
                try:
                    value = self._result(entry, value)
                except errors.EngineError as error:
                    if not return_exceptions:
                        raise
                    value = error
                yield value
        finally:
            for ticket, future in flying:
                if future.cancel() or future.cancelled():  # the one that is awaited is cancelled already
                    self._reaper.withdraw(ticket)

    def workers(self) -> list[int]:
        """The process ids of its workers now."""
        return self._runtime.workers(self.name)

    def remove(self) -> None:
        """As Function.remove."""
        self._runtime.remove(self.name)

    def __repr__(self) -> str:
        return f"<AsyncFunction {self.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(NOT_PICKLED.format(self))


def _name_of(function: AsyncFunction | str) -> str:
    return function if isinstance(function, str) else function.name


class AsyncEngine:
    """As Engine, awaited. Belongs to the loop in which it is entered or first used."""

    def __init__(
        self,
        *,
        payload_limit: int = limits.EVENT_BYTES,
        logs: LogSink | bool = True,
        pin: bool = True,
        spin: float | None = None,
        waiting_bytes: int = limits.WAITING_BYTES,
        state: str | os.PathLike[str] | None = None,
    ) -> None:
        self._state = None if state is None else Path(state)
        self._queues: QueueStore | None = None
        self._router: Router | None = None
        self._consumed: Consumptions | None = None
        self._runtime = Runtime(
            payload_limit=payload_limit, logs=logs, pin=pin, spin=spin, waiting_bytes=waiting_bytes
        )
        self._reaper: Reaper | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _reaping(self) -> Reaper:
        loop = asyncio.get_running_loop()
        if self._reaper is None:
            self._loop = loop
            self._reaper = Reaper(
                self._runtime.dispatch, loop, self._runtime.data_epoll, self._runtime.spin_ns
            )
        elif loop is not self._loop:
            raise errors.EngineError(_OTHER_LOOP)
        return self._reaper

    async def function(
        self,
        handler: str | Callable[..., Any],
        *,
        code: str | os.PathLike[str] | None = None,
        name: str | None = None,
        memory: int = limits.MEMORY_DEFAULT,
        timeout: float = limits.EMBEDDED_TIMEOUT,
        concurrency: int = 1,
        warm: int = 1,
        init: Literal["snapshot", "fresh"] = "snapshot",
        environment: Mapping[str, str] | None = None,
        codec: Literal["json", "raw"] = "json",
        waiting: int = limits.WAITING,
        keep_alive: float = limits.KEEP_ALIVE,
        init_timeout: float = limits.INIT_TIMEOUT,
    ) -> AsyncFunction:
        """As Engine.function."""
        reaper = self._reaping()
        self._runtime.check_open()
        config = configure(
            handler, code=code, name=name, memory=memory, timeout=timeout, concurrency=concurrency, warm=warm,
            init=init, environment=environment, codec=codec, waiting=waiting, keep_alive=keep_alive,
            init_timeout=init_timeout,
        )  # fmt: skip
        entry, up = self._runtime.start(config)
        try:
            seconds = await asyncio.wrap_future(up)
        except BaseException:
            self._runtime.stop(entry)
            raise
        self._runtime.started(entry, seconds)
        return AsyncFunction(self, reaper, config.name)

    async def queue(
        self, name: str, *, max_receives: int | None = None, dead_letters: str | None = None
    ) -> AsyncQueue:
        """As Engine.queue."""
        return self._queue_store().queue(name, max_receives, dead_letters)

    def _queue_store(self) -> QueueStore:
        from .queues import QueueStore

        self._reaping()
        self._runtime.check_open()
        if self._queues is None:
            self._queues = QueueStore(self._state)
        return self._queues

    async def bus(self) -> AsyncBus:
        """As Engine.bus."""
        from .bus import AsyncBus

        return AsyncBus(self._routing())

    def _routing(self) -> Router:
        from .bus_routing import Router

        store = self._queue_store()
        if self._router is None:
            self._router = Router(store, self._runtime, self._reaping())
        return self._router

    async def on(
        self,
        pattern: Mapping[str, Any],
        function: AsyncFunction | str,
        *,
        retries: int = retry.RETRIES,
        retry_delays: Sequence[float] = retry.DELAYS,
        max_age: float = retry.MAX_AGE,
        dead_letters: str | None = None,
    ) -> AsyncRule:
        """As Engine.on."""
        from .bus import on
        from .bus_routing import Policy

        policy = Policy(retries, tuple(retry_delays), max_age, dead_letters)
        return await on(self._routing(), pattern, _name_of(function), policy)

    async def schedule(
        self,
        expression: str,
        function: AsyncFunction | str,
        *,
        event: Any = None,
        zone: str = "UTC",
        name: str | None = None,
        retries: int = retry.RETRIES,
        retry_delays: Sequence[float] = retry.DELAYS,
        max_age: float = retry.MAX_AGE,
        dead_letters: str | None = None,
    ) -> AsyncRule:
        """As Engine.schedule."""
        from .bus import schedule
        from .bus_routing import Policy

        policy = Policy(retries, tuple(retry_delays), max_age, dead_letters)
        return await schedule(self._routing(), expression, _name_of(function), policy, name, zone, event)

    async def consume(
        self, function: AsyncFunction | str, source: Source, **wanted: Unpack[Wanted]
    ) -> AsyncConsumption:
        """As Engine.consume."""
        from .consume.consumption import Consumptions

        store = self._queue_store()
        if self._consumed is None:
            self._consumed = Consumptions(store, self._runtime, self._reaping())
        return await self._consumed.consume(_name_of(function), source, wanted)

    def stats(self) -> dict[str, FunctionStats]:
        """As Engine.stats."""
        return self._runtime.stats()

    def __repr__(self) -> str:
        return f"<AsyncEngine {self._runtime}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(NOT_PICKLED.format(self))

    async def close(self, drain: float = limits.DRAIN_TIMEOUT) -> None:
        """As Engine.close; the loop goes on meanwhile."""
        for each in (self._consumed, self._router):
            if each is not None:
                end = asyncio.get_running_loop().time() + drain
                await each.close(drain)
                drain = max(0.0, end - asyncio.get_running_loop().time())
        await asyncio.get_running_loop().run_in_executor(None, self._runtime.close_processes, drain)
        if self._reaper is not None:
            self._reaper.flush()
            self._reaper.close()
            self._reaper = None
        self._runtime.close(0.0)
        if self._queues is not None:
            await self._queues.close()

    async def __aenter__(self) -> AsyncEngine:
        self._reaping()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(limits.DRAIN_TIMEOUT if kind is None else 0.0)
