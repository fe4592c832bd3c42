"""What an Executor runs its tasks on: an engine with one function, and whoever looks for results.

**Who looks.** Results are taken out of the engine by one thread at a time, the leader. A thread that waits for a result
leads itself, if nobody does: it spins and sleeps in C, so that no other thread has to be woken between the worker's
reply and the caller. Whoever leads delivers all results that are there. When nobody waits, the shepherd leads, a
thread of the pool's. It runs all callbacks, too, so they may wait for whatever they like. While tasks come it looks
every millisecond whether it is needed; it is woken when somebody adds a callback or waits for several futures.

**Invariant.** Each token in `_tasks` is delivered or dropped exactly once, by the leader: `_leading` is held around
reaping and delivery.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from .. import errors
from .._native import ffi, lib
from ..calls.dispatch import FunctionEntry, failure, read_outcome, refusal
from ..calls.reaper import Reaper
from ..config import FunctionConfig, Reference, main_module
from ..runtime import Runtime, interrupted
from ..worker import tasks_setup
from ..worker.pickled import Data, copied

PAYLOAD_BYTES = 1 << 30  # of one task, and of one result
END_S = 5.0  # that workers may take to end
SPIN_S = 50e-6  # for a caller that submits its next task at once: what it does in between takes 20 us
_BATCH = 128
_BUFFER = 256 * 1024
_LOOK_S = 0.001  # between two looks of the shepherd's while tasks come
_LOOKS = 50  # without a new task, before it sleeps
_LEAD_NS = 100_000_000  # of one wait in C
_FOREVER = 10 * 365 * 86_400.0  # seconds


class Waiting(Protocol):
    """Who gets a task's result."""

    def deliver(self, result: Result, shepherd: bool) -> bool:
        """False: the shepherd has to."""

    def done(self) -> bool: ...

    def withdraw(self) -> object:
        """If it has not begun."""


class Result:
    """What became of a task: a worker's bytes, or why there are none. error None and data None: it was withdrawn."""

    __slots__ = ("data", "error")

    def __init__(self, data: Data | None, error: BaseException | None = None) -> None:
        self.data = data
        self.error = error


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
        self._foreign = False  # in a forked child: it belongs to the parent
        self._lock = threading.Lock()
        self._closing = False
        self._runtime: Runtime | None = None
        self._entry: FunctionEntry | None = None
        self._tasks: dict[int, Waiting] = {}
        self._next_token = itertools.count(1).__next__
        self._newest = 0  # token
        self._leading = threading.RLock()  # what a leader runs may wait for a result
        self._shepherd = threading.Thread(target=self._watch, name="stoker-executor", daemon=True)
        self._called = threading.Event()
        self._asleep = False
        self._shepherding = False
        self._wanted = False  # by a thread that would lead, while the shepherd does
        self._handed: deque[tuple[Waiting, Result]] = deque()

    # Submission.

    def submit(self, data: Data, waiting: Waiting, timeout: float | None, imported: str = "") -> int:
        """A task's ticket. imported: the module of its function. Raises RuntimeError, BrokenProcessPool,
        PayloadTooLarge."""
        self.check_open()
        entry = self._entry
        if entry is None:
            entry = self._start(imported)
        token = self._next_token()
        self._tasks[token] = waiting
        self._newest = token
        ns = 0 if timeout is None else int(timeout * 1e9)
        payload = data if type(data) is bytes else ffi.from_buffer(data)
        ticket: int = lib.stk_submit_within(self._box, entry.index, token, ns, payload, len(data))
        if ticket < 0:
            del self._tasks[token]
            self.check_open()
            raise refusal(ticket, PAYLOAD_BYTES, len(data))
        if self._asleep:
            self._called.set()
        return ticket

    def check_open(self) -> None:
        if self.broken is not None:
            raise BrokenProcessPool(self.broken)
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._foreign:
            raise RuntimeError("this Executor belongs to the process that made it: make another after a fork")

    def cancel(self, ticket: int) -> bool:
        """Withdraw a task that has not begun. ticket: negative while it is being submitted."""
        runtime = self._runtime
        return runtime is not None and ticket >= 0 and bool(lib.stk_cancel(runtime.pointer, ticket))

    def begun(self, ticket: int) -> bool:
        runtime = self._runtime
        return runtime is not None and ticket >= 0 and bool(lib.stk_begun(runtime.pointer, ticket))

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
            self._words = ffi.new("uint64_t[]", _BATCH * 4)
            self._view = memoryview(ffi.buffer(self._words)).cast("Q")
            self._buffer = ffi.new("uint8_t[]", _BUFFER)
            self._results = ffi.buffer(self._buffer)
            box = lib.stk_box_new(runtime.pointer, 0, self._words, _BATCH, self._buffer, _BUFFER)
            self._box = ffi.gc(box, lib.stk_box_free)
            self._outcome = ffi.new("stk_outcome *")
            self._runtime = runtime
            self._shepherd.start()
            _pools.add(self)
            self._entry = entry
            return entry

    # Results.

    def lead(self, waiting: Waiting, until: float | None) -> None:
        """Look for results until that one's is there, unless another thread does. until: by time.monotonic()."""
        if self._entry is None or self._foreign:
            return
        if not self._leading.acquire(blocking=False):
            self._wanted = self._shepherding
            return
        try:
            while not waiting.done():
                ns = _LEAD_NS
                if until is not None:
                    ns = min(ns, int((until - time.monotonic()) * 1e9))
                    if ns <= 0:
                        break
                n = lib.stk_reap_wait(self._box, ns)
                if n > 0:
                    self._deliver(n)
        finally:
            self._leading.release()
        if self._handed or (self._tasks and self._asleep):
            self._called.set()

    @contextlib.contextmanager
    def submitting(self) -> Iterator[Callable[[], None]]:
        """For who submits many tasks: nobody else looks for results meanwhile, with whom this thread would contend for
        the interpreter. What it gets is to be called now and then: it takes those that are there."""
        leads = self._leading.acquire(blocking=False)

        def collect() -> None:
            if leads and self._entry is not None and (n := lib.stk_reap(self._box)) > 0:
                self._deliver(n)

        try:
            yield collect
        finally:
            if leads:
                self._leading.release()
                if self._tasks or self._handed:
                    self._called.set()

    def call_shepherd(self) -> None:
        """Somebody waits who does not lead."""
        if self._entry is not None:
            self._called.set()

    def _deliver(self, n: int) -> None:
        """All are read before the first is delivered: what that runs may reap, too, into the same memory."""
        words = self._view[: n * 4].tolist()
        found: list[tuple[Waiting, Result]] = []
        for at in range(0, n * 4, 4):
            waiting = self._tasks.pop(words[at], None)
            status = words[at + 1]
            if status & 0xFFFF:
                result = self._read(words[at + 3])
            else:
                offset = words[at + 2]
                result = Result(self._results[offset : offset + (status >> 32)])
            if waiting is not None:
                found.append((waiting, result))
        for waiting, result in found:
            if not waiting.deliver(result, False):
                self._handed.append((waiting, result))

    def _read(self, ticket: int) -> Result:
        """A result that has more than its bytes, or is large."""
        runtime, entry, o = self._runtime, self._entry, self._outcome
        assert runtime is not None and entry is not None
        lib.stk_outcome_of(runtime.pointer, ticket, o)
        if o.status == lib.STK_OK and not o.log_len and not o.log_dropped:
            data = copied(memoryview(ffi.buffer(o.data, o.len))) if o.len else bytearray()
            lib.stk_call_free(runtime.pointer, ticket)
            return Result(data)
        outcome = read_outcome(o)
        lib.stk_call_free(runtime.pointer, ticket)
        runtime.dispatch.log(entry, outcome)
        if outcome.status == lib.STK_OK:
            return Result(bytearray(outcome.data))
        if outcome.status == lib.STK_CANCELLED:
            return Result(None)
        return Result(None, _error(failure(entry, outcome)))

    # The shepherd.

    def _watch(self) -> None:
        looks = newest = 0
        while not (self._closing and not self._tasks and not self._handed):
            self._hand_over()
            if self._tasks and self._leading.acquire(blocking=False):
                self._lead_all()
                if not self._wanted:
                    continue
                self._wanted = False
            if looks > _LOOKS and not self._tasks:
                self._asleep = True
                if not self._tasks and not self._closing and not self._handed:
                    self._called.wait()
                self._asleep = False
            called = self._called.wait(_LOOK_S)
            self._called.clear()
            looks = 0 if called or newest != self._newest else looks + 1
            newest = self._newest
        self._hand_over()
        self._end()

    def _lead_all(self) -> None:
        """Until nothing is under way, there are callbacks to run, or a thread that waits would rather."""
        self._shepherding = True
        try:
            while self._tasks and not self._wanted and not self._handed:
                n = lib.stk_reap_wait(self._box, _LEAD_NS)
                if n > 0:
                    self._deliver(n)
        finally:
            self._shepherding = False
            self._leading.release()

    def _hand_over(self) -> None:
        """Not as the leader: what a callback waits for, it may look for itself."""
        while self._handed:
            waiting, result = self._handed.popleft()
            waiting.deliver(result, True)

    def break_(self, why: str) -> None:
        """No task can run any more: those that there are fail."""
        if self.broken is not None:
            return
        self.broken = why
        for token in list(self._tasks):
            waiting = self._tasks.pop(token, None)
            if waiting is not None:
                self._handed.append((waiting, Result(None, BrokenProcessPool(why))))
        self._closing = True
        self._called.set()

    # The end.

    def shutdown(self, wait: bool, cancel: bool) -> None:
        with self._lock:
            self._closing = True
            started = self._entry is not None
        if cancel:
            for waiting in list(self._tasks.values()):
                waiting.withdraw()
        self._called.set()
        if started and wait and threading.current_thread() is not self._shepherd and not self._foreign:
            self._shepherd.join()

    def _end(self) -> None:
        runtime = self._runtime
        assert runtime is not None and self._entry is not None
        # Workers end in order, for what their tasks left behind, in a queue of multiprocessing's say, is to be sent.
        runtime.stop(self._entry)
        until = time.monotonic() + END_S
        while runtime.supervisor.knows(self._entry.index) and time.monotonic() < until:
            time.sleep(_LOOK_S)
        runtime.close(0.0)
        with self._leading:  # what was submitted at the same moment as the end
            while (n := lib.stk_reap(self._box)) > 0:
                self._deliver(n)
        self._hand_over()
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


def _in_child() -> None:
    for pool in list(_pools):
        pool._foreign = True
    _pools.clear()


_register: Callable[[Callable[[], None]], None] = threading._register_atexit  # type: ignore[attr-defined]
_register(_at_exit)
os.register_at_fork(after_in_child=_in_child)
