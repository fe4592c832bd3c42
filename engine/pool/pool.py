"""What an Executor runs its tasks on: an engine with one function, and a collector of its results."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

from .. import errors
from .._native import ffi, lib
from ..calls.collector import Collector, Waiting
from ..calls.dispatch import FunctionEntry, failure, read_outcome, refusal
from ..calls.reaper import Reaper
from ..config import FunctionConfig, Reference, main_module
from ..runtime import Runtime, interrupted
from ..worker import tasks_setup
from ..worker.pickled import Data, copied

PAYLOAD_BYTES = 1 << 30  # of one task, and of one result
END_S = 5.0  # that workers may take to end
SPIN_S = 50e-6  # for a caller that submits its next task at once: what it does in between takes 20 us
_FOREVER = 10 * 365 * 86_400.0  # seconds


# What became of a task: a worker's bytes, or why there are none; None: it was withdrawn.
Result = Data | BaseException | None


class Pool:
    """Runs tasks. Any thread may use it."""

    def __init__(
        self,
        workers: int,
        timeout: float | None,
        initializer: tuple[bytes | None, list[int]],
        tasks_per_worker: int,
        memory: int | None,
    ) -> None:
        self.workers = workers
        self.broken: str | None = None
        self._timeout = timeout
        self._initializer, self._fds = initializer
        self._tasks_per_worker = tasks_per_worker
        self._memory = memory
        self._lock = threading.Lock()
        self._closing = False
        self._runtime: Runtime | None = None
        self._entry: FunctionEntry | None = None
        self.collector = Collector("stoker-executor", self._end)

    # Submission.

    def submit(self, data: Data, waiting: Waiting, timeout: float | None, imported: str = "") -> int:
        """A task's ticket. imported: the module of its function. Raises RuntimeError, BrokenProcessPool,
        PayloadTooLarge."""
        self.check_open()
        entry = self._entry
        if entry is None:
            entry = self._start(imported)
        ns = 0 if timeout is None else int(timeout * 1e9)
        payload = data if type(data) is bytes else ffi.from_buffer(data)
        ticket = self.collector.submit(entry.index, payload, len(data), waiting, ns)
        if ticket < 0:
            self.check_open()
            raise refusal(ticket, PAYLOAD_BYTES, len(data))
        return ticket

    def check_open(self) -> None:
        if self.broken is not None:
            raise BrokenProcessPool(self.broken)
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self.collector.foreign:
            raise RuntimeError("this Executor belongs to the process that made it: make another after a fork")

    def pids(self) -> list[int]:
        """Of the workers that there are now."""
        runtime, entry = self._runtime, self._entry
        if runtime is None or entry is None or runtime.closed:
            return []
        return runtime.supervisor.workers(entry.index)

    def _start(self, imported: str) -> FunctionEntry:
        """The engine, when the first task comes: then it is known what its workers will need."""
        with self._lock:
            self.check_open()
            if self._entry is not None:
                return self._entry
            runtime = Runtime(
                payload_limit=PAYLOAD_BYTES, logs=_to_stdout, pin=False, spin=SPIN_S, waiting_bytes=1 << 62
            )
            # So that replies for which nobody waits make room.
            self._reaper: Reaper = runtime.supervisor.call(
                lambda: Reaper(runtime.dispatch, runtime.supervisor.loop, runtime.data_epoll, 0)
            )
            main = main_module()
            setup = tasks_setup.Setup(
                main, [imported] if imported else [], self._initializer, self._tasks_per_worker,
                bytes(multiprocessing.current_process().authkey),
            )  # fmt: skip
            self._setup_fd = os.memfd_create("stoker-tasks")
            os.write(self._setup_fd, pickle.dumps(tuple(setup)))
            config = FunctionConfig(
                reference=Reference("engine.worker.tasks", "run"),
                name="executor",
                code="",
                memory=self._memory or 1 << 20,
                timeout=self._timeout or _FOREVER,
                concurrency=self.workers,
                warm=0,
                snapshot=True,
                environment={tasks_setup.VARIABLE: f"/proc/{os.getpid()}/fd/{self._setup_fd}"},
                raw=True,
                waiting=0x7FFF_FFFF,
                keep_alive=_FOREVER,
                init_timeout=600.0,
            )
            entry, _ = runtime.start(config, plain=True)
            self._outcome = ffi.new("stk_outcome *")
            self._runtime = runtime
            self.collector.open(runtime.pointer, self._read)
            _pools.add(self)
            self._entry = entry
            return entry

    def _read(self, ticket: int) -> Result:
        """A result that has more than its bytes, or is large."""
        runtime, entry, o = self._runtime, self._entry, self._outcome
        assert runtime is not None and entry is not None
        lib.stk_outcome_of(runtime.pointer, ticket, o)
        if o.status == lib.STK_OK and not o.log_len and not o.log_dropped:
            data = copied(memoryview(ffi.buffer(o.data, o.len))) if o.len else bytearray()
            lib.stk_call_free(runtime.pointer, ticket)
            return data
        outcome = read_outcome(o)
        lib.stk_call_free(runtime.pointer, ticket)
        runtime.dispatch.log(entry, outcome)
        if outcome.status == lib.STK_OK:
            return bytearray(outcome.data)
        if outcome.status == lib.STK_CANCELLED:
            return None
        return _error(failure(entry, outcome))

    def break_(self, why: str) -> None:
        """No task can run any more: those that there are fail."""
        if self.broken is not None:
            return
        self.broken = why
        self.collector.end_all(BrokenProcessPool(why))
        self._closing = True
        self.collector.close(wait=False)

    # The end.

    def shutdown(self, wait: bool, cancel: bool) -> None:
        with self._lock:
            self._closing = True
            started = self._entry is not None
        if cancel:
            self.collector.withdraw_all()
        self.collector.close(started and wait)

    def _end(self) -> None:
        runtime = self._runtime
        assert runtime is not None and self._entry is not None
        # Workers end in order, for what their tasks left behind, in a queue of multiprocessing's say, is to be sent.
        runtime.stop(self._entry)
        until = time.monotonic() + END_S
        while runtime.supervisor.knows(self._entry.index) and time.monotonic() < until:
            time.sleep(0.001)
        runtime.close(0.0)
        self.collector.take()
        for fd in [self._setup_fd, *self._fds]:
            os.close(fd)
        _pools.discard(self)


def _error(error: errors.EngineError) -> BaseException:
    if isinstance(error, errors.FunctionCrashed):
        return TaskCrashed(
            error.request_id, error.exit_status, error.signal, error.error_type == "Runtime.OutOfMemory"
        )
    if isinstance(error, errors.InitError | errors.EngineClosed):
        return BrokenProcessPool(str(error))
    return error


class TaskCrashed(errors.FunctionCrashed, BrokenProcessPool):
    """The worker ended before the task did. Only that task fails; the pool goes on."""


def _to_stdout(_function: str, _request_id: str, text: str) -> None:
    """What tasks print appears on this process's stdout."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.write(text)
        sys.stdout.flush()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _at_exit() -> None:
    """As of the standard pools: the program ends once its tasks have, unless it was interrupted."""
    ends = interrupted()
    for pool in list(_pools):
        pool.shutdown(wait=not ends, cancel=ends)


_register: Callable[[Callable[[], None]], None] = threading._register_atexit  # type: ignore[attr-defined]
_register(_at_exit)
os.register_at_fork(after_in_child=_pools.clear)
