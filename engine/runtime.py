"""One engine's parts, put together: what Engine and AsyncEngine have in common."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import sys
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from . import errors, launch, limits, wire
from ._native import ffi, lib
from .calls.dispatch import Dispatch, FunctionEntry, FunctionSlot, LogSink
from .config import FunctionConfig
from .control import cores as core_map
from .control.population import FunctionState
from .control.scaling import Bounds
from .control.supervisor import Supervisor

if TYPE_CHECKING:
    from .observe.stats import FunctionStats

_SPIN_MIN_NS = 20_000
_SPIN_MAX_NS = 200_000
_EMBEDDED = wire.Deployed()
NOT_PICKLED = (
    "{} cannot be pickled: it belongs to the process that made its engine. A handler invokes other functions by their "
    "names: context.invoke(name, event)"
)


def _is_text(value: str) -> bool:
    """Can JSON have it? Not what os.environ has of other bytes than UTF-8."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


def spin_budget() -> int:
    """ns to spin before sleeping: what a sleep and a wake cost here, measured now."""
    cores = core_map.usable()
    if core_map.spinners(cores) < 2:
        return 0
    cost: int = lib.stk_wake_cost(21, cores[0], cores[-1])  # two threads left alone would share a core
    return max(_SPIN_MIN_NS, min(_SPIN_MAX_NS, cost))


def to_stderr(_function: str, _request_id: str, text: str) -> None:
    """The default log sink: what a handler prints appears on this process's stderr."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be closed, or None
        sys.stderr.write(text)


class Runtime:
    """The C engine, its supervisor, its functions."""

    def __init__(
        self,
        *,
        payload_limit: int,
        logs: LogSink | bool | None,
        pin: bool,
        spin: float | None,
        waiting_bytes: int,
        reply_limit: int | None = None,
        variables: Mapping[str, str] | None = None,
        launched: launch.Launched | None = None,
        turn: tuple[int, int] = (0, 1),
    ) -> None:
        """reply_limit: bytes of a response; None: as AWS relates it to the request's limit. variables: the environment
        that the functions' processes start with; None: this process's own. launched: the zygote, which then is this
        engine's; None: it is begun now. turn: which of how many engines this is that share the machine: each begins
        with other cores, and keeps its part of them awake."""
        launched = launched or launch.first(variables)
        with contextlib.ExitStack() as unwind:
            unwind.callback(launched.abandon)
            if not isinstance(payload_limit, int) or not 1 <= payload_limit <= 1 << 30:
                raise errors.InvalidConfiguration(f"payload_limit={payload_limit!r}: use 1 byte to 1 GiB")
            self._environment = launched.environment
            self.payload_limit = payload_limit
            self.reply_limit = reply_limit or (
                max(payload_limit, limits.REPLY_BYTES)
                if payload_limit >= limits.EVENT_BYTES
                else payload_limit
            )
            self.large = self.reply_limit + limits.LARGE_SLACK
            self.log_sink: LogSink = to_stderr if logs in (None, True) else logs or _silent  # type: ignore[assignment]
            self.cores = core_map.turned(core_map.usable(), *turn)
            self.spin_ns = spin_budget() if spin is None else int(spin * 1e9)
            self.data_epoll = select.epoll()
            self._control_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._loop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self.data_epoll.register(self._loop_fd, select.EPOLLIN | select.EPOLLET)
            pointer = lib.stk_engine_new(
                self.large,
                max(1, core_map.spinners(self.cores) // turn[1]),
                self.spin_ns,
                waiting_bytes,
                self._control_fd,
                self._loop_fd,
            )
            if pointer == ffi.NULL:
                raise MemoryError("no memory for an engine")
            self.pointer = ffi.gc(pointer, lib.stk_engine_free)
            self.dispatch = Dispatch(self.pointer, payload_limit, self._log)
            self.entries: dict[str, FunctionEntry] = {}
            self._keys = threading.Lock()
            self._closed = False
            self._close_lock = threading.Lock()
            self.supervisor = Supervisor(
                self.pointer,
                self._control_fd,
                self.cores,
                pin,
                self._log,
                self.data_epoll,
                launched,
                variables,
            )
            unwind.pop_all()
        _living.add(self)

    def _log(self, function: str, request_id: str, text: str) -> None:
        try:
            self.log_sink(function, request_id, text)
        except Exception as error:  # a sink of the user's must not break an invocation
            to_stderr(function, request_id, f"stoker: the log sink raised {error!r}\n")

    def start(
        self,
        config: FunctionConfig,
        deployed: wire.Deployed = _EMBEDDED,
        *,
        raw_results: bool = False,
        log_name: str = "",
        plain: bool = False,
    ) -> tuple[FunctionEntry, Future[float | None]]:
        """Begin to start a function; its entry, and a future that is done when it is up. Whoever owns the entry ends
        it by stop(). raw_results: callers get the results' JSON as it is, not its value. log_name: what the log sink
        gets as its function's name, "": that name. plain: it is no Lambda function: none of Lambda's variables."""
        self.check_open()
        slot = FunctionSlot(self.pointer, int(config.timeout * 1e9), self.payload_limit, config.waiting)
        entry = FunctionEntry(
            slot.index, config.name, config.timeout, config.raw or raw_results, config.memory, deployed.version,
            slot=slot, workers=config.concurrency, waiting=config.waiting,
        )  # fmt: skip
        spec = wire.FunctionSpec(
            name=config.name,
            module=config.reference.module,
            attribute=config.reference.attribute,
            code=config.code,
            path=[] if deployed.python else list(sys.path),
            main_file=config.reference.main_file,
            main_name=config.reference.main_name,
            environment=config.environment,
            memory=config.memory,
            timeout=config.timeout,
            snapshot=config.snapshot,
            raw=config.raw,
            large=self.large,
            max_reply=self.reply_limit,
            deployed=deployed,
            plain=plain,
            changed=self._changed() if deployed.base is None else {},
        )
        bounds = Bounds(config.warm, config.concurrency, int(config.keep_alive * 1e9))
        state = FunctionState(slot, spec, bounds, config.init_timeout, log_name or config.name)
        return entry, self.supervisor.add(state)

    def _changed(self) -> dict[str, str | None]:
        """What is different in this process's environment since the zygote has got it; None: it is not there any
        more."""
        now = {name: value for name, value in os.environ.items() if _is_text(name) and _is_text(value)}
        changed: dict[str, str | None] = {n: v for n, v in now.items() if self._environment.get(n) != v}
        return changed | {name: None for name in self._environment if name not in os.environ}

    def started(self, entry: FunctionEntry, init_seconds: float | None) -> None:
        """A function is up: from now on its name means this one, for handlers that call it, too."""
        entry.init_seconds = init_seconds
        name = entry.name.encode()
        with self._keys:
            if (
                lib.stk_function_name(self.pointer, entry.index, name, len(name), entry.workers, entry.raw)
                < 0
            ):
                raise MemoryError("no memory for a function's name")
            before = self.entries.get(entry.name)
            self.entries[entry.name] = entry
        if before is not None:
            self.supervisor.stop(before, entry)

    def stop(self, entry: FunctionEntry) -> None:
        """What runs ends, what waits is cancelled; of a function that is not up, nothing stays."""
        self.supervisor.stop(entry)

    def remove(self, name: str) -> None:
        """Stop the function of that name, and forget the name."""
        self.check_open()
        with self._keys:
            entry = self.entry(name)
            del self.entries[name]
            lib.stk_function_name(self.pointer, entry.index, b"", 0, 0, 0)
        self.stop(entry)

    def entry(self, name: str) -> FunctionEntry:
        entry = self.entries.get(name)
        if entry is None:
            raise errors.FunctionNotFound(f"Function not found: {name}")
        return entry

    def stats(self) -> dict[str, FunctionStats]:
        from .observe.stats import FunctionStats

        self.check_open()
        return {
            name: FunctionStats.read(self.pointer, entry.index) for name, entry in list(self.entries.items())
        }

    def workers(self, name: str) -> list[int]:
        self.check_open()
        return self.supervisor.workers(self.entry(name).index)

    def __str__(self) -> str:
        return "closed" if self._closed else f"of {', '.join(list(self.entries)) or 'no functions'}"

    @property
    def closed(self) -> bool:
        return self._closed

    def check_open(self) -> None:
        if self._closed:
            raise errors.EngineClosed("the engine is closed")

    def close_processes(self, drain_seconds: float) -> None:
        """The part of close() that waits."""
        with self._close_lock:
            if not self._closed:
                self.supervisor.close(drain_seconds)

    def close(self, drain_seconds: float) -> None:
        with self._close_lock:
            if self._closed:
                return
            self.supervisor.close(drain_seconds)
            self._closed = True
        _living.discard(self)
        self.data_epoll.close()
        os.close(self._control_fd)
        os.close(self._loop_fd)

    def disown(self) -> None:
        """In a forked child: this engine belongs to the parent."""
        self._closed = True
        lib.stk_engine_disown(self.pointer)


def _silent(_function: str, _request_id: str, _text: str) -> None:
    return None


_living: weakref.WeakSet[Runtime] = weakref.WeakSet()


def interrupted() -> bool:
    """Does the program end by a KeyboardInterrupt?"""
    kind = getattr(sys, "last_type", None)
    return isinstance(kind, type) and issubclass(kind, KeyboardInterrupt)


def _at_exit() -> None:
    """What was accepted is done before the program ends, as of the standard library's executors, unless it was
    interrupted."""
    drain = 0.0 if interrupted() else limits.TIMEOUT_MAX
    for runtime in list(_living):
        runtime.close(drain)


def _in_child() -> None:
    for runtime in list(_living):
        runtime.disown()
    _living.clear()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_child)
