"""The engine for ordinary code: any thread may call, and a call blocks until its result is there."""

from __future__ import annotations

import os
import threading

from . import launch, limits
from .routing import retry

TYPE_CHECKING = False  # typing's, which takes as long to import as all of this
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType, TracebackType
    from typing import Any, Literal, NoReturn, Unpack

    from .bus import Bus, BusThread, Rule
    from .calls.collector import Collector
    from .calls.dispatch import LogSink
    from .calls.reaper import Reaper
    from .consume import Source, Wanted
    from .consume.threaded import ConsumeThread, Consumption
    from .function import Function
    from .observe.stats import FunctionStats
    from .queues import Queue, QueueThread


def _name_of(function: Function | str) -> str:
    return function if isinstance(function, str) else function.name


class Engine:
    """Runs functions in isolated, warm, pinned worker processes.

    payload_limit: bytes of one event or result. logs: where handlers' output goes: True (the default) to
    stderr, False nowhere, or a callable (function name, request id, text). pin: give each worker one core.
    spin: seconds to spin before sleeping (default: measured). waiting_bytes: of all payloads in line.
    state: a directory for what is in its queues and on its bus; without one that goes with the engine.
    """

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
        self._state = None if state is None else os.fspath(state)
        self._queues: QueueThread | None = None
        self._bus: BusThread | None = None
        self._consumed: ConsumeThread | None = None
        launched = launch.first()  # while this imports, that starts
        try:
            from .calls.collector import Collector
            from .calls.reaper import Reaper
            from .runtime import Runtime
        except BaseException:
            launched.abandon()
            raise
        self._runtime = runtime = Runtime(
            payload_limit=payload_limit, logs=logs, pin=pin, spin=spin, waiting_bytes=waiting_bytes,
            launched=launched,
        )  # fmt: skip
        self._reaper: Reaper = runtime.supervisor.call(
            lambda: Reaper(runtime.dispatch, runtime.supervisor.loop, runtime.data_epoll, 0)
        )
        self._opening = threading.Lock()
        self._draining = False
        self._collector = Collector("stoker-results")

    def function(
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
    ) -> Function:
        """Configure a function and wait until it is up: initialised, and `warm` workers ready.

        handler: "module:attr", "module.attr" or an importable callable. code: a directory put first on the
        worker's path (default: the current one). memory in MB, timeout, keep_alive and init_timeout in
        seconds. concurrency: at most so many workers; warm: at least. waiting: invocations that may
        wait for a worker; more raise TooManyRequests. init: "snapshot" initialises once and forks after it,
        "fresh" initialises in every worker. codec "raw": the handler gets a memoryview, valid until it
        returns, and returns bytes.

        A name that exists is replaced: what runs ends on the old code, the next call runs on the new.
        Raises InvalidConfiguration, InitError, EngineClosed.
        """
        from .config import configure

        self._runtime.check_open()
        config = configure(
            handler, code=code, name=name, memory=memory, timeout=timeout, concurrency=concurrency, warm=warm,
            init=init, environment=environment, codec=codec, waiting=waiting, keep_alive=keep_alive,
            init_timeout=init_timeout,
        )  # fmt: skip
        entry, up = self._runtime.start(config)
        try:
            from .function import Function  # while that starts

            seconds = up.result()
        except BaseException:
            self._runtime.stop(entry)
            raise
        self._runtime.started(entry, seconds)
        return Function(self, config.name)

    def queue(self, name: str, *, max_receives: int | None = None, dead_letters: str | None = None) -> Queue:
        """A durable queue of that name, there from its first message on. What was received `max_receives` times and
        not deleted goes to the queue `dead_letters` instead of being received once more.

        On the disk before `put` returns: in the engine's state directory, which one process at a time may have open, or
        else in a temporary one that goes with the engine. Raises InvalidConfiguration, StoreError, EngineClosed."""
        with self._opening:
            return self._queue_thread().queue(name, max_receives, dead_letters)

    def _queue_thread(self) -> QueueThread:
        from pathlib import Path

        from .queues import QueueThread

        self._runtime.check_open()
        if self._queues is None:
            self._queues = QueueThread(None if self._state is None else Path(self._state))
        return self._queues

    def bus(self) -> Bus:
        """The engine's bus, on which events are put for the functions that are interested. Raises StoreError,
        EngineClosed."""
        return self._bus_thread().bus

    def _bus_thread(self) -> BusThread:
        from .bus import BusThread

        with self._opening:
            thread = self._queue_thread()
            if self._bus is None:
                self._bus = BusThread(thread, self._runtime, self._reaper)
        return self._bus

    def on(
        self,
        pattern: Mapping[str, Any],
        function: Function | str,
        *,
        retries: int = retry.RETRIES,
        retry_delays: Sequence[float] = retry.DELAYS,
        max_age: float = retry.MAX_AGE,
        dead_letters: str | None = None,
    ) -> Rule:
        """Invoke the function on each event on the bus that matches a pattern, in the language of EventBridge's event
        patterns; {} matches all. At least once, and not in order.

        One that fails is tried again, `retries` times, `retry_delays` seconds after the first failure, the second, …
        (the last of them again and again), but not when the event is older than `max_age` seconds by then. Then it is
        put on the engine's queue `dead_letters`, with the reason, or, without one, into the log. With a state
        directory, events that an earlier engine accepted are run once the function is named here again.

        Raises InvalidConfiguration, FunctionNotFound, StoreError, EngineClosed."""
        from .bus_routing import Policy

        policy = Policy(retries, tuple(retry_delays), max_age, dead_letters)
        return self._bus_thread().on(pattern, _name_of(function), policy)

    def schedule(
        self,
        expression: str,
        function: Function | str,
        *,
        event: Any = None,
        zone: str = "UTC",
        name: str | None = None,
        retries: int = retry.RETRIES,
        retry_delays: Sequence[float] = retry.DELAYS,
        max_age: float = retry.MAX_AGE,
        dead_letters: str | None = None,
    ) -> Rule:
        """Invoke the function at times: rate(5 minutes), cron(0 8 ? * MON-FRI *) or at(2030-01-31T08:00:00), as
        EventBridge Scheduler has them, the last two in a time zone of the IANA's. It gets `event`, or else
        EventBridge's scheduled event.

        At each time once: with a state directory, a schedule of the same `name` (by default made of the function's and
        the expression) and the same times goes on where an earlier engine left it, and makes up once for those that
        passed meanwhile. The rest is as with `on`. Raises InvalidConfiguration, InvalidEvent, FunctionNotFound,
        StoreError, EngineClosed."""
        from .bus_routing import Policy

        policy = Policy(retries, tuple(retry_delays), max_age, dead_letters)
        thread = self._bus_thread()
        return thread.schedule(expression, _name_of(function), policy, name, zone, event)

    def consume(self, function: Function | str, source: Source, **wanted: Unpack[Wanted]) -> Consumption:
        """Invoke the function with batches of what is in a queue or a stream (engine.consume has the sources), in the
        events and by the rules of a server's event source mappings: docs/sources.md. wanted: engine.consume.Wanted.

        At least once: what is in flight when the program is killed comes again, in order where the source has one and
        there is a state directory. A batch that is given up is a dead letter, or lost. A source that is not there now
        is waited for. Raises InvalidConfiguration, FunctionNotFound, StoreError, EngineClosed."""
        from .consume.threaded import ConsumeThread

        with self._opening:
            thread = self._queue_thread()
            if self._consumed is None:
                self._consumed = ConsumeThread(thread, self._runtime, self._reaper)
        return self._consumed.consume(_name_of(function), source, wanted)

    def _collecting(self) -> Collector:
        collector = self._collector
        if not collector.is_open:
            with self._opening:
                if not collector.is_open:
                    collector.open(self._runtime.pointer, self._runtime.dispatch.read)
        return collector

    def stats(self) -> dict[str, FunctionStats]:
        """Per function: counters, queue depth, workers, latency quantiles."""
        return self._runtime.stats()

    def close(self, drain: float = limits.DRAIN_TIMEOUT) -> None:
        """Accept nothing more, let what was accepted end (for at most `drain` seconds), end every worker.

        Idempotent. What has not ended by then raises EngineClosed in its caller. Of events on the bus, what runs ends;
        what does not yet stays in the state directory, or, without one, is run.
        """
        with self._opening:
            feeding = [each for each in (self._consumed, self._bus) if each is not None]
        for each in feeding:
            drain = each.close(drain)
        self._runtime.close(drain)
        self._collector.close()
        with self._opening:
            if self._queues is not None:
                self._queues.close()

    def drain_on_signal(self, *signals: signal.Signals) -> None:
        """From the main thread: on SIGTERM and SIGHUP (or these signals) drain once, then end as the signal
        would have. A second signal while draining changes nothing; the drain is bounded."""
        import signal

        for number in signals or (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._draining:
            return
        import signal

        self._draining = True
        self.close()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    def __repr__(self) -> str:
        return f"<Engine {self._runtime}>"

    def __reduce__(self) -> NoReturn:
        from .runtime import NOT_PICKLED

        raise TypeError(NOT_PICKLED.format(self))

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(limits.DRAIN_TIMEOUT if kind is None or not issubclass(kind, KeyboardInterrupt) else 0.0)
