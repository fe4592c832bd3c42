"""Executor: where ProcessPoolExecutor stands in a program, this can."""

from __future__ import annotations

import concurrent.futures
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import InvalidConfiguration
from . import mapping
from .calls import Calls
from .calls import initializer as encode_initializer
from .future import TaskFuture
from .pool import Pool


class Executor(concurrent.futures.Executor):
    """Runs calls in worker processes; what ProcessPoolExecutor takes and does, and besides: a task that runs past its
    timeout, or whose worker dies, fails alone; arrays and other large buffers are not pickled byte by byte; what
    pickle refuses goes by cloudpickle, if that is installed.

    max_workers: processes, started as they are needed; default: one for each core that this process may use.
    initializer(*initargs) runs once in each; when it fails the executor is broken. max_tasks_per_child: a worker is
    replaced after so many. timeout: seconds that one call may run. memory: MB that one worker and its children may
    use. mp_context is there because ProcessPoolExecutor has it, and without effect: workers are always forked from a
    fresh interpreter that has imported what they need. Raises ValueError, TypeError.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
        timeout: float | None = None,
        memory: int | None = None,
    ) -> None:
        if max_workers is None:
            max_workers = len(os.sched_getaffinity(0))
        elif max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        _check_timeout(timeout)
        if memory is not None and memory <= 0:
            raise InvalidConfiguration(f"memory={memory!r}: use MB, 1 or more")
        self._max_workers = max_workers
        self._timeout = timeout
        self._calls = Calls()
        prepared = encode_initializer(initializer, initargs)
        self._pool = Pool(max_workers, timeout, prepared, max_tasks_per_child or 0, memory)
        self._end = weakref.finalize(self, self._pool.shutdown, False, False)
        self._end.atexit = False  # the pool has its own: the program ends once its tasks have

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        """Raises RuntimeError after shutdown, BrokenProcessPool. What cannot be pickled is the future's exception."""
        return self._submit(fn, args, kwargs, None)

    def schedule(
        self,
        fn: Callable[..., Any],
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> TaskFuture:
        """submit() with a timeout of its own, in seconds from when the call begins: then its worker is killed and
        replaced, and the future raises FunctionTimeout, a TimeoutError."""
        _check_timeout(timeout)
        return self._submit(fn, tuple(args), kwargs or {}, timeout)

    def _submit(self, fn: Callable[..., Any], args: Any, kwargs: Any, timeout: float | None) -> TaskFuture:
        pool = self._pool
        pool.check_open()
        future = TaskFuture(pool)
        try:
            data = self._calls.call(fn, args, kwargs)
        except Exception as error:
            future.set_exception(error)
        else:
            future.ticket = pool.submit(data, future, timeout, getattr(fn, "__module__", None) or "")
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """fn's results in order. timeout: seconds from now until which results are waited for. chunksize: calls in one
        task. buffersize: tasks that are submitted ahead of the results that are read; None: all at once."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        self._pool.check_open()
        arguments = zip(*iterables, strict=False)
        return mapping.run(
            self._pool, self._calls, fn, arguments, timeout=timeout, chunk=chunksize, buffer=buffersize
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; those that were taken are finished, or withdrawn if they have not begun."""
        self._pool.shutdown(wait, cancel_futures)

    def workers(self) -> list[int]:
        """The process ids of its workers now."""
        return self._pool.pids()

    @property
    def _broken(self) -> str | None:
        return self._pool.broken

    def __repr__(self) -> str:
        return f"<Executor of {self._max_workers} workers>"


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise InvalidConfiguration(f"timeout={timeout!r}: use seconds, more than 0, or None")
